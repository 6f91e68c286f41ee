//! Namespaces: what is made in them at once, and how they go.

use client::DeleteParams;
use proto::core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount};
use test_control::{Cluster, eventually};

use crate::objects::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_namespace_gets_its_account_and_its_ca_again_and_again() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    admin.api().create(&namespace("n")).await.unwrap();
    for _ in 0..2 {
        let map = eventually("there is a CA", async || {
            admin.api::<ConfigMap>().get_opt("n", "kube-root-ca.crt").await.unwrap()
        })
        .await;
        assert!(map.data["ca.crt"].starts_with("-----BEGIN CERTIFICATE"));
        let account = eventually("there is an account", async || {
            admin.api::<ServiceAccount>().get_opt("n", "default").await.unwrap()
        })
        .await;
        let same = |uid: &str| DeleteParams::with_uid(uid);
        admin.api::<ConfigMap>().delete("n", "kube-root-ca.crt", &same(&map.metadata.uid)).await.unwrap();
        admin.api::<ServiceAccount>().delete("n", "default", &same(&account.metadata.uid)).await.unwrap();
    }
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_namespace_takes_its_content_and_says_what_it_waits_for() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    admin.api().create(&namespace("n")).await.unwrap();
    eventually("there is an account", async || admin.api::<ServiceAccount>().get_opt("n", "default").await.unwrap())
        .await;
    let (mut held, mut map) = (pod("held"), config_map("n", "map"));
    held.metadata.namespace = "n".into();
    for meta in [&mut held.metadata, &mut map.metadata] {
        meta.finalizers = vec!["example.com/hold".into()];
    }
    admin.api().create(&held).await.unwrap();
    admin.api().create(&map).await.unwrap();
    let mut secret = Secret::default();
    (secret.metadata.namespace, secret.metadata.name) = ("n".into(), "secret".into());
    admin.api().create(&secret).await.unwrap();

    admin.api::<Namespace>().delete("", "n", &DeleteParams::default()).await.unwrap();
    let says = async |kind: &str| {
        eventually(&format!("{kind} is said"), async || {
            let waiting = admin.api::<Namespace>().get("", "n").await.unwrap();
            let mut conditions = waiting.status.conditions.into_iter();
            conditions.find(|known| known.r#type == kind && known.status == "True").map(|known| known.message)
        })
        .await
    };
    let said = says("NamespaceDeletionContentFailure").await;
    assert!(said.contains("still remain in namespace: n for gvr: /v1, Resource=pods"), "{said}");
    assert!(admin.api::<Secret>().get_opt("n", "secret").await.unwrap().is_some(), "pods go first");
    let refused = admin.api().create(&config_map("n", "late")).await.unwrap_err();
    assert!(refused.to_string().contains("being terminated"), "{refused}");

    set_finalizers::<Pod>(&admin, &held, &[]).await;
    let said = says("NamespaceFinalizersRemaining").await;
    assert!(said.contains("example.com/hold in 1 resource instances"), "{said}");
    let waiting = says("NamespaceContentRemaining").await;
    assert!(waiting.contains("configmaps. has 1 resource instances"), "{waiting}");
    set_finalizers::<ConfigMap>(&admin, &map, &[]).await;
    is_gone::<Namespace>(&admin, "", "n").await;
    assert!(admin.api::<ConfigMap>().get_opt("n", "map").await.unwrap().is_none());
    assert!(admin.api::<Secret>().get_opt("n", "secret").await.unwrap().is_none());
    manager.stop().await;
}
