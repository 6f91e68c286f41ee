//! Nobody grants what he does not have.

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
