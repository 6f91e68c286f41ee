//! The planner by scripts of plain data, and by random lives of random pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proto::core::v1::{Container, Pod};

use super::*;
use crate::observed::Backoff;
use crate::pod::{Ending, EndingCause};
use crate::time::MINUTE;

fn container(name: &str) -> Container {
    Container { name: name.into(), image: "i".into(), ..Container::default() }
}

fn sidecar(name: &str) -> Container {
    Container { restart_policy: Some("Always".into()), ..container(name) }
}

fn desired(policy: &str, init: Vec<Container>, main: Vec<Container>) -> DesiredPod {
    let mut pod = Pod::default();
    pod.metadata.name = "p".into();
    pod.metadata.namespace = "n".into();
    pod.metadata.uid = "u".into();
    pod.spec.restart_policy = policy.into();
    (pod.spec.init_containers, pod.spec.containers) = (init, main);
    DesiredPod::new(Arc::new(pod))
}

/// A pod whose sandbox and volumes are there.
fn ready() -> ObservedPod {
    ObservedPod {
        started_at: Some(0),
        sandbox: Sandbox::Ready { address: None },
        volumes: Volumes::Ready,
        ..ObservedPod::default()
    }
}

fn running(observed: &mut ObservedPod, name: &str) {
    let seen = observed.containers.entry(name.into()).or_default();
    seen.state = State::Running { id: name.into(), started_at: 0 };
    (seen.startup_passed, seen.ready, seen.image) = (true, true, "i".into());
}

fn exited(observed: &mut ObservedPod, name: &str, code: i32, at: Nanos) {
    let seen = observed.containers.entry(name.into()).or_default();
    seen.state = State::Exited(Exit {
        id: name.into(),
        code,
        reason: String::new(),
        message: String::new(),
        started_at: 0,
        finished_at: at,
    });
}

/// Actions as words: "start a", "restart a", "kill a 5", "wake 10s".
fn told(actions: &[Action]) -> String {
    let word = |action: &Action| match action {
        Action::PrepareVolumes => "volumes".to_owned(),
        Action::CreateSandbox => "sandbox".to_owned(),
        Action::Start { name, restart } => format!("{} {name}", if *restart { "restart" } else { "start" }),
        Action::Kill { name, grace_seconds, .. } => format!("kill {name} {grace_seconds}"),
        Action::Show { name, state, .. } => match state {
            State::Waiting { reason, .. } => format!("show {name} {reason}"),
            _ => format!("show {name}"),
        },
        Action::Resize => "resize".to_owned(),
        Action::EndPod { reason, .. } => format!("end {reason}"),
        Action::TearDown => "tear down".to_owned(),
        Action::Finalize => "finalize".to_owned(),
        Action::Wake(at) => format!("wake {}", go_duration(*at)),
    };
    actions.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(desired: &DesiredPod, observed: &ObservedPod, now: Nanos, expect: &str) {
    assert_eq!(told(&plan(desired, observed, now)), expect);
}

#[test]
fn volumes_and_sandbox_are_made_at_once_and_before_any_container() {
    let pod = desired("Always", vec![], vec![container("a")]);
    check(&pod, &ObservedPod::default(), 0, "volumes, sandbox");
    let mut half = ready();
    half.volumes = Volumes::Failed { message: String::new(), tries: 1, retry_at: 5 * SECOND };
    check(&pod, &half, SECOND, "wake 5s");
    check(&pod, &half, 5 * SECOND, "volumes");
    half.busy.insert(Work::Volumes);
    check(&pod, &half, 5 * SECOND, "");
}

#[test]
fn main_containers_start_together_unless_a_hook_holds_them_up() {
    let mut first = container("a");
    check(&desired("Always", vec![], vec![first.clone(), container("b")]), &ready(), 0, "start a, start b");
    first.lifecycle = Some(proto::core::v1::Lifecycle { post_start: Some(Default::default()), ..Default::default() });
    let pod = desired("Always", vec![], vec![first, container("b")]);
    check(&pod, &ready(), 0, "start a");
    let mut seen = ready();
    running(&mut seen, "a");
    seen.containers.get_mut("a").unwrap().post_start = Hook::Running;
    check(&pod, &seen, 0, "");
    seen.containers.get_mut("a").unwrap().post_start = Hook::Done;
    check(&pod, &seen, 0, "start b");
}

#[test]
fn nothing_is_started_while_containerd_is_looked_at_or_an_ended_container_is_removed() {
    let pod = desired("Always", vec![], vec![container("a")]);
    for work in [Work::Adopt, Work::Remove] {
        let mut seen = ready();
        seen.busy.insert(work);
        check(&pod, &seen, 0, "");
    }
}

/// A pod of two containers that were begun with one CPU each and are to have two.
fn resized(policy: &str) -> (DesiredPod, ObservedPod) {
    let with = |name: &str, cpu: &str| {
        let mut one = container(name);
        one.resources.requests.insert("cpu".into(), proto::Quantity { string: cpu.into() });
        one.resize_policy =
            vec![proto::core::v1::ContainerResizePolicy { resource_name: "cpu".into(), restart_policy: policy.into() }];
        one
    };
    let mut seen = ready();
    for name in ["a", "b"] {
        running(&mut seen, name);
        seen.containers.get_mut(name).unwrap().resources = Some(resize::Amounts::of(&with(name, "1").resources));
    }
    seen.resizing = Some(resize::Progress::default());
    (desired("Always", vec![], vec![with("a", "2"), with("b", "2")]), seen)
}

#[test]
fn a_resize_waits_for_containers_that_come_and_go() {
    let (pod, mut seen) = resized("NotRequired");
    check(&pod, &seen, 0, "resize");
    for work in [Work::Resize, Work::Start("a".into()), Work::Kill("a".into())] {
        seen.busy = BTreeSet::from([work]);
        check(&pod, &seen, 0, "");
    }
    seen.busy.clear();
    seen.resizing.as_mut().unwrap().error = Some(("no".into(), 10 * SECOND));
    check(&pod, &seen, 0, "wake 10s");
    check(&pod, &seen, 10 * SECOND, "resize");
    seen.resizing = None;
    check(&pod, &seen, 0, "");
}

#[test]
fn a_container_that_bears_no_other_limits_is_begun_anew_once_the_pods_group_allows_them() {
    let (pod, mut seen) = resized("RestartContainer");
    check(&pod, &seen, 0, "resize");
    // What ended is begun when the group is wide enough for it.
    exited(&mut seen, "b", 1, 0);
    check(&pod, &seen, 0, "resize");
    seen.resizing.as_mut().unwrap().widened = true;
    check(&pod, &seen, 0, "kill a 30, restart b");
    exited(&mut seen, "a", 143, 0);
    let begin = |seen: &mut ObservedPod, name: &str| {
        running(seen, name);
        let now = resize::Amounts::of(&crate::pod::member(&pod.pod, name).unwrap().container.resources);
        seen.containers.get_mut(name).unwrap().resources = Some(now);
    };
    begin(&mut seen, "b");
    check(&pod, &seen, 0, "restart a");
    begin(&mut seen, "a");
    check(&pod, &seen, 0, "resize");
}

#[test]
fn a_grace_period_without_end_is_no_reason_to_kill_at_once() {
    let mut pod = desired("Always", vec![], vec![container("a")]);
    pod.ending = Some(Ending { since: 0, grace_seconds: i64::MAX, cause: EndingCause::Deleted });
    let mut seen = ready();
    running(&mut seen, "a");
    check(&pod, &seen, 0, &format!("kill a {}", i64::MAX / SECOND));
}

#[test]
fn a_start_that_failed_and_a_hook_that_failed_are_put_off_as_crash_loops_are() {
    let pod = desired("Always", vec![], vec![container("a")]);
    for reason in ["RunContainerError", "PostStartHookError"] {
        let mut seen = ready();
        exited(&mut seen, "a", 128, 100 * SECOND);
        let one = seen.containers.get_mut("a").unwrap();
        one.last = one.exit().cloned();
        one.state = State::Waiting {
            reason: reason.into(),
            message: String::new(),
            retry_at: 100 * SECOND,
            id: Some("a".into()),
        };
        check(&pod, &seen, 100 * SECOND, "restart a");
        seen.containers.get_mut("a").unwrap().backoff = Backoff { delay: 10 * SECOND, ..Backoff::default() };
        check(&pod, &seen, 100 * SECOND, "wake 1m50s, wake 1m41s");
        check(&pod, &seen, 101 * SECOND, "wake 1m50s, show a CrashLoopBackOff");
        check(&pod, &seen, 110 * SECOND, "restart a");
    }
}

#[test]
fn init_containers_come_one_by_one_and_sidecars_stay() {
    let pod = desired("Always", vec![container("i"), sidecar("s"), container("j")], vec![container("a")]);
    let mut seen = ready();
    check(&pod, &seen, 0, "start i");
    exited(&mut seen, "i", 0, 0);
    check(&pod, &seen, 0, "start s");
    running(&mut seen, "s");
    seen.containers.get_mut("s").unwrap().startup_passed = false;
    check(&pod, &seen, 0, "");
    seen.containers.get_mut("s").unwrap().startup_passed = true;
    check(&pod, &seen, 0, "start j");
    exited(&mut seen, "s", 1, 0);
    check(&pod, &seen, 0, "restart s");
    running(&mut seen, "s");
    exited(&mut seen, "j", 0, 0);
    check(&pod, &seen, 0, "start a");
    running(&mut seen, "a");
    exited(&mut seen, "s", 0, 0);
    check(&pod, &seen, 0, "restart s");
}

#[test]
fn a_failed_init_container_is_tried_again_or_fails_the_pod() {
    let init = || vec![container("i")];
    let mut seen = ready();
    exited(&mut seen, "i", 1, 0);
    check(&desired("OnFailure", init(), vec![container("a")]), &seen, 0, "restart i");
    check(&desired("Never", init(), vec![container("a")]), &seen, 0, "tear down");
}

#[test]
fn restarts_follow_the_policy() {
    for (policy, code, expect) in [
        ("Always", 0, "restart a"),
        ("Always", 1, "restart a"),
        ("OnFailure", 1, "restart a"),
        ("OnFailure", 0, "tear down"),
        ("Never", 1, "tear down"),
    ] {
        let mut seen = ready();
        exited(&mut seen, "a", code, 0);
        check(&desired(policy, vec![], vec![container("a")]), &seen, 0, expect);
    }
}

#[test]
fn a_restart_that_is_put_off_shows_first_the_exit_then_why() {
    let pod = desired("Always", vec![], vec![container("a")]);
    let mut seen = ready();
    exited(&mut seen, "a", 1, 100 * SECOND);
    seen.containers.get_mut("a").unwrap().backoff = Backoff { delay: 10 * SECOND, ..Backoff::default() };
    check(&pod, &seen, 100 * SECOND, "wake 1m50s, wake 1m41s");
    check(&pod, &seen, 101 * SECOND, "wake 1m50s, show a CrashLoopBackOff");
    check(&pod, &seen, 110 * SECOND, "restart a");
}

#[test]
fn the_end_takes_sidecars_last_and_in_reverse() {
    let mut pod = desired("Always", vec![sidecar("s"), sidecar("t")], vec![container("a"), container("b")]);
    pod.ending = Some(Ending { since: 0, grace_seconds: 30, cause: EndingCause::Deleted });
    let mut seen = ready();
    for name in ["s", "t", "a", "b"] {
        running(&mut seen, name);
    }
    check(&pod, &seen, 10 * SECOND, "kill a 20, kill b 20");
    seen.busy.insert(Work::Kill("a".into()));
    check(&pod, &seen, 10 * SECOND, "kill b 20");
    seen.busy.clear();
    exited(&mut seen, "a", 0, 0);
    exited(&mut seen, "b", 0, 0);
    check(&pod, &seen, 40 * SECOND, "kill t 0");
    exited(&mut seen, "t", 0, 0);
    check(&pod, &seen, 0, "kill s 30");
    exited(&mut seen, "s", 0, 0);
    check(&pod, &seen, 0, "tear down");
    seen.torn_down = true;
    check(&pod, &seen, 0, "");
    pod.gone = true;
    check(&pod, &seen, 0, "finalize");
}

#[test]
fn a_doomed_run_and_a_changed_image_are_ended() {
    let pod = desired("Always", vec![], vec![container("a"), container("b")]);
    let mut seen = ready();
    running(&mut seen, "a");
    running(&mut seen, "b");
    seen.containers.get_mut("a").unwrap().doomed =
        Some(Doom { message: String::new(), grace_seconds: Some(7), shows: None });
    seen.containers.get_mut("b").unwrap().image = "old".into();
    check(&pod, &seen, 0, "kill a 7, kill b 30");
}

#[test]
fn a_deadline_ends_the_pod() {
    let mut pod = desired("Always", vec![], vec![container("a")]);
    Arc::make_mut(&mut pod.pod).spec.active_deadline_seconds = Some(60);
    let mut seen = ready();
    running(&mut seen, "a");
    check(&pod, &seen, 0, "wake 1m0s");
    check(&pod, &seen, MINUTE, "end DeadlineExceeded");
}

#[test]
fn durations_are_written_as_go_does() {
    for (seconds, text) in [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3601, "1h0m1s")] {
        assert_eq!(go_duration(seconds * SECOND), text);
    }
}

/// A node without a node: does what is planned, and lets things end as `luck` says.
struct World {
    desired: DesiredPod,
    observed: ObservedPod,
    now: Nanos,
    started: Vec<String>,
}

impl World {
    /// One round; returns whether anything was done.
    fn step(&mut self, luck: &mut impl FnMut(u32) -> u32) -> bool {
        let actions = plan(&self.desired, &self.observed, self.now);
        let mut wake = None;
        let mut acted = false;
        let mut seen_work = BTreeSet::new();
        for action in actions {
            let is_wake = matches!(action, Action::Wake(_));
            let fresh = seen_work.insert(told(std::slice::from_ref(&action)));
            assert!(fresh || is_wake, "planned twice: {action:?}");
            if let Action::Wake(at) = action {
                assert!(at > self.now, "asked to be woken in the past");
                wake = Some(wake.map_or(at, |wake: Nanos| wake.min(at)));
            } else {
                acted = true;
                self.act(action, luck);
            }
        }
        if !acted && let Some(at) = wake {
            self.now = at;
            return true;
        }
        acted
    }

    fn act(&mut self, action: Action, luck: &mut impl FnMut(u32) -> u32) {
        let failed = luck(4) == 0;
        let retry_at = self.now + SECOND;
        match action {
            Action::PrepareVolumes if failed => {
                self.observed.volumes = Volumes::Failed { message: String::new(), tries: 1, retry_at };
            }
            Action::PrepareVolumes => self.observed.volumes = Volumes::Ready,
            Action::CreateSandbox if failed => {
                self.observed.sandbox = Sandbox::Failed { message: String::new(), tries: 1, retry_at };
            }
            Action::CreateSandbox => self.observed.sandbox = Sandbox::Ready { address: None },
            Action::Start { name, restart } => self.start(&name, restart, failed, luck),
            Action::Kill { name, .. } => exited(&mut self.observed, &name, 137, self.now),
            Action::Show { name, state, .. } => {
                let seen = self.observed.containers.get_mut(&name).unwrap();
                seen.last = seen.exit().cloned();
                seen.state = state;
            }
            Action::Resize | Action::EndPod { .. } | Action::Wake(_) => {}
            Action::TearDown => {
                assert!(!self.observed.any_running(), "torn down while something runs");
                (self.observed.torn_down, self.observed.sandbox) = (true, Sandbox::Absent);
            }
            Action::Finalize => assert!(self.observed.torn_down),
        }
    }

    fn start(&mut self, name: &str, restart: bool, failed: bool, luck: &mut impl FnMut(u32) -> u32) {
        assert!(self.observed.is_sandbox_ready() && self.observed.volumes == Volumes::Ready);
        assert!(self.desired.ending.is_none(), "started in a pod that ends");
        self.started.push(name.to_owned());
        let now = self.now;
        let seen = self.observed.containers.entry(name.into()).or_default();
        assert!(!seen.is_running(), "started twice");
        if failed {
            seen.state = State::Waiting {
                reason: "ErrImagePull".into(),
                message: String::new(),
                retry_at: now + SECOND,
                id: None,
            };
            return;
        }
        if restart {
            let exit = seen.exit().cloned().expect("a restart follows a run");
            assert!(now >= seen.backoff.until(exit.finished_at), "restarted too early");
            seen.backoff.restarted(exit.finished_at, now);
            seen.last = Some(exit);
        }
        seen.post_start = Hook::Done;
        running(&mut self.observed, name);
        let is_init =
            self.desired.pod.spec.init_containers.iter().any(|one| one.name == name && one.restart_policy.is_none());
        // Init containers end; others live on, or not.
        if is_init || luck(3) == 0 {
            exited(&mut self.observed, name, if luck(3) == 0 { 1 } else { 0 }, now);
        }
    }
}

proptest! {
    #[test]
    fn every_pod_comes_to_rest_and_every_deleted_pod_goes(
        policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        inits in prop::collection::vec(any::<bool>(), 0..4),
        mains in 1usize..4,
        seed in any::<u64>(),
        delete_at in 0usize..30,
    ) {
        let init: Vec<Container> = inits.iter().enumerate().map(|(n, side)| {
            let name = format!("i{n}");
            if *side { sidecar(&name) } else { container(&name) }
        }).collect();
        let main = (0..mains).map(|n| container(&format!("m{n}"))).collect();
        let mut world = World {
            desired: desired(policy, init.clone(), main),
            observed: ObservedPod { started_at: Some(0), ..ObservedPod::default() },
            now: 0,
            started: Vec::new(),
        };
        let mut state = seed | 1;
        let mut luck = move |sides: u32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as u32 % sides
        };
        for _ in 0..delete_at {
            world.step(&mut luck);
        }
        // No main container was begun before every init container had succeeded once.
        if let Some(first_main) = world.started.iter().position(|name| name.starts_with('m')) {
            for one in &init {
                prop_assert!(world.started[..first_main].contains(&one.name), "{:?}", world.started);
            }
        }
        let now = world.now;
        world.desired.lose(now);
        for _ in 0..50 {
            if !world.step(&mut luck) { break; }
            if world.observed.torn_down { break; }
        }
        prop_assert!(world.observed.torn_down);
        prop_assert_eq!(told(&plan(&world.desired, &world.observed, world.now)), "finalize");
    }
}
