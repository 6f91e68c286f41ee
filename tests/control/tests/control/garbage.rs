//! What becomes of the dependents of what is deleted, by each policy.

use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::{ConfigMap, Event, PersistentVolume, Pod};
use proto::meta::v1::OwnerReference;
use test_control::{Cluster, eventually};

use crate::objects::*;

const HOLD: &str = "example.com/hold";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn background_deletion_takes_the_owner_first_and_all_below_it_after() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    admin.api().create(&deployment("d", 2)).await.unwrap();
    let (_, pods) = rolled_out(&admin, 2).await;
    set_finalizers(&admin, &pods[0], &[HOLD]).await;
    delete::<Deployment>(&admin, "d", "Background").await;
    is_gone::<Deployment>(&admin, NS, "d").await;
    count::<ReplicaSet>(&admin, 0).await;
    let left = count::<Pod>(&admin, 1).await;
    assert!(left[0].metadata.deletion_timestamp.is_some(), "it waits for its own finalizer only");
    set_finalizers(&admin, &pods[0], &[]).await;
    count::<Pod>(&admin, 0).await;
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreground_deletion_takes_the_owner_last() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    admin.api().create(&deployment("d", 2)).await.unwrap();
    let (_, pods) = rolled_out(&admin, 2).await;
    set_finalizers(&admin, &pods[0], &[HOLD]).await;
    delete::<Deployment>(&admin, "d", "Foreground").await;
    let left = count::<Pod>(&admin, 1).await;
    assert_eq!(left[0].metadata.name, pods[0].metadata.name);
    let waiting = admin.api::<Deployment>().get(NS, "d").await.unwrap();
    assert!(waiting.metadata.finalizers.iter().any(|known| known == "foregroundDeletion"), "{waiting:?}");
    assert_eq!(count::<ReplicaSet>(&admin, 1).await[0].metadata.finalizers, ["foregroundDeletion"]);
    set_finalizers(&admin, &pods[0], &[]).await;
    is_gone::<Deployment>(&admin, NS, "d").await;
    count::<ReplicaSet>(&admin, 0).await;
    manager.stop().await;
}

/// Asserts that the dependents live on without the owner.
async fn are_orphans(admin: &client::Client, set: &ReplicaSet, pods: &[Pod]) {
    is_gone::<Deployment>(admin, NS, "d").await;
    let orphan = admin.api::<ReplicaSet>().get(NS, &set.metadata.name).await.unwrap();
    assert_eq!(orphan.metadata.uid, set.metadata.uid);
    assert_eq!((orphan.metadata.owner_references.len(), orphan.metadata.deletion_timestamp), (0, None));
    for pod in pods {
        let found = admin.api::<Pod>().get(NS, &pod.metadata.name).await.unwrap();
        assert_eq!((&found.metadata.uid, found.metadata.deletion_timestamp), (&pod.metadata.uid, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphaned_dependents_live_on() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    admin.api().create(&deployment("d", 2)).await.unwrap();
    let (set, pods) = rolled_out(&admin, 2).await;
    delete::<Deployment>(&admin, "d", "Orphan").await;
    are_orphans(&admin, &set, &pods).await;
    manager.stop().await;
}

/// The collector begins with the owner's deletion before it, and its dependents not listed yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_live_on_when_the_owner_was_deleted_while_nobody_collected() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    admin.api().create(&deployment("d", 2)).await.unwrap();
    let (set, pods) = rolled_out(&admin, 2).await;
    manager.stop().await;
    delete::<Deployment>(&admin, "d", "Orphan").await;
    let waiting = admin.api::<Deployment>().get(NS, "d").await.unwrap();
    assert_eq!(waiting.metadata.finalizers, ["orphan"]);
    let manager = cluster.controller_manager(&[]);
    are_orphans(&admin, &set, &pods).await;
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_goes_with_its_last_owner_and_an_impossible_owner_is_told_of() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    let mut owners = Vec::new();
    for name in ["one", "two"] {
        let map = admin.api().create(&config_map(NS, name)).await.unwrap();
        owners.push(OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name: name.into(),
            uid: map.metadata.uid,
            ..OwnerReference::default()
        });
    }
    let mut dependent = config_map(NS, "dependent");
    dependent.metadata.owner_references = owners.clone();
    admin.api().create(&dependent).await.unwrap();
    delete::<ConfigMap>(&admin, "one", "Background").await;
    eventually("the owner that is gone is forgotten", async || {
        let left = admin.api::<ConfigMap>().get(NS, "dependent").await.unwrap().metadata.owner_references;
        (left.len() == 1 && left[0].name == "two").then_some(())
    })
    .await;

    let mut volume: PersistentVolume = proto::json::from_slice(
        br#"{"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/tmp/v"}}}"#,
    )
    .unwrap();
    volume.metadata.name = "volume".into();
    volume.metadata.owner_references =
        vec![owners[1].clone(), OwnerReference { uid: "gone".into(), ..owners[0].clone() }];
    admin.api().create(&volume).await.unwrap();
    delete::<ConfigMap>(&admin, "two", "Background").await;
    is_gone::<ConfigMap>(&admin, NS, "dependent").await;
    eventually("somebody tells of the owner", async || {
        let events = admin.api::<Event>().list(&client::ListParams::default()).await.unwrap().items;
        let about =
            |event: &Event| event.reason == "OwnerRefInvalidNamespace" && event.involved_object.name == "volume";
        events.iter().any(about).then_some(())
    })
    .await;
    let volume = admin.api::<PersistentVolume>().get("", "volume").await.unwrap();
    assert_eq!(volume.metadata.deletion_timestamp, None);
    manager.stop().await;
}
