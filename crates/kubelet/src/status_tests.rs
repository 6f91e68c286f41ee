//! Statuses beside those that upstream was seen to write (kubernetes-api/behaviour).

use std::sync::Arc;

use super::*;
use crate::observed::Hook;
use crate::pod::Ending;
use crate::time::SECOND;

fn desired(policy: &str, init: &[&str], main: &[&str]) -> DesiredPod {
    let container = |name: &&str| Container { name: (*name).into(), ..Container::default() };
    let mut pod = Pod::default();
    pod.metadata.generation = 1;
    pod.spec.restart_policy = policy.into();
    pod.spec.init_containers = init.iter().map(container).collect();
    pod.spec.containers = main.iter().map(container).collect();
    DesiredPod::new(Arc::new(pod))
}

fn seen(state: State) -> ObservedContainer {
    ObservedContainer {
        state,
        startup_passed: true,
        ready: true,
        post_start: Hook::Done,
        ..ObservedContainer::default()
    }
}

fn run(id: &str) -> State {
    State::Running { id: id.into(), started_at: SECOND }
}

fn exit(code: i32) -> State {
    State::Exited(Exit {
        id: "x".into(),
        code,
        reason: if code == 0 { "Completed" } else { "Error" }.into(),
        message: String::new(),
        started_at: SECOND,
        finished_at: 2 * SECOND,
    })
}

fn observed(containers: &[(&str, State)]) -> ObservedPod {
    ObservedPod {
        started_at: Some(0),
        sandbox: Sandbox::Ready { address: Some("10.0.0.2".parse().unwrap()) },
        volumes: Volumes::Ready,
        containers: containers.iter().map(|(name, state)| ((*name).to_owned(), seen(state.clone()))).collect(),
        ..ObservedPod::default()
    }
}

#[test]
fn a_resize_is_told_until_it_is_done_and_amounts_are_shown_as_they_are() {
    use crate::resize::{Amounts, Pending, Progress, Why};
    let mut pod = desired("Always", &[], &["c"]);
    let cpu = |text: &str| [("cpu".to_owned(), proto::Quantity { string: text.into() })].into();
    let mut before = pod.pod.spec.containers[0].resources.clone();
    before.requests = cpu("1");
    Arc::make_mut(&mut pod.pod).spec.containers[0].resources.requests = cpu("2");
    let mut seen = observed(&[("c", run("x"))]);
    seen.containers.get_mut("c").unwrap().resources = Some(Amounts::of(&before));
    seen.resizing = Some(Progress { generation: 1, ..Progress::default() });
    let message = "too much".to_owned();
    seen.pending = Some(Pending { reason: Why::Deferred, message: message.clone(), generation: 2 });
    let host = "192.0.2.1".parse().unwrap();
    let shown = status(&pod, &seen, &PodStatus::default(), host, 9 * SECOND);
    let told = |status: &PodStatus| -> Vec<(String, String, i64)> {
        let ours = status.conditions.iter().filter(|one| one.r#type.starts_with("PodResize"));
        ours.map(|one| (one.r#type.clone(), one.reason.clone(), one.observed_generation)).collect()
    };
    let expect = [("PodResizePending".into(), "Deferred".into(), 2), ("PodResizeInProgress".into(), String::new(), 1)];
    assert_eq!(told(&shown), expect);
    let container = &shown.container_statuses[0];
    assert_eq!(container.allocated_resources["cpu"].string, "2");
    assert_eq!(container.resources.as_ref().unwrap().requests["cpu"].string, "1");
    assert_eq!(shown.allocated_resources["cpu"].string, "2");
    assert_eq!(shown.resources.as_ref().unwrap().requests["cpu"].string, "1");
    // The same again changes nothing, and what is over is not told any more.
    assert_eq!(status(&pod, &seen, &shown, host, 10 * SECOND), shown);
    (seen.resizing, seen.pending) = (None, None);
    assert!(told(&status(&pod, &seen, &shown, host, 10 * SECOND)).is_empty());
}

/// "Phase Type=Status(Reason) ...", without PodScheduled, which is the same for every pod on a node.
fn told(desired: &DesiredPod, observed: &ObservedPod) -> String {
    let status = status(desired, observed, &PodStatus::default(), "192.0.2.1".parse().unwrap(), 9 * SECOND);
    let mut out = status.phase;
    for one in status.conditions.iter().filter(|one| one.r#type != "PodScheduled") {
        let short = match one.r#type.as_str() {
            "PodReadyToStartContainers" => "Start",
            other => other,
        };
        out.push_str(&format!(" {short}={}", one.status));
        if !one.reason.is_empty() {
            out.push_str(&format!("({})", one.reason));
        }
    }
    out
}

#[test]
fn a_new_pod_is_pending_and_says_what_it_waits_for() {
    let pod = desired("Always", &[], &["c"]);
    let expect = "Pending Start=False Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)";
    assert_eq!(told(&pod, &ObservedPod::default()), expect);
    let shown = status(&pod, &ObservedPod::default(), &PodStatus::default(), "192.0.2.1".parse().unwrap(), 0);
    assert_eq!(shown.conditions[2].message, "containers with unready status: [c]");
    assert_eq!(shown.container_statuses[0].state.waiting.as_ref().unwrap().reason, "ContainerCreating");
    assert_eq!((shown.container_statuses[0].started, shown.host_ip.as_str()), (Some(false), "192.0.2.1"));
}

#[test]
fn init_containers_keep_the_pod_pending() {
    let pod = desired("Always", &["i", "j"], &["c"]);
    let expect = "Pending Start=True Initialized=False(ContainersNotInitialized) Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)";
    assert_eq!(told(&pod, &observed(&[("i", exit(0)), ("j", run("j"))])), expect);
    let shown = status(&pod, &observed(&[("i", exit(0))]), &PodStatus::default(), "192.0.2.1".parse().unwrap(), 0);
    assert_eq!(shown.conditions[1].message, "containers with incomplete status: [j]");
    assert!(shown.init_container_statuses[0].ready && !shown.init_container_statuses[1].ready);
    assert_eq!(shown.container_statuses[0].state.waiting.as_ref().unwrap().reason, "PodInitializing");
}

#[test]
fn a_running_pod_is_ready_when_every_container_is() {
    let pod = desired("Always", &[], &["a", "b"]);
    let mut both = observed(&[("a", run("a")), ("b", run("b"))]);
    assert_eq!(told(&pod, &both), "Running Start=True Initialized=True Ready=True ContainersReady=True");
    both.containers.get_mut("b").unwrap().ready = false;
    let expect =
        "Running Start=True Initialized=True Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)";
    assert_eq!(told(&pod, &both), expect);
}

#[test]
fn an_end_is_a_phase_only_when_nothing_is_left_on_the_node() {
    let pod = desired("Never", &[], &["c"]);
    for (code, reason, phase) in [(0, "PodCompleted", "Succeeded"), (1, "PodFailed", "Failed")] {
        let mut ended = observed(&[("c", exit(code))]);
        let initialized = if code == 0 { "True(PodCompleted)" } else { "True" };
        let rest = format!("Initialized={initialized} Ready=False({reason}) ContainersReady=False({reason})");
        assert_eq!(told(&pod, &ended), format!("Running Start=True {rest}"));
        (ended.torn_down, ended.sandbox) = (true, Sandbox::Absent);
        assert_eq!(told(&pod, &ended), format!("{phase} Start=False {rest}"));
    }
}

#[test]
fn a_pod_that_was_deleted_before_it_was_initialized_fails_and_still_says_what_it_waited_for() {
    let mut pod = desired("Always", &["i"], &["c"]);
    pod.ending = Some(Ending { since: 0, grace_seconds: 2, cause: EndingCause::Deleted });
    let mut ended = observed(&[("i", exit(9))]);
    (ended.torn_down, ended.sandbox) = (true, Sandbox::Absent);
    let expect = "Failed Start=False Initialized=False(ContainersNotInitialized) Ready=False(ContainersNotReady) ContainersReady=False(ContainersNotReady)";
    assert_eq!(told(&pod, &ended), expect);
}

#[test]
fn a_deadline_shows_its_reason_when_the_phase_is_failed_and_not_before() {
    let mut pod = desired("Always", &[], &["c"]);
    let cause = EndingCause::Stopped { reason: "DeadlineExceeded".into(), message: String::new() };
    pod.ending = Some(Ending { since: 0, grace_seconds: 2, cause });
    let shown = |seen: &ObservedPod| {
        let status = status(&pod, seen, &PodStatus::default(), "192.0.2.1".parse().unwrap(), SECOND);
        (status.phase, status.reason)
    };
    assert_eq!(shown(&observed(&[("c", run("c"))])), ("Running".into(), String::new()));
    let mut ended = observed(&[("c", exit(137))]);
    (ended.torn_down, ended.sandbox) = (true, Sandbox::Absent);
    assert_eq!(shown(&ended), ("Failed".into(), "DeadlineExceeded".into()));
}

#[test]
fn a_run_is_shown_when_its_post_start_hook_is_done() {
    let pod = desired("Always", &[], &["c"]);
    let shown = |seen: &ObservedPod| {
        let status = status(&pod, seen, &PodStatus::default(), "192.0.2.1".parse().unwrap(), SECOND);
        let one = status.container_statuses[0].clone();
        (one.state.waiting.map(|waiting| waiting.reason), one.restart_count)
    };
    let mut first = observed(&[("c", run("c"))]);
    first.containers.get_mut("c").unwrap().post_start = Hook::Running;
    assert_eq!(shown(&first), (Some("ContainerCreating".into()), 0));
    // The second run after a failed hook still shows how the first one ended.
    let mut again = first.clone();
    let one = again.containers.get_mut("c").unwrap();
    one.restarts = 1;
    let state = State::Waiting {
        reason: "PostStartHookError".into(),
        message: String::new(),
        retry_at: 0,
        id: Some("x".into()),
    };
    one.before_hook = Some(Box::new(seen(state)));
    assert_eq!(shown(&again), (Some("PostStartHookError".into()), 0));
    again.containers.get_mut("c").unwrap().post_start = Hook::Done;
    assert_eq!(shown(&again), (None, 1));
}

#[test]
fn a_readiness_gate_that_nobody_set_keeps_the_pod_unready() {
    let mut pod = desired("Always", &[], &["c"]);
    Arc::make_mut(&mut pod.pod).spec.readiness_gates =
        vec![proto::core::v1::PodReadinessGate { condition_type: "example.com/gate".into() }];
    let expect = "Running Start=True Initialized=True Ready=False(ReadinessGatesNotReady) ContainersReady=True";
    assert_eq!(told(&pod, &observed(&[("c", run("c"))])), expect);
}

#[test]
fn a_condition_keeps_its_time_and_foreign_ones_stay() {
    let pod = desired("Always", &[], &["c"]);
    let host = "192.0.2.1".parse().unwrap();
    let mut before = status(&pod, &observed(&[("c", run("c"))]), &PodStatus::default(), host, 3 * SECOND);
    before.conditions.push(PodCondition {
        r#type: "example.com/gate".into(),
        status: "True".into(),
        ..PodCondition::default()
    });
    let after = status(&pod, &observed(&[("c", run("c"))]), &before, host, 8 * SECOND);
    assert_eq!(after.conditions[2].last_transition_time.seconds, 3);
    assert_eq!((after.conditions.len(), after.conditions[5].r#type.as_str()), (6, "example.com/gate"));
}

#[test]
fn a_pod_whose_author_chose_the_node_is_scheduled_too() {
    let pod = desired("Always", &[], &["c"]);
    let host = "192.0.2.1".parse().unwrap();
    let shown = status(&pod, &observed(&[("c", run("c"))]), &PodStatus::default(), host, SECOND);
    let scheduled = shown.conditions.iter().find(|condition| condition.r#type == "PodScheduled").unwrap();
    assert_eq!((scheduled.status.as_str(), scheduled.observed_generation), ("True", 1));
}
