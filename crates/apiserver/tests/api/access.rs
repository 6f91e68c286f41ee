//! Who may do what, and tokens.

use client::ListParams;
use client::config::{Credentials, Data};
use proto::authentication::v1::{BoundObjectReference, TokenRequest};
use proto::core::v1::{ConfigMap, Node, Pod, Secret, ServiceAccount};

use crate::harness::{Cluster, Engine, config_map, pod, service_account};
use crate::on_each_store;

on_each_store! {
    identities_may_do_what_their_role_says
    tokens_name_their_account_and_end_with_their_pod
}

async fn identities_may_do_what_their_role_says(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let node = cluster.client(&server, "node");
    let mut own = Node::default();
    own.metadata.name = "n1".into();
    let made = node.api::<Node>().create(&own).await.expect("its own node");
    assert_eq!(made.spec.taints[0].key, "node.kubernetes.io/not-ready");
    own.metadata.name = "n2".into();
    assert!(node.api::<Node>().create(&own).await.expect_err("another's").is_forbidden());
    assert!(
        node.api::<ConfigMap>().create(&config_map("default", "a", &[])).await.expect_err("no role").is_forbidden()
    );
    let scheduler = cluster.client(&server, "scheduler");
    assert!(scheduler.api::<Secret>().list(&ListParams::default()).await.expect_err("no role").is_forbidden());
    scheduler.api::<Pod>().list(&ListParams::default()).await.expect("its role");
    let stranger = cluster.client(&server, "stranger");
    let refused = stranger.api::<Pod>().list(&ListParams::default()).await.expect_err("nobody");
    assert!(
        refused
            .to_string()
            .contains("User \"mallory\" cannot list resource \"pods\" in API group \"\" at the cluster scope"),
        "{refused}"
    );
    assert_eq!(stranger.who_am_i().await.expect("may ask who it is").username, "mallory");
    let nobody = cluster.client_with(&server, Credentials::Anonymous);
    let refused = nobody.who_am_i().await.expect_err("nothing is anonymous");
    assert_eq!(refused.status().map(|status| status.code), Some(401), "{refused}");
    server.stop().await;
}

async fn tokens_name_their_account_and_end_with_their_pod(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let accounts = admin.api::<ServiceAccount>();
    accounts.create(&service_account("default", "default")).await.expect("created");
    let made = admin.api::<Pod>().create(&pod("default", "p")).await.expect("created");
    let mut request = TokenRequest::default();
    request.spec.expiration_seconds = Some(600);
    request.spec.bound_object_ref = Some(BoundObjectReference {
        kind: "Pod".into(),
        api_version: "v1".into(),
        name: "p".into(),
        u_id: made.metadata.uid.clone(),
    });
    let answer = accounts.create_subresource("default", "default", "token", &request).await.expect("issued");
    let issued: TokenRequest = proto::any::unpack(&answer).expect("a TokenRequest");
    assert!(issued.status.expiration_timestamp.seconds > issued.metadata.creation_timestamp.seconds);
    let token = Credentials::Token(Data::Inline(issued.status.token.into_bytes()));
    let pod_client = cluster.client_with(&server, token);
    let who = pod_client.who_am_i().await.expect("a valid token");
    assert_eq!(who.username, "system:serviceaccount:default:default");
    assert!(who.groups.contains(&"system:serviceaccounts:default".to_owned()));
    assert!(pod_client.api::<Pod>().list(&ListParams::default()).await.expect_err("no role").is_forbidden());
    request.spec.expiration_seconds = Some(5);
    let short = accounts.create_subresource("default", "default", "token", &request).await.expect_err("too short");
    assert_eq!(short.status().map(|status| status.code), Some(422), "{short}");

    admin.api::<Pod>().delete("default", "p", &client::DeleteParams::default()).await.expect("deleted");
    let begin = std::time::Instant::now();
    while pod_client.who_am_i().await.is_ok() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "the token outlives its pod");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}
