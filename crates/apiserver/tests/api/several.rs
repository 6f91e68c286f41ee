//! Two apiservers on one store: either is as good as the other, and nothing is given out twice.

use std::collections::BTreeSet;

use client::ListParams;
use client::config::{Credentials, Data};
use futures::future::join_all;
use http::StatusCode;
use proto::core::v1::{ConfigMap, Endpoints, Service};
use proto::discovery::v1::EndpointSlice;
use serde_json::json;

use crate::harness::{Apiserver, Cluster, Engine, config_map, service_account, until};
use crate::on_each_store;
use crate::rest_client::Caller;
use crate::services::service;

on_each_store! {
    both_are_endpoints_until_one_leaves
    addresses_and_ports_are_given_out_once
    what_one_says_the_other_understands
}

const ADDRESSES: [&str; 2] = ["10.7.0.1", "10.7.0.2"];

async fn pair(cluster: &Cluster) -> [Apiserver; 2] {
    let [first, second] = ADDRESSES.map(|address| format!("--advertise-address={address}"));
    [cluster.apiserver_with(&[&first]).await, cluster.apiserver_with(&[&second]).await]
}

async fn both_are_endpoints_until_one_leaves(engine: Engine) {
    let cluster = Cluster::start(engine);
    let [first, second] = pair(&cluster).await;
    let client = cluster.client(&first, "admin");
    let addresses = || async {
        let endpoints = client.api::<Endpoints>().get("default", "kubernetes").await.expect("there");
        let slice = client.api::<EndpointSlice>().get("default", "kubernetes").await.expect("there");
        let core: Vec<String> = endpoints.subsets[0].addresses.iter().map(|address| address.ip.clone()).collect();
        let sliced: Vec<String> = slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.clone()).collect();
        (core == sliced).then_some(core)
    };
    until("both addresses", || async { addresses().await.filter(|found| found == &ADDRESSES) }).await;
    second.stop().await;
    until("one address", || async { addresses().await.filter(|found| found == &ADDRESSES[..1]) }).await;
    first.stop().await;
}

async fn addresses_and_ports_are_given_out_once(engine: Engine) {
    const EACH: usize = 40;
    let cluster = Cluster::start(engine);
    let [first, second] = pair(&cluster).await;
    let clients = [cluster.client(&first, "admin"), cluster.client(&second, "admin")];
    let made = join_all((0..2 * EACH).map(|number| {
        let services = clients[number % 2].api::<Service>();
        async move { services.create(&service(&format!("s{number}"), "NodePort")).await.expect("created") }
    }))
    .await;
    let addresses: BTreeSet<&str> = made.iter().map(|service| service.spec.cluster_ip.as_str()).collect();
    let ports: BTreeSet<i32> = made.iter().map(|service| service.spec.ports[0].node_port).collect();
    assert_eq!((addresses.len(), ports.len()), (2 * EACH, 2 * EACH));

    // The same address asked for on both: one gets it.
    let wanted = |name: &str| {
        let mut service = service(name, "ClusterIP");
        service.spec.cluster_ip = "10.96.7.7".into();
        service
    };
    let (one, other) = (wanted("one"), wanted("other"));
    let [first_services, second_services] = clients.each_ref().map(|client| client.api::<Service>());
    let (one, other) = tokio::join!(first_services.create(&one), second_services.create(&other));
    assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
    first.stop().await;
    second.stop().await;
}

async fn what_one_says_the_other_understands(engine: Engine) {
    let cluster = Cluster::start(engine);
    let [first, second] = pair(&cluster).await;
    let client = cluster.client(&first, "admin");
    client.api().create(&service_account("default", "builder")).await.expect("created");
    for number in 0..5 {
        client.api().create(&config_map("default", &format!("m{number}"), &[])).await.expect("created");
    }
    let callers = [&first, &second].map(|server| Caller::new(&cluster.pki, server.address, "admin"));

    let token = "/api/v1/namespaces/default/serviceaccounts/builder/token";
    let made = callers[0].create(token, json!({ "spec": {} })).await;
    let token = made["status"]["token"].as_str().expect("a token").to_owned();
    let builder = cluster.client_with(&second, Credentials::Token(Data::Inline(token.into_bytes())));
    assert_eq!(builder.who_am_i().await.expect("known").username, "system:serviceaccount:default:builder");

    let maps = "/api/v1/namespaces/default/configmaps";
    let page = callers[0].get(&format!("{maps}?limit=3")).await.json();
    let (go_on, version) = (page["metadata"]["continue"].as_str(), page["metadata"]["resourceVersion"].as_str());
    let (go_on, version) = (go_on.expect("more"), version.expect("a version"));
    client.api().create(&config_map("default", "m9", &[])).await.expect("created");
    let rest = callers[1].get(&format!("{maps}?limit=9&continue={go_on}")).await;
    assert_eq!(rest.status, StatusCode::OK, "{}", rest.text());
    let rest = rest.json();
    let names: Vec<&str> =
        rest["items"].as_array().expect("items").iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["m3", "m4"], "the list is of one moment");
    assert_eq!(rest["metadata"]["resourceVersion"], version);

    let watch = callers[1].get(&format!("{maps}?watch=1&timeoutSeconds=1&resourceVersion={version}")).await;
    let events: Vec<serde_json::Value> =
        watch.text().lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!(
        (events[0]["type"].as_str(), events[0]["object"]["metadata"]["name"].as_str()),
        (Some("ADDED"), Some("m9"))
    );

    // What was written here is there at once for who asks for the newest.
    for number in 0..20 {
        let name = format!("n{number}");
        client.api().create(&config_map("default", &name, &[])).await.expect("created");
        let there = cluster.client(&second, "admin");
        let listed = there.api::<ConfigMap>().list(&ListParams::default()).await.expect("listed");
        assert!(listed.items.iter().any(|map| map.metadata.name == name), "{name}");
    }
    first.stop().await;
    second.stop().await;
}
