//! Several writers, several apiservers, one store.

use client::{ListParams, Patch};
use proto::core::v1::{ConfigMap, Service};
use serde_json::json;

use crate::harness::{Cluster, Engine, config_map};
use crate::on_each_store;
use crate::services::service;

on_each_store! {
    no_update_is_lost_between_two_apiservers
    addresses_and_ports_are_given_once
    a_dead_endpoint_is_passed_over
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
