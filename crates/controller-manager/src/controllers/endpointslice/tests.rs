use proto::core::v1::{Container, ContainerPort, PodIp};

use super::*;
use crate::sim::{self, Sim, slices};

fn service() -> Service {
    let mut service = sim::service("web");
    service.spec.ports = vec![ServicePort {
        name: "http".into(),
        protocol: "TCP".into(),
        port: 80,
        target_port: int_or_string::parse("web"),
        ..ServicePort::default()
    }];
    service
}

fn pod(number: usize, port: i32) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.namespace = "n".into();
    pod.metadata.name = format!("p{number:03}");
    pod.metadata.labels.insert("app".into(), "x".into());
    sim::ready(&mut pod, 5);
    pod.status.pod_ip = format!("10.244.{}.{}", number / 250, number % 250 + 1);
    pod.status.pod_ips = vec![PodIp { ip: pod.status.pod_ip.clone() }];
    let web =
        ContainerPort { name: "web".into(), protocol: "TCP".into(), container_port: port, ..ContainerPort::default() };
    pod.spec.containers = vec![Container { ports: vec![web], ..Container::default() }];
    pod
}

fn sim() -> Sim {
    let mut sim = Sim::new();
    sim.create(service());
    sim
}

#[test]
fn service_without_pods_has_one_empty_slice() {
    let mut sim = sim();
    assert_eq!(sim.look_slices("web"), ["create"]);
    let slice = &slices(&sim)[0];
    assert!(slice.endpoints.is_empty() && slice.ports.is_empty());
    assert_eq!(slice.address_type, "IPv4");
    assert_eq!(slice.metadata.labels["kubernetes.io/service-name"], "web");
    assert_eq!(slice.metadata.owner_references[0].kind, "Service");
    assert!(sim.look_slices("web").is_empty());
}

#[test]
fn empty_slice_takes_the_first_pods_and_stays_when_they_leave() {
    let mut sim = sim();
    sim.look_slices("web");
    sim.create(pod(1, 8080));
    let name = slices(&sim)[0].metadata.name.clone();
    assert_eq!(sim.look_slices("web"), [format!("update {name}")]);
    assert_eq!(slices(&sim)[0].ports[0].port, Some(8080));
    sim.change::<Pod>("p001", |pod| {
        pod.metadata.labels.clear();
    });
    sim.deliver_all();
    assert_eq!(sim.look_slices("web"), [format!("update {name}")]);
    assert!(slices(&sim)[0].endpoints.is_empty());
}

#[test]
fn one_pods_change_rewrites_one_slice() {
    let mut sim = sim();
    for number in 0..250 {
        sim.create(pod(number, 8080));
    }
    assert_eq!(sim.look_slices("web"), ["create", "create", "create"]);
    let mut sizes: Vec<usize> = slices(&sim).iter().map(|slice| slice.endpoints.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    sim.change::<Pod>("p120", |pod| pod.status.conditions[0].status = "False".into());
    sim.deliver_all();
    assert_eq!(sim.look_slices("web").len(), 1);
    sim.create(pod(300, 8080));
    assert_eq!(sim.look_slices("web").len(), 1, "it goes where there is room");
    assert_eq!(slices(&sim).len(), 3);
}

#[test]
fn pods_with_other_ports_stand_in_other_slices() {
    let mut sim = sim();
    sim.create(pod(1, 8080));
    sim.create(pod(2, 9090));
    sim.look_slices("web");
    let mut ports: Vec<_> = slices(&sim).iter().filter_map(|slice| slice.ports[0].port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [8080, 9090]);
}

#[test]
fn pod_being_deleted_still_serves_but_is_not_ready() {
    let mut sim = sim();
    let mut leaving = pod(1, 8080);
    leaving.metadata.deletion_timestamp = Some(Time::from_unix(1));
    sim.create(leaving);
    sim.look_slices("web");
    let conditions = slices(&sim)[0].endpoints[0].conditions;
    assert_eq!((conditions.ready, conditions.serving, conditions.terminating), (Some(false), Some(true), Some(true)));
}

#[test]
fn headless_service_says_so_and_publishes_names_and_the_unready() {
    let mut sim = Sim::new();
    let mut headless = service();
    headless.spec.cluster_ip = "None".into();
    headless.spec.publish_not_ready_addresses = true;
    sim.create(headless);
    let mut named = pod(1, 8080);
    named.spec.hostname = "one".into();
    named.spec.subdomain = "web".into();
    named.status.conditions.clear();
    sim.create(named);
    sim.look_slices("web");
    let slice = &slices(&sim)[0];
    assert!(slice.metadata.labels.contains_key(HEADLESS));
    let endpoint = &slice.endpoints[0];
    assert_eq!(endpoint.hostname.as_deref(), Some("one"));
    assert_eq!((endpoint.conditions.ready, endpoint.conditions.serving), (Some(true), Some(false)));
}

#[test]
fn ended_pods_and_pods_without_address_are_left_out() {
    let mut sim = sim();
    let mut ended = pod(1, 8080);
    ended.status.phase = "Succeeded".into();
    sim.create(ended);
    let mut young = pod(2, 8080);
    young.status.pod_ip.clear();
    young.status.pod_ips.clear();
    sim.create(young);
    sim.look_slices("web");
    assert!(slices(&sim)[0].endpoints.is_empty());
}

#[test]
fn dual_stack_service_has_slices_of_both_families() {
    let mut sim = Sim::new();
    let mut dual = service();
    dual.spec.ip_families = vec!["IPv4".into(), "IPv6".into()];
    sim.create(dual);
    let mut both = pod(1, 8080);
    both.status.pod_ips.push(PodIp { ip: "fd00::1".into() });
    sim.create(both);
    sim.look_slices("web");
    let mut found: Vec<_> = slices(&sim)
        .iter()
        .map(|slice| (slice.address_type.clone(), slice.endpoints[0].addresses[0].clone()))
        .collect();
    found.sort();
    let expect = [("IPv4".to_owned(), "10.244.0.2".to_owned()), ("IPv6".to_owned(), "fd00::1".to_owned())];
    assert_eq!(found, expect);
}

#[test]
fn slices_of_a_deleted_service_go() {
    let mut sim = sim();
    sim.look_slices("web");
    let service = sim.get::<Service>("web");
    sim.view.services.remove(service);
    assert_eq!(sim.look_slices("web").len(), 1);
    assert!(slices(&sim).is_empty());
}
