mod granting;

use proto::rbac::v1::{PolicyRule, RoleRef, Subject};

use super::index::Binding;
use super::*;

fn user(name: &str, groups: &[&str]) -> User {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    User { name: name.into(), groups, ..Default::default() }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|item| !item.is_empty()).map(|item| item.replace("core", "")).collect()
}

/// `VERBS GROUPS RESOURCES [NAMES]` or `VERBS urls URLS`, lists by commas.
fn rule(text: &str) -> PolicyRule {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        [verbs, "urls", urls] => {
            PolicyRule { verbs: list(verbs), non_resource_urls: list(urls), ..PolicyRule::default() }
        }
        [verbs, groups, resources, names @ ..] => PolicyRule {
            verbs: list(verbs),
            api_groups: list(groups),
            resources: list(resources),
            resource_names: names.iter().flat_map(|names| list(names)).collect(),
            ..PolicyRule::default()
        },
        _ => panic!("{text} is no rule"),
    }
}

/// `VERB GROUP/RESOURCE[/SUB] [NAMESPACE [NAME]]` or `VERB /path`; `-` for nothing.
fn attributes(text: &str) -> Attributes<'_> {
    let words: Vec<&str> = text.split(' ').collect();
    let word = |at: usize| words.get(at).copied().filter(|word| *word != "-").unwrap_or_default();
    if word(1).starts_with('/') {
        return Attributes { verb: word(0), path: word(1), ..Attributes::default() };
    }
    let mut parts = word(1).split('/').map(|part| if part == "-" { "" } else { part });
    let mut part = || parts.next().unwrap_or_default();
    let (group, resource, subresource) = (part(), part(), part());
    let (namespace, name) = (word(2), word(3));
    Attributes { verb: word(0), group, resource, subresource, namespace, name, ..Attributes::default() }
}

#[track_caller]
fn check_rule(text: &str, asked: &str, allowed: bool) {
    assert_eq!(rule::allows(&rule(text), &attributes(asked)), allowed, "{text}: {asked}");
}

#[test]
fn a_rule_is_for_its_verbs_groups_and_resources() {
    check_rule("get,list core pods", "get -/pods ns p", true);
    check_rule("get,list core pods", "watch -/pods ns p", false);
    check_rule("get core pods", "get apps/pods ns p", false);
    check_rule("get core,apps pods", "get apps/pods ns p", true);
    check_rule("* * *", "impersonate x.io/things - a", true);
    check_rule("* * *", "get /metrics", false);
}

#[test]
fn subresources_are_resources_of_their_own() {
    check_rule("get core pods", "get -/pods/log ns p", false);
    check_rule("get core pods/log", "get -/pods/log ns p", true);
    check_rule("get core pods/log", "get -/pods ns p", false);
    check_rule("get * */scale", "get apps/deployments/scale ns d", true);
    check_rule("get * */scale", "get apps/deployments ns d", false);
    check_rule("get * */scale", "get apps/deployments/status ns d", false);
    check_rule("get core *", "get -/pods/log ns p", true);
    // As upstream has it, a star for the subresource is no pattern.
    check_rule("get core pods/*", "get -/pods/log ns p", false);
}

#[test]
fn names_limit_a_rule_to_objects() {
    check_rule("get core pods a,b", "get -/pods ns b", true);
    check_rule("get core pods a,b", "get -/pods ns c", false);
    check_rule("list core pods a", "list -/pods ns", false);
}

#[test]
fn paths_end_in_a_star_for_all_that_begins_so() {
    check_rule("get urls /healthz", "get /healthz", true);
    check_rule("get urls /healthz", "get /healthz/etcd", false);
    check_rule("get urls /apis/*", "get /apis/apps", true);
    check_rule("get urls /apis/*", "get /apis", false);
    check_rule("get urls *", "get /x", true);
    check_rule("get urls *", "post /x", false);
}

/// A cluster of roles and bindings.
fn access() -> Access {
    let access = Access::new(vec![rule("get,list,watch core services")]);
    {
        let mut index = access.index.write();
        index.put_role("", "reader", vec![rule("get,list core pods"), rule("get urls /version")]);
        index.put_role("ns", "writer", vec![rule("update core pods")]);
    }
    access
}

fn bind(access: &Access, namespace: &str, name: &str, role: (&str, &str), subject: (&str, &str, &str)) {
    let role = RoleRef { kind: role.0.into(), name: role.1.into(), ..RoleRef::default() };
    let (kind, namespace_of, name_of) = subject;
    let subject =
        Subject { kind: kind.into(), namespace: namespace_of.into(), name: name_of.into(), api_group: String::new() };
    let (name, namespace) = (name.to_owned(), namespace.to_owned());
    access.index.write().put_binding(Binding { name, namespace, role, subjects: vec![subject] });
}

#[track_caller]
fn check_access(access: &Access, user: &User, asked: &str, reason: Option<&str>) {
    let verdict = access.judge(user, &attributes(asked));
    assert_eq!(verdict.allowed, reason.is_some(), "{}: {asked}: {}", user.name, verdict.reason());
    if let Some(reason) = reason {
        assert_eq!(verdict.reason(), reason);
    }
}

#[test]
fn masters_may_do_everything() {
    let access = Access::new(Vec::new());
    check_access(&access, &user("root", &[MASTERS]), "delete x.io/things - a", Some(""));
    check_access(&access, &user("root", &[]), "delete x.io/things - a", None);
}

#[test]
fn bindings_give_roles_to_users_groups_and_accounts() {
    let access = access();
    bind(&access, "", "b", ("ClusterRole", "reader"), ("User", "", "jane"));
    let jane = user("jane", &[]);
    let why = "RBAC: allowed by ClusterRoleBinding \"b\" of ClusterRole \"reader\" to User \"jane\"";
    check_access(&access, &jane, "get -/pods ns p", Some(why));
    check_access(&access, &jane, "list -/pods", Some(why));
    check_access(&access, &jane, "get /version", Some(why));
    check_access(&access, &jane, "update -/pods ns p", None);
    bind(&access, "", "g", ("ClusterRole", "reader"), ("Group", "", "devs"));
    let why = "RBAC: allowed by ClusterRoleBinding \"g\" of ClusterRole \"reader\" to Group \"devs\"";
    check_access(&access, &user("joe", &["devs"]), "get -/pods ns p", Some(why));
    bind(&access, "ns", "w", ("Role", "writer"), ("ServiceAccount", "other", "robot"));
    let robot = user("system:serviceaccount:other:robot", &[]);
    let why = "RBAC: allowed by RoleBinding \"w/ns\" of Role \"writer\" to ServiceAccount \"robot/other\"";
    check_access(&access, &robot, "update -/pods ns p", Some(why));
    check_access(&access, &robot, "update -/pods other p", None);
    check_access(&access, &robot, "update -/pods - p", None);
}

#[test]
fn a_role_binding_gives_a_cluster_role_in_its_namespace_only() {
    let access = access();
    bind(&access, "ns", "b", ("ClusterRole", "reader"), ("User", "", "jane"));
    let jane = user("jane", &[]);
    assert!(access.judge(&jane, &attributes("get -/pods ns p")).allowed);
    for elsewhere in ["get -/pods other p", "list -/pods", "get /version"] {
        check_access(&access, &jane, elsewhere, None);
    }
}

#[test]
fn what_is_taken_away_is_gone() {
    let access = access();
    bind(&access, "ns", "b", ("Role", "writer"), ("User", "", "jane"));
    let jane = user("jane", &[]);
    assert!(access.judge(&jane, &attributes("update -/pods ns p")).allowed);
    bind(&access, "ns", "b", ("Role", "writer"), ("User", "", "joe"));
    check_access(&access, &jane, "update -/pods ns p", None);
    assert!(access.judge(&user("joe", &[]), &attributes("update -/pods ns p")).allowed);
    access.index.write().remove_role("ns", "writer");
    let verdict = access.judge(&user("joe", &[]), &attributes("update -/pods ns p"));
    assert_eq!(verdict.reason(), "RBAC: role.rbac.authorization.k8s.io \"writer\" not found");
    access.index.write().remove_binding("ns", "b");
    assert_eq!(access.judge(&user("joe", &[]), &attributes("update -/pods ns p")).reason(), "");
}

#[test]
fn refusals_say_who_cannot_do_what_where() {
    let access = access();
    let refused = |asked: &str| {
        let failure = check_with(&access, &user("mallory", &[]), &attributes(asked)).expect_err("refused");
        assert_eq!(failure.code(), 403);
        failure.to_string()
    };
    assert_eq!(
        refused("list -/pods ns"),
        "pods is forbidden: User \"mallory\" cannot list resource \"pods\" in API group \"\" in the namespace \"ns\""
    );
    assert_eq!(
        refused("get apps/deployments/scale ns d"),
        "deployments.apps \"d\" is forbidden: User \"mallory\" cannot get resource \"deployments/scale\" in API group \
         \"apps\" in the namespace \"ns\""
    );
    assert_eq!(
        refused("create -/namespaces"),
        "namespaces is forbidden: User \"mallory\" cannot create resource \"namespaces\" in API group \"\" at the \
         cluster scope"
    );
    assert_eq!(refused("get /metrics"), "forbidden: User \"mallory\" cannot get path \"/metrics\"");
    bind(&access, "", "x", ("ClusterRole", "gone"), ("User", "", "mallory"));
    bind(&access, "", "y", ("ClusterRole", "lost"), ("User", "", "mallory"));
    assert_eq!(
        refused("get /metrics"),
        "forbidden: User \"mallory\" cannot get path \"/metrics\": RBAC: [clusterrole.rbac.authorization.k8s.io \
         \"gone\" not found, clusterrole.rbac.authorization.k8s.io \"lost\" not found]"
    );
}

/// What every cluster begins with.
fn bootstrapped() -> Access {
    use proto::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
    let access = Access::new(crate::bootstrap::policy::node_rules());
    let mut index = access.index.write();
    for object in crate::bootstrap::policy::objects() {
        let meta = object.metadata();
        let (name, namespace) = (meta.name.clone(), meta.namespace.clone());
        if let Some(role) = object.downcast_ref::<ClusterRole>() {
            index.put_role("", &name, role.rules.clone());
        } else if let Some(role) = object.downcast_ref::<Role>() {
            index.put_role(&namespace, &name, role.rules.clone());
        } else if let Some(it) = object.downcast_ref::<ClusterRoleBinding>() {
            let (role, subjects) = (it.role_ref.clone(), it.subjects.clone());
            index.put_binding(Binding { name, namespace, role, subjects });
        } else if let Some(it) = object.downcast_ref::<RoleBinding>() {
            let (role, subjects) = (it.role_ref.clone(), it.subjects.clone());
            index.put_binding(Binding { name, namespace, role, subjects });
        }
    }
    drop(index);
    access
}

#[test]
fn every_daemon_may_do_its_work_and_no_more() {
    let access = bootstrapped();
    for (name, group, may, may_not) in [
        (
            "system:kube-scheduler",
            "system:authenticated",
            vec![
                "create -/pods/binding ns p",
                "patch -/pods/status ns p",
                "delete -/pods ns p",
                "watch -/namespaces",
                "create events.k8s.io/events ns",
                "update coordination.k8s.io/leases kube-system kube-scheduler",
            ],
            vec!["create -/pods ns", "list -/secrets", "update coordination.k8s.io/leases ns x"],
        ),
        (
            "system:kube-controller-manager",
            "system:authenticated",
            vec![
                "create -/pods ns",
                "update apps/deployments/status ns d",
                "update -/namespaces/finalize - ns",
                "deletecollection x.io/things ns",
                "patch x.io/things ns t",
                "create -/serviceaccounts ns",
                "update -/nodes - n",
                "update discovery.k8s.io/endpointslices ns e",
            ],
            vec!["create -/namespaces", "impersonate -/users - a"],
        ),
        (
            "system:kube-proxy",
            "system:authenticated",
            vec!["watch discovery.k8s.io/endpointslices", "list -/services", "watch -/nodes - n"],
            vec!["update -/services ns s", "get -/secrets ns s"],
        ),
        (
            "system:kube-dns",
            "system:authenticated",
            vec!["watch discovery.k8s.io/endpointslices", "list -/services"],
            vec!["update -/services ns s", "get -/secrets ns s", "list -/pods"],
        ),
        (
            "system:node:n1",
            "system:nodes",
            vec!["list -/nodes", "list -/services", "create -/events ns", "get -/nodes - n2"],
            vec!["list -/secrets", "list -/pods", "delete -/nodes - n1"],
        ),
        (
            "mallory",
            "system:authenticated",
            vec!["create authorization.k8s.io/selfsubjectaccessreviews", "get /version", "get /apis/apps"],
            vec!["get -/pods ns p", "get /metrics", "create authorization.k8s.io/subjectaccessreviews"],
        ),
        ("system:anonymous", "system:unauthenticated", vec!["get /healthz"], vec!["get /apis", "list -/pods"]),
    ] {
        let user = user(name, &[group]);
        for asked in may {
            assert!(access.judge(&user, &attributes(asked)).allowed, "{name} may not {asked}");
        }
        for asked in may_not {
            assert!(!access.judge(&user, &attributes(asked)).allowed, "{name} may {asked}");
        }
    }
}

#[test]
fn a_selected_name_is_what_a_list_is_about() {
    for (fields, name) in [
        ("metadata.name=a", "a"),
        ("spec.x=b,metadata.name==a", "a"),
        ("metadata.name!=a", ""),
        ("", ""),
        ("metadata.name=a/b", ""),
    ] {
        assert_eq!(name_in(fields), name, "{fields}");
    }
}
