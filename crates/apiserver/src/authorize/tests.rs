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

mod granting {
    use proto::dynamic::DynObject;
    use proto::rbac::v1::{AggregationRule, ClusterRole, ClusterRoleBinding, RoleBinding};

    use super::*;
    use crate::registry::Registry;

    fn cluster_role(rules: &[&str]) -> ClusterRole {
        let mut role = ClusterRole { rules: rules.iter().map(|text| rule(text)).collect(), ..Default::default() };
        role.metadata.name = "r".into();
        role
    }

    #[track_caller]
    fn check_grant(access: &Access, new: &dyn DynObject, old: Option<&dyn DynObject>, refused: Option<&str>) {
        let registry = Registry::new();
        let plural = api::resource::by_kind(new.info().group, "v1", new.info().kind).expect("a row").plural;
        let resource = registry.find(new.info().group, "v1", plural).expect("served");
        let outcome = grant::check(access, &user("jane", &["devs"]), resource, new, old);
        match (outcome, refused) {
            (Ok(()), None) => {}
            (Err(failure), Some(why)) => assert!(failure.to_string().ends_with(why), "{failure}"),
            (outcome, refused) => panic!("{outcome:?}, expected {refused:?}"),
        }
    }

    fn reading() -> Access {
        let access = access();
        bind(&access, "", "b", ("ClusterRole", "reader"), ("User", "", "jane"));
        access
    }

    #[test]
    fn a_role_gives_no_more_than_its_writer_has() {
        let access = reading();
        check_grant(&access, &cluster_role(&["get core pods", "get core pods a"]), None, None);
        let why = "user \"jane\" (groups=[\"devs\"]) is attempting to grant RBAC permissions not currently held:\n\
                   {APIGroups:[\"\"], Resources:[\"pods\"], ResourceNames:[\"a\"], Verbs:[\"update\"]}\n\
                   {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}\n\
                   {NonResourceURLs:[\"/x\"], Verbs:[\"get\"]}";
        let rules = ["get,list core pods,secrets", "update core pods a", "get urls /x,/version"];
        check_grant(&access, &cluster_role(&rules), None, Some(why));
        // What was there before is no news.
        let mut labelled = cluster_role(&rules);
        labelled.metadata.labels.insert("a".into(), "b".into());
        check_grant(&access, &labelled, Some(&cluster_role(&rules)), None);
    }

    #[test]
    fn who_may_escalate_grants_what_he_has_not() {
        let access = reading();
        access.index.write().put_role("", "lord", vec![rule("escalate rbac.authorization.k8s.io clusterroles r")]);
        bind(&access, "", "l", ("ClusterRole", "lord"), ("Group", "", "devs"));
        check_grant(&access, &cluster_role(&["* * *"]), None, None);
    }

    #[test]
    fn only_who_has_everything_lets_roles_gather() {
        let access = reading();
        let mut role = cluster_role(&[]);
        role.aggregation_rule = Some(AggregationRule::default());
        let why = "must have cluster-admin privileges to use the aggregationRule";
        check_grant(&access, &role, None, Some(why));
        check_grant(&access, &role, Some(&cluster_role(&[])), Some(why));
        access.index.write().put_role("", "all", vec![rule("* * *"), rule("* urls *")]);
        bind(&access, "", "a", ("ClusterRole", "all"), ("User", "", "jane"));
        check_grant(&access, &role, None, None);
    }

    #[test]
    fn a_binding_gives_what_its_writer_has_or_may_bind() {
        let access = reading();
        let binding = |name: &str| {
            let role_ref = RoleRef { kind: "ClusterRole".into(), name: name.into(), ..RoleRef::default() };
            ClusterRoleBinding { role_ref, ..Default::default() }
        };
        access.index.write().put_role("", "boss", vec![rule("* * *")]);
        check_grant(&access, &binding("reader"), None, None);
        check_grant(&access, &binding("gone"), None, Some("clusterrole.rbac.authorization.k8s.io \"gone\" not found"));
        let why = "{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}";
        check_grant(&access, &binding("boss"), None, Some(why));
        // The collector of garbage changes owners of whatever there is.
        let mut owned = binding("boss");
        owned.metadata.finalizers = vec!["a/b".into()];
        check_grant(&access, &owned, Some(&binding("boss")), None);
        access.index.write().put_role("ns", "binder", vec![rule("bind rbac.authorization.k8s.io clusterroles boss")]);
        bind(&access, "ns", "x", ("Role", "binder"), ("User", "", "jane"));
        let mut local = RoleBinding { role_ref: binding("boss").role_ref, ..Default::default() };
        local.metadata.namespace = "ns".into();
        check_grant(&access, &local, None, None);
        check_grant(&access, &binding("boss"), None, Some(why));
    }

    #[test]
    fn patterns_cover_what_they_match() {
        for (owned, wanted, covered) in [
            ("get * */scale", "get apps deployments/scale", true),
            ("get * */scale", "get apps deployments", false),
            ("get core *", "get core pods/log", true),
            ("get core pods a,b", "get core pods a", true),
            ("get core pods a", "get core pods", false),
            ("get urls /a/*", "get urls /a/b,/a/*", true),
            ("get urls /a/*", "get urls *", false),
            ("* urls *", "get core pods", false),
        ] {
            assert_eq!(cover::missing(&[rule(owned)], &[rule(wanted)]).is_empty(), covered, "{owned}: {wanted}");
        }
    }
}
