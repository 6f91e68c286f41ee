use super::*;

fn user(name: &str, groups: &[&str]) -> User {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    User { name: name.into(), groups, ..Default::default() }
}

/// `verb group/resource[/sub] namespace name`, `-` for nothing.
#[track_caller]
fn check_rule(user: &User, text: &str, allowed: bool) {
    let dash = |text: &'static str| if text == "-" { "" } else { text };
    let leaked: &'static str = Box::leak(text.to_owned().into_boxed_str());
    let words: Vec<&'static str> = leaked.split(' ').collect();
    let (path, namespace, name) = (words[1], dash(words[2]), dash(words[3]));
    let mut parts = path.split('/');
    let attributes = Attributes {
        verb: words[0],
        group: dash(parts.next().unwrap_or_default()),
        resource: parts.next().unwrap_or_default(),
        subresource: parts.next().unwrap_or_default(),
        namespace,
        name,
    };
    assert_eq!(judge(user, &attributes).allowed, allowed, "{} {text}", user.name);
}

#[test]
fn administrators_may_do_everything() {
    let admin = user("kubernetes-admin", &["system:masters"]);
    check_rule(&admin, "delete -/nodes - n1", true);
    check_rule(&admin, "create example.com/things ns -", true);
}

#[test]
fn a_node_agent_writes_only_its_own_node_and_lease() {
    let node = user("system:node:n1", &["system:nodes"]);
    check_rule(&node, "patch -/nodes/status - n1", true);
    check_rule(&node, "patch -/nodes/status - n2", false);
    check_rule(&node, "create -/nodes - -", true);
    check_rule(&node, "delete -/nodes - n1", false);
    check_rule(&node, "update coordination.k8s.io/leases kube-node-lease n1", true);
    check_rule(&node, "update coordination.k8s.io/leases kube-node-lease n2", false);
    check_rule(&node, "update coordination.k8s.io/leases kube-system n1", false);
    check_rule(&node, "patch -/pods/status default p", true);
    check_rule(&node, "update -/pods default p", false);
    check_rule(&node, "create -/serviceaccounts/token default default", true);
    check_rule(&node, "update -/secrets default s", false);
}

#[test]
fn a_node_name_without_the_group_is_nobody() {
    check_rule(&user("system:node:n1", &["system:authenticated"]), "get -/pods default p", false);
}

#[test]
fn the_scheduler_binds_and_does_not_create() {
    let scheduler = user("system:kube-scheduler", &[]);
    check_rule(&scheduler, "create -/pods/binding default p", true);
    check_rule(&scheduler, "create -/pods default -", false);
    check_rule(&scheduler, "list -/secrets - -", false);
    check_rule(&scheduler, "update coordination.k8s.io/leases kube-system kube-scheduler", true);
}

#[test]
fn controllers_write_subresources_too() {
    let manager = user("system:kube-controller-manager", &[]);
    check_rule(&manager, "patch apps/deployments/status default d", true);
    check_rule(&manager, "update -/namespaces/finalize - ns", true);
}

#[test]
fn proxy_and_dns_only_read() {
    for name in ["system:kube-proxy", "system:kube-dns"] {
        let reader = user(name, &[]);
        check_rule(&reader, "watch discovery.k8s.io/endpointslices - -", true);
        check_rule(&reader, "update -/services default s", false);
        check_rule(&reader, "get -/secrets default s", false);
    }
}

#[test]
fn everyone_else_may_nothing() {
    let account = user("system:serviceaccount:default:default", &["system:serviceaccounts", "system:authenticated"]);
    check_rule(&account, "get -/pods default p", false);
    let text = check(
        &account,
        &Attributes { verb: "get", resource: "pods", subresource: "log", namespace: "ns", name: "p", group: "" },
    );
    let failure = text.expect_err("refused");
    assert_eq!(
        failure.to_string(),
        "pods \"p\" is forbidden: User \"system:serviceaccount:default:default\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"ns\""
    );
}
