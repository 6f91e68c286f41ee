use proto::core::v1::ContainerResizePolicy;

use super::*;
use crate::observed::{ObservedContainer, State};

fn container(name: &str, cpu: &str, memory: &str) -> Container {
    let mut container = Container { name: name.into(), ..Container::default() };
    for (resource, text) in [("cpu", cpu), ("memory", memory)] {
        let quantity = Quantity { string: text.into() };
        container.resources.requests.insert(resource.into(), quantity.clone());
        container.resources.limits.insert(resource.into(), quantity);
    }
    container
}

fn pod(containers: Vec<Container>) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.generation = 2;
    pod.spec.containers = containers;
    pod
}

fn offer() -> Offer {
    let allocatable = BTreeMap::from([("cpu".into(), 2000), ("memory".into(), 1 << 30)]);
    Offer { allocatable, pods_max: 10, unsafe_sysctls: Vec::new() }
}

fn running(name: &str, with: &Container) -> ObservedPod {
    let seen = ObservedContainer {
        state: State::Running { id: name.into(), started_at: 0 },
        resources: Some(Amounts::of(&with.resources)),
        ..ObservedContainer::default()
    };
    ObservedPod { containers: BTreeMap::from([(name.to_owned(), seen)]), ..ObservedPod::default() }
}

fn restarting(resource: &str, container: Container) -> Container {
    let policy = |name: &str, restart: &str| ContainerResizePolicy {
        resource_name: name.into(),
        restart_policy: restart.into(),
    };
    let other = if resource == "cpu" { "memory" } else { "cpu" };
    let resize_policy = vec![policy(resource, "RestartContainer"), policy(other, "NotRequired")];
    Container { resize_policy, ..container }
}

#[test]
fn only_cpu_and_memory_count_as_a_resize() {
    let one = pod(vec![container("c", "1", "1Gi")]);
    let mut other = one.clone();
    other.spec.containers[0].image = "new".into();
    let storage = Quantity { string: "1Gi".into() };
    other.spec.containers[0].resources.limits.insert("ephemeral-storage".into(), storage);
    assert!(!differs(&one, &other));
    assert!(differs(&one, &pod(vec![container("c", "2", "1Gi")])));
}

#[test]
fn what_the_node_has_not_is_infeasible_and_what_others_have_is_deferred() {
    let judge = |cpu: &str, others: &[Pod]| judge(&pod(vec![container("c", cpu, "1Mi")]), others.iter(), &offer());
    let other = pod(vec![container("o", "1500m", "1Mi")]);
    assert_eq!(judge("2", &[]), Ok(()));
    assert_eq!(judge("500m", std::slice::from_ref(&other)), Ok(()));
    let refused = judge("100", &[]).unwrap_err();
    let why = "Node didn't have enough capacity: cpu, requested: 100000, capacity: 2000";
    assert_eq!((refused.reason, refused.message.as_str(), refused.generation), (Why::Infeasible, why, 2));
    let refused = judge("600m", &[other]).unwrap_err();
    let why = "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000";
    assert_eq!((refused.reason, refused.message.as_str()), (Why::Deferred, why));
}

#[test]
fn what_is_not_granted_leaves_the_rest_of_the_newer_object() {
    let before = pod(vec![container("c", "1", "1Gi")]);
    let mut asked = pod(vec![container("c", "100", "1Gi")]);
    asked.spec.containers[0].image = "new".into();
    let granted = with_granted(&asked, &before);
    assert_eq!(granted.spec.containers[0].image, "new");
    assert!(!differs(&granted, &before));
}

#[test]
fn a_running_container_is_changed_or_restarted_as_its_policy_says() {
    let (old, new) = (container("c", "1", "1Gi"), container("c", "2", "1Gi"));
    let observed = running("c", &old);
    let check = |container: &Container, expect: Step| {
        assert_eq!(step(Member { role: Role::Main, container }, &observed), expect);
    };
    check(&old, Step::Keep);
    check(&new, Step::Change);
    check(&restarting("memory", new.clone()), Step::Change);
    check(&restarting("cpu", new.clone()), Step::Restart);
    let both = container("c", "2", "2Gi");
    check(&restarting("memory", both), Step::Restart);
    // Who does not run gets the new amounts when it does.
    assert_eq!(step(Member { role: Role::Main, container: &new }, &ObservedPod::default()), Step::Keep);
}

#[test]
fn a_pod_is_shown_with_what_its_containers_have() {
    let new = pod(vec![container("c", "2", "1Gi"), container("waits", "2", "1Gi")]);
    let observed = running("c", &container("c", "1", "1Gi"));
    let shown = as_running(&new, &observed);
    let cpu = |at: usize| shown.spec.containers[at].resources.requests["cpu"].string.clone();
    assert_eq!((cpu(0).as_str(), cpu(1).as_str()), ("1", "2"));
    assert!(!is_done(&new, &observed) && is_done(&shown, &observed));
}

#[test]
fn the_pods_own_limits_are_never_below_those_of_its_containers() {
    let limits =
        |quota, memory| Limits { cpu_shares: Some(2), cpu_quota_us: Some(quota), memory_max: memory, pids_max: None };
    let both = between(&limits(100, Some(9)), &limits(200, Some(5)));
    assert_eq!((both.cpu_quota_us, both.memory_max), (Some(200), Some(9)));
    // A limit that comes new waits for its containers.
    assert_eq!(between(&limits(1, None), &limits(1, Some(5))).memory_max, None);
}

#[test]
fn events_say_what_containers_are_to_have() {
    let pod = pod(vec![container("c", "300m", "64Mi")]);
    let expect = r#"{"containers":[{"name":"c","resources":{"limits":{"cpu":"300m","memory":"64Mi"},"requests":{"cpu":"300m","memory":"64Mi"}}}],"generation":2}"#;
    assert_eq!(summary(&pod, None), expect);
    assert!(summary(&pod, Some("no")).ends_with(r#","generation":2,"error":"no"}"#));
}
