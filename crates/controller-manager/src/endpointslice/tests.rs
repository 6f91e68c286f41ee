use proto::core::v1::{Container, ContainerPort, PodCondition, ServicePort};
use proto::time::Time;

use super::*;
use crate::plan::Write;

fn service() -> Service {
    let mut service = Service::default();
    service.metadata.name = "web".into();
    service.spec.selector.insert("app".into(), "x".into());
    service.spec.ports = vec![ServicePort {
        name: "http".into(),
        protocol: "TCP".into(),
        port: 80,
        target_port: api::int_or_string::parse("web"),
        ..ServicePort::default()
    }];
    service
}

fn pod(number: usize, port: i32) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = format!("p{number}");
    pod.metadata.uid = format!("uid-{number}");
    pod.status.pod_ip = format!("10.244.{}.{}", number / 250, number % 250 + 1);
    pod.status.phase = "Running".into();
    pod.status.conditions = vec![PodCondition { r#type: "Ready".into(), status: "True".into(), ..PodCondition::default() }];
    let of_pod = ContainerPort { name: "web".into(), protocol: "TCP".into(), container_port: port, ..ContainerPort::default() };
    pod.spec.containers = vec![Container { ports: vec![of_pod], ..Container::default() }];
    pod
}

/// Carries a plan out on a list of slices; returns what was written, in short.
fn apply(slices: &mut Vec<EndpointSlice>, pods: &[Pod]) -> Vec<String> {
    let pods: Vec<&Pod> = pods.iter().collect();
    let plan = plan(&service(), &pods, &slices.iter().collect::<Vec<_>>());
    let mut moves = Vec::new();
    for step in plan.steps {
        match step.write {
            Write::Create(object) => {
                let mut slice = object.downcast_ref::<EndpointSlice>().unwrap().clone();
                slice.metadata.uid = format!("s{}", slices.len());
                slices.push(slice);
                moves.push("create".to_owned());
            }
            Write::Update(object) => {
                let slice = object.downcast_ref::<EndpointSlice>().unwrap();
                let known = slices.iter_mut().find(|known| known.metadata.uid == slice.metadata.uid).unwrap();
                *known = slice.clone();
                moves.push(format!("update {}", slice.metadata.uid));
            }
            Write::Delete(target) => {
                slices.retain(|slice| slice.metadata.uid != target.uid);
                moves.push(format!("delete {}", target.uid));
            }
            Write::UpdateStatus(_) => panic!("slices have no status"),
        }
    }
    moves
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let mut slices = Vec::new();
    assert_eq!(apply(&mut slices, &[]), ["create"]);
    assert!(slices[0].endpoints.is_empty() && slices[0].ports.is_empty());
    assert_eq!(apply(&mut slices, &[]), Vec::<String>::new());
}

#[test]
fn the_empty_slice_takes_the_first_pods_and_stays_when_they_leave() {
    let mut slices = Vec::new();
    apply(&mut slices, &[]);
    assert_eq!(apply(&mut slices, &[pod(1, 8080)]), ["update s0"]);
    assert_eq!(slices[0].ports[0].port, Some(8080));
    assert_eq!(apply(&mut slices, &[]), ["update s0"]);
    assert!(slices[0].endpoints.is_empty());
}

#[test]
fn one_pods_change_rewrites_one_slice() {
    let mut slices = Vec::new();
    let mut pods: Vec<Pod> = (0..250).map(|number| pod(number, 8080)).collect();
    assert_eq!(apply(&mut slices, &pods), ["create", "create", "create"]);
    assert_eq!(slices.iter().map(|slice| slice.endpoints.len()).collect::<Vec<_>>(), [100, 100, 50]);
    pods[120].status.conditions[0].status = "False".into();
    assert_eq!(apply(&mut slices, &pods), ["update s1"]);
    assert_eq!(slices[1].endpoints[20].conditions.ready, Some(false));
}

#[test]
fn pods_with_other_ports_stand_in_other_slices() {
    let mut slices = Vec::new();
    apply(&mut slices, &[pod(1, 8080), pod(2, 9090)]);
    let mut ports: Vec<i32> = slices.iter().map(|slice| slice.ports[0].port.unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [8080, 9090]);
}

#[test]
fn a_pod_being_deleted_still_serves_but_is_not_ready() {
    let mut slices = Vec::new();
    let mut leaving = pod(1, 8080);
    leaving.metadata.deletion_timestamp = Some(Time { seconds: 1, nanos: 0 });
    apply(&mut slices, &[leaving]);
    let conditions = slices[0].endpoints[0].conditions;
    assert_eq!((conditions.ready, conditions.serving, conditions.terminating), (Some(false), Some(true), Some(true)));
}
