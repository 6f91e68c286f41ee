//! Roles and bindings as objects: who they let do what, who may write them, and what every cluster has of them.

use client::config::Credentials;
use client::{Client, DeleteParams, ListParams, Patch};
use daemon::tls::ClientIdentity;
use proto::authentication::v1::{SelfSubjectReview, TokenReview};
use proto::authorization::v1::{
    LocalSubjectAccessReview, NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReview,
    SelfSubjectRulesReview, SubjectAccessReview,
};
use proto::core::v1::{Pod, Secret};
use proto::keelson::api::v1::WhoAmIRequest;
use proto::keelson::api::v1::auth_client::AuthClient;
use proto::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use serde_json::json;
use testkit::pki::Authority;

use crate::harness::{Apiserver, Cluster, Engine, until};
use crate::on_each_store;

on_each_store! {
    a_binding_gives_its_role_while_it_is_there
    nobody_grants_what_he_does_not_have
    every_cluster_has_upstreams_roles_and_keeps_them
    reviews_answer_what_checks_would
    who_may_impersonate_counts_as_somebody_else
    anonymous_callers_are_somebody_only_where_that_is_wanted
}

const GROUP: &str = "rbac.authorization.k8s.io";

fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
    let (verbs, resources) = (owned(verbs), owned(resources));
    PolicyRule { verbs, resources, api_groups: vec![group.to_owned()], ..PolicyRule::default() }
}

fn role(name: &str, rules: Vec<PolicyRule>) -> Role {
    let mut role = Role { rules, ..Role::default() };
    role.metadata.name = name.into();
    role.metadata.namespace = "default".into();
    role
}

fn to_user(name: &str) -> Vec<Subject> {
    vec![Subject { kind: "User".into(), api_group: GROUP.into(), name: name.into(), namespace: String::new() }]
}

fn binding(name: &str, kind: &str, role: &str, user: &str) -> RoleBinding {
    let role_ref = RoleRef { api_group: GROUP.into(), kind: kind.into(), name: role.into() };
    let mut binding = RoleBinding { role_ref, subjects: to_user(user), ..RoleBinding::default() };
    binding.metadata.name = name.into();
    binding.metadata.namespace = "default".into();
    binding
}

async fn list_pods(client: &Client) -> Result<(), client::Error> {
    client.api::<Pod>().list(&ListParams::in_namespace("default")).await.map(|_| ())
}

async fn a_binding_gives_its_role_while_it_is_there(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let (admin, alice) = (cluster.client(&server, "admin"), cluster.client(&server, "alice"));
    let refused = list_pods(&alice).await.expect_err("no role yet").to_string();
    let why = "pods is forbidden: User \"alice\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert!(refused.contains(why), "{refused}");
    admin.api::<RoleBinding>().create(&binding("b", "Role", "reader", "alice")).await.expect("created");
    until("the binding", || async {
        let refused = list_pods(&alice).await.expect_err("its role is missing").to_string();
        let why = ": RBAC: role.rbac.authorization.k8s.io \"reader\" not found";
        refused.contains(why).then_some(())
    })
    .await;
    admin.api::<Role>().create(&role("reader", vec![rule(&["list"], "", &["pods"])])).await.expect("created");
    until("the role", || async { list_pods(&alice).await.ok() }).await;
    assert!(alice.api::<Pod>().get("default", "p").await.expect_err("another verb").is_forbidden());
    assert!(alice.api::<Pod>().list(&ListParams::default()).await.expect_err("all namespaces").is_forbidden());
    assert!(alice.api::<Secret>().list(&ListParams::in_namespace("default")).await.is_err());
    admin.api::<RoleBinding>().delete("default", "b", &DeleteParams::default()).await.expect("deleted");
    until("the end of the binding", || async { list_pods(&alice).await.err() }).await;
    server.stop().await;
}

async fn nobody_grants_what_he_does_not_have(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let (admin, alice) = (cluster.client(&server, "admin"), cluster.client(&server, "alice"));
    let rules = vec![
        rule(&["create", "get", "update", "patch"], GROUP, &["roles", "rolebindings"]),
        rule(&["get", "list"], "", &["pods"]),
    ];
    admin.api::<Role>().create(&role("maker", rules)).await.expect("created");
    admin.api::<RoleBinding>().create(&binding("maker", "Role", "maker", "alice")).await.expect("created");
    until("the binding", || async { list_pods(&alice).await.ok() }).await;
    let (roles, bindings) = (alice.api::<Role>(), alice.api::<RoleBinding>());
    roles.create(&role("pods", vec![rule(&["list"], "", &["pods"])])).await.expect("what she has herself");
    let mut more = role("more", vec![rule(&["list"], "", &["pods", "secrets"])]);
    let why = "user \"alice\" (groups=[\"devs\" \"system:authenticated\"]) is attempting to grant RBAC permissions not \
               currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"list\"]}";
    let refused = roles.create(&more).await.expect_err("more than she has").to_string();
    assert!(refused.contains(why), "{refused}");
    let widen = Patch::merge(&json!({"rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["secrets"]}]}));
    let refused = roles.patch("default", "pods", widen).await.expect_err("more than she has").to_string();
    assert!(refused.contains(why), "{refused}");
    let label = Patch::merge(&json!({"metadata": {"labels": {"a": "b"}}}));
    roles.patch("default", "maker", label).await.expect("changes no rule");
    let refused = bindings.create(&binding("x", "ClusterRole", "cluster-admin", "bob")).await.expect_err("all");
    assert!(refused.to_string().contains("{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"), "{refused}");
    bindings.create(&binding("x", "Role", "pods", "bob")).await.expect("what she has herself");
    more.metadata.name = "binder".into();
    more.rules = vec![rule(&["escalate", "bind"], GROUP, &["roles", "clusterroles"])];
    admin.api::<Role>().create(&more).await.expect("created");
    admin.api::<RoleBinding>().create(&binding("binder", "Role", "binder", "alice")).await.expect("created");
    let all = binding("all", "ClusterRole", "cluster-admin", "bob");
    until("the right to bind", || async { bindings.create(&all).await.ok() }).await;
    roles.create(&role("more", vec![rule(&["list"], "", &["secrets"])])).await.expect("she may escalate");
    server.stop().await;
}

async fn every_cluster_has_upstreams_roles_and_keeps_them(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let roles = admin.api::<ClusterRole>();
    let view = roles.get("", "view").await.expect("there");
    assert!(view.rules.is_empty() && view.aggregation_rule.is_some(), "{view:?}");
    assert_eq!(view.metadata.labels["kubernetes.io/bootstrapping"], "rbac-defaults");
    let bound = admin.api::<ClusterRoleBinding>().get("", "system:node").await.expect("there");
    assert!(bound.subjects.is_empty(), "{bound:?}");
    admin.api::<Role>().get("kube-public", "system:controller:bootstrap-signer").await.expect("there");
    let cut = |auto: &str| {
        Patch::merge(&json!({
            "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": auto}},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
        }))
    };
    roles.patch("", "system:kube-scheduler", cut("true")).await.expect("changed");
    roles.patch("", "system:kube-dns", cut("false")).await.expect("changed");
    admin.api::<ClusterRoleBinding>().delete("", "system:discovery", &DeleteParams::default()).await.expect("deleted");
    server.stop().await;
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let roles = admin.api::<ClusterRole>();
    until("what was missing", || async {
        let scheduler = roles.get("", "system:kube-scheduler").await.expect("there");
        (scheduler.rules.len() > 10).then_some(())
    })
    .await;
    assert_eq!(roles.get("", "system:kube-dns").await.expect("there").rules.len(), 1, "it wants no updates");
    until("the binding", || async { admin.api::<ClusterRoleBinding>().get("", "system:discovery").await.ok() }).await;
    server.stop().await;
}

async fn reviews_answer_what_checks_would(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let (admin, alice) = (cluster.client(&server, "admin"), cluster.client(&server, "alice"));
    admin.api::<Role>().create(&role("reader", vec![rule(&["list"], "", &["pods"])])).await.expect("created");
    admin.api::<RoleBinding>().create(&binding("b", "Role", "reader", "alice")).await.expect("created");
    until("the role", || async { list_pods(&alice).await.ok() }).await;
    let pods = || {
        let (verb, resource, namespace) = ("list".to_owned(), "pods".to_owned(), "default".to_owned());
        Some(ResourceAttributes { verb, resource, namespace, ..ResourceAttributes::default() })
    };
    let why = "RBAC: allowed by RoleBinding \"b/default\" of Role \"reader\" to User \"alice\"";
    let mut own = SelfSubjectAccessReview::default();
    own.spec.resource_attributes = pods();
    let status = alice.api::<SelfSubjectAccessReview>().create(&own).await.expect("answered").status;
    assert_eq!((status.allowed, status.reason.as_str()), (true, why));
    let mut of = SubjectAccessReview::default();
    of.spec.resource_attributes = pods();
    assert!(alice.api::<SubjectAccessReview>().create(&of).await.expect_err("not hers to ask").is_forbidden());
    let nobody = admin.api::<SubjectAccessReview>().create(&of).await.expect_err("about nobody");
    assert!(nobody.is_invalid(), "{nobody}");
    of.spec.user = "alice".into();
    let status = admin.api::<SubjectAccessReview>().create(&of).await.expect("answered").status;
    assert_eq!((status.allowed, status.reason.as_str()), (true, why));
    of.spec.user = "bob".into();
    let status = admin.api::<SubjectAccessReview>().create(&of).await.expect("answered").status;
    assert_eq!((status.allowed, status.denied, status.reason.as_str()), (false, false, ""));
    of.spec.resource_attributes = None;
    of.spec.non_resource_attributes = Some(NonResourceAttributes { path: "/version".into(), verb: "get".into() });
    of.spec.groups = vec!["system:authenticated".into()];
    let status = admin.api::<SubjectAccessReview>().create(&of).await.expect("answered").status;
    assert!(status.allowed && status.reason.contains("system:"), "{status:?}");
    let mut local = LocalSubjectAccessReview::default();
    local.metadata.namespace = "default".into();
    local.spec.user = "alice".into();
    local.spec.resource_attributes = pods();
    assert!(admin.api::<LocalSubjectAccessReview>().create(&local).await.expect("answered").status.allowed);
    local.metadata.namespace = "kube-system".into();
    assert!(admin.api::<LocalSubjectAccessReview>().create(&local).await.is_err(), "about another namespace");
    let mut rules = SelfSubjectRulesReview::default();
    rules.spec.namespace = "default".into();
    let status = alice.api::<SelfSubjectRulesReview>().create(&rules).await.expect("answered").status;
    assert!(status.resource_rules.iter().any(|rule| rule.resources == ["pods"] && rule.verbs == ["list"]));
    assert!(status.non_resource_rules.iter().any(|rule| rule.non_resource_urls.contains(&"/version".to_owned())));
    assert!(!status.incomplete, "{status:?}");
    let me = alice.api::<SelfSubjectReview>().create(&SelfSubjectReview::default()).await.expect("answered");
    assert_eq!(me.status.user_info.username, "alice");
    assert_eq!(me.status.user_info.groups, ["devs", "system:authenticated"]);
    let mut token = TokenReview::default();
    token.spec.token = "banana".into();
    let status = admin.api::<TokenReview>().create(&token).await.expect("answered").status;
    assert_eq!((status.authenticated, status.error.as_str()), (false, "invalid bearer token"));
    assert!(alice.api::<TokenReview>().create(&token).await.expect_err("not hers to ask").is_forbidden());
    assert!(admin.api::<TokenReview>().get("", "x").await.is_err(), "reviews are not stored");
    server.stop().await;
}

/// Who the server says is asking, when `who` asks with these headers.
async fn seen_as(
    cluster: &Cluster,
    server: &Apiserver,
    who: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<(String, Vec<String>), String> {
    let pair = Some((cluster.pki.certificate(who), cluster.pki.key(who)));
    let identity = ClientIdentity::load(cluster.pki.authority(Authority::Cluster), pair).expect("good files");
    let channel = identity.channel(&format!("https://{}", server.address), None).expect("a channel");
    let mut request = tonic::Request::new(WhoAmIRequest::default());
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse().expect("text"));
    }
    let answer = AuthClient::new(channel).who_am_i(request).await;
    answer
        .map(|answer| answer.into_inner())
        .map(|me| (me.username, me.groups))
        .map_err(|status| status.message().to_owned())
}

async fn who_may_impersonate_counts_as_somebody_else(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let bob = [("impersonate-user", "bob"), ("impersonate-group", "a"), ("impersonate-group", "b")];
    let (name, groups) = seen_as(&cluster, &server, "admin", &bob).await.expect("administrators may be anybody");
    assert_eq!((name.as_str(), groups.join(" ").as_str()), ("bob", "a b system:authenticated"));
    let refused = seen_as(&cluster, &server, "alice", &bob).await.expect_err("she may not");
    let why = "users \"bob\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API group \"\" at the \
               cluster scope";
    assert!(refused.contains(why), "{refused}");
    let mut role = ClusterRole { rules: vec![rule(&["impersonate"], "", &["users"])], ..ClusterRole::default() };
    role.rules[0].resource_names = vec!["bob".into()];
    role.metadata.name = "as-bob".into();
    admin.api::<ClusterRole>().create(&role).await.expect("created");
    let role_ref = RoleRef { api_group: GROUP.into(), kind: "ClusterRole".into(), name: "as-bob".into() };
    let mut bound = ClusterRoleBinding { role_ref, subjects: to_user("alice"), ..ClusterRoleBinding::default() };
    bound.metadata.name = "as-bob".into();
    admin.api::<ClusterRoleBinding>().create(&bound).await.expect("created");
    let me = until("the role", || async { seen_as(&cluster, &server, "alice", &bob[..1]).await.ok() }).await;
    assert_eq!(me.0, "bob");
    let refused = seen_as(&cluster, &server, "alice", &bob).await.expect_err("not his groups");
    assert!(refused.contains("groups \"a\" is forbidden"), "{refused}");
    assert!(seen_as(&cluster, &server, "alice", &[("impersonate-user", "carol")]).await.is_err());
    assert!(seen_as(&cluster, &server, "admin", &[("impersonate-group", "a")]).await.is_err(), "whose group?");
    server.stop().await;
}

async fn anonymous_callers_are_somebody_only_where_that_is_wanted(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver_with(&["--anonymous-auth=true"]).await;
    let nobody = cluster.client_with(&server, Credentials::Anonymous);
    let me = nobody.who_am_i().await.expect("somebody");
    assert_eq!((me.username.as_str(), me.groups.join(" ").as_str()), ("system:anonymous", "system:unauthenticated"));
    let refused = list_pods(&nobody).await.expect_err("no role");
    assert!(refused.is_forbidden() && refused.to_string().contains("User \"system:anonymous\""), "{refused}");
    server.stop().await;
}
