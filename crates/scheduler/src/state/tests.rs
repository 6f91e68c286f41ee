use super::*;
use crate::testing::{api_pod, node};

fn state() -> State {
    State::new("default-scheduler", Queue::new(1000, 10_000), 0)
}

fn waiting(name: &str, cpu: &str) -> core::Pod {
    let mut pod = api_pod(name, cpu, "1Mi");
    pod.spec.scheduler_name = "default-scheduler".into();
    pod.metadata.uid = format!("uid-{name}");
    pod
}

fn on(node: &str, mut pod: core::Pod) -> core::Pod {
    pod.spec.node_name = node.into();
    pod
}

fn key(name: &str) -> PodKey {
    ("default".into(), name.into())
}

#[track_caller]
fn bound(actions: Option<Vec<Action>>) -> String {
    match actions.as_deref() {
        Some([Action::Bind(pod)]) => pod.node.clone(),
        other => panic!("not a binding: {other:?}"),
    }
}

#[track_caller]
fn refused(actions: Option<Vec<Action>>) -> (String, bool) {
    match actions.as_deref() {
        Some([Action::Refuse { message, changed, .. }]) => (message.clone(), *changed),
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn assumed_pods_take_their_room_at_once() {
    let mut state = state();
    state.node_changed(&node("a", "1", "1Gi"), 0);
    state.pod_changed(&waiting("one", "1"), 0);
    state.pod_changed(&waiting("two", "1"), 0);
    assert_eq!(bound(state.decide(0)), "a");
    assert!(refused(state.decide(0)).0.starts_with("0/1 nodes are available: 1 Insufficient cpu."));
}

#[test]
fn a_failed_binding_frees_the_room_and_tries_again() {
    let mut state = state();
    state.node_changed(&node("a", "1", "1Gi"), 0);
    state.pod_changed(&waiting("one", "1"), 0);
    let Some([Action::Bind(pod)]) = state.decide(0).as_deref().map(|a| <&[Action; 1]>::try_from(a).unwrap().clone())
    else {
        panic!()
    };
    state.not_bound(&pod, true, 0);
    assert_eq!(state.snapshot.requested[0].cpu_m, 0);
    assert_eq!(state.decide(0), None, "in backoff");
    assert_eq!(bound(state.decide(1000)), "a");
}

#[test]
fn an_old_event_of_a_pod_being_bound_is_no_second_pod() {
    let mut state = state();
    state.node_changed(&node("a", "4", "1Gi"), 0);
    let pod = waiting("one", "1");
    state.pod_changed(&pod, 0);
    bound(state.decide(0));
    state.pod_changed(&pod, 0);
    assert_eq!(state.decide(0), None);
    state.pod_changed(&on("a", pod), 0);
    assert_eq!(state.snapshot.requested[0].cpu_m, 1000);
}

#[test]
fn room_that_a_deleted_pod_leaves_wakes_those_who_fit() {
    let mut state = state();
    state.node_changed(&node("a", "2", "1Gi"), 0);
    state.pod_changed(&on("a", waiting("old", "2")), 0);
    state.pod_changed(&waiting("new", "2"), 0);
    state.pod_changed(&waiting("larger", "3"), 0);
    refused(state.decide(0));
    refused(state.decide(0));
    state.pod_gone(&key("old"), 5000);
    assert_eq!(bound(state.decide(5000)), "a");
    assert_eq!(state.decide(100_000), None, "the larger one is not tried for nothing");
}

#[test]
fn finished_pods_take_no_room() {
    let mut state = state();
    state.node_changed(&node("a", "1", "1Gi"), 0);
    let mut done = on("a", waiting("done", "1"));
    state.pod_changed(&done, 0);
    done.status.phase = "Succeeded".into();
    state.pod_changed(&done, 0);
    state.pod_changed(&waiting("new", "1"), 0);
    assert_eq!(bound(state.decide(0)), "a");
}

#[test]
fn the_condition_is_written_only_when_it_says_something_new() {
    let mut state = state();
    state.pod_changed(&waiting("one", "1"), 0);
    assert_eq!(refused(state.decide(0)), ("no nodes available to schedule pods".into(), true));
    state.node_changed(&node("a", "0", "1Gi"), 5000);
    assert!(refused(state.decide(5000)).1, "another reason than before");
    state.node_changed(&node("a", "0.5", "1Gi"), 50_000);
    assert_eq!(state.decide(60_000), None, "a node that still would not do wakes nobody");
    assert!(!refused(state.decide(900_000)).1);
}

#[test]
fn a_taint_removed_from_a_node_that_is_too_small_changes_the_sentence() {
    let mut state = state();
    let mut tainted = node("a", "1", "1Gi");
    tainted.spec.taints = vec![core::Taint { key: "k".into(), effect: "NoSchedule".into(), ..Default::default() }];
    state.node_changed(&tainted, 0);
    state.pod_changed(&waiting("big", "8"), 0);
    assert!(refused(state.decide(0)).0.contains("untolerated"));
    state.node_changed(&node("a", "1", "1Gi"), 5000);
    assert!(refused(state.decide(5000)).0.contains("Insufficient cpu"));
}

#[test]
fn a_new_node_wakes_the_pod() {
    let mut state = state();
    state.pod_changed(&waiting("one", "1"), 0);
    refused(state.decide(0));
    state.node_changed(&node("a", "2", "1Gi"), 2000);
    assert_eq!(bound(state.decide(2000)), "a");
}

#[test]
fn pods_of_other_schedulers_are_left_alone_but_count_once_placed() {
    let mut state = state();
    state.node_changed(&node("a", "1", "1Gi"), 0);
    let mut other = waiting("other", "1");
    other.spec.scheduler_name = "another".into();
    state.pod_changed(&other, 0);
    assert_eq!(state.decide(0), None);
    state.pod_changed(&on("a", other), 0);
    state.pod_changed(&waiting("ours", "1"), 0);
    refused(state.decide(0));
}

#[test]
fn a_more_important_pod_evicts_and_then_gets_the_room() {
    let mut state = state();
    state.node_changed(&node("a", "1", "1Gi"), 0);
    let mut low = on("a", waiting("low", "1"));
    state.pod_changed(&low, 0);
    let mut high = waiting("high", "1");
    high.spec.priority = Some(10);
    state.pod_changed(&high, 0);
    let actions = state.decide(0).unwrap();
    assert!(matches!(&actions[..], [
        Action::Refuse { message, nominated: Some(node), .. },
        Action::Evict { victims, .. },
    ] if message == "0/1 nodes are available: 1 Insufficient cpu." && node == "a" && victims[0].name == "low"));
    low.metadata.deletion_timestamp = Some(Default::default());
    state.pod_changed(&low, 100);
    state.pod_gone(&key("low"), 3000);
    assert_eq!(bound(state.decide(3000)), "a");
}

#[test]
fn room_that_is_being_made_is_kept_for_whom_it_is_made() {
    let mut state = state();
    state.node_changed(&node("a", "1", "1Gi"), 0);
    state.pod_changed(&on("a", waiting("low", "1")), 0);
    let mut high = waiting("high", "1");
    high.spec.priority = Some(10);
    state.pod_changed(&high, 0);
    assert_eq!(state.decide(0).unwrap().len(), 2, "refused, and others evicted");
    state.pod_gone(&key("low"), 100);
    // The thief comes while the important pod is in backoff.
    state.pod_changed(&waiting("thief", "1"), 200);
    assert!(refused(state.decide(200)).0.starts_with("0/1 nodes are available: 1 Insufficient cpu."));
    assert_eq!(state.snapshot.pods[0].len(), 0, "the reservation leaves no trace");
    assert_eq!(bound(state.decide(5000)), "a");
    assert_eq!(state.decide(5000), None);
}

#[test]
fn explanations_name_queue_and_reasons() {
    let mut state = state();
    state.node_changed(&node("a", "1", "1Gi"), 0);
    state.pod_changed(&waiting("big", "8"), 0);
    refused(state.decide(0));
    let answer = state.explain(&key("big")).unwrap();
    assert_eq!((answer.queue.as_str(), answer.attempts), ("unschedulable", 1));
    assert_eq!(answer.nodes[0].reasons, ["Insufficient cpu"]);
    assert_eq!(answer.nearest_miss, "a: cpu: needs 8000m, 1000m of 1000m are free");
    assert_eq!(state.explain(&key("nobody")), None);
}
