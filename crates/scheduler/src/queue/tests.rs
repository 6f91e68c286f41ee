use proptest::prelude::*;

use super::*;
use crate::reason::Plugin;
use crate::testing::pod;

const FIT: Plugins = Plugins::NONE;

fn queue() -> Queue {
    Queue::new(1000, 10_000)
}

fn put(queue: &mut Queue, name: &str, priority: i32, now: Millis) {
    queue.put(Arc::new(PodInfo { priority, ..pod(name, "1", "1Mi") }), now);
}

fn pop(queue: &mut Queue, now: Millis) -> Option<String> {
    queue.pop(now).map(|waiting| waiting.pod.name.clone())
}

fn key(name: &str) -> PodKey {
    ("default".into(), name.into())
}

fn fit() -> Plugins {
    FIT.with(Plugin::NodeResourcesFit)
}

#[test]
fn important_pods_go_first_then_those_that_came_first() {
    let mut queue = queue();
    put(&mut queue, "a", 0, 1);
    put(&mut queue, "b", 0, 2);
    put(&mut queue, "c", 10, 3);
    assert_eq!(
        [pop(&mut queue, 4), pop(&mut queue, 4), pop(&mut queue, 4), pop(&mut queue, 4)],
        [Some("c".into()), Some("a".into()), Some("b".into()), None,]
    );
}

#[test]
fn pending_pod_does_not_block_the_queue() {
    let mut queue = queue();
    put(&mut queue, "big", 10, 0);
    put(&mut queue, "small", 0, 1);
    assert_eq!(pop(&mut queue, 2).as_deref(), Some("big"));
    queue.refused(&key("big"), fit(), 2);
    assert_eq!(pop(&mut queue, 2).as_deref(), Some("small"));
    assert_eq!(pop(&mut queue, 3), None);
}

#[test]
fn only_events_that_concern_the_refusing_plugin_wake_a_pod() {
    let mut queue = queue();
    put(&mut queue, "a", 0, 0);
    pop(&mut queue, 0);
    queue.refused(&key("a"), fit(), 0);
    queue.happened(FIT.with(Plugin::NodeAffinity), 5000, |_, _| true);
    assert_eq!(pop(&mut queue, 5000), None);
    queue.happened(fit(), 5000, |_, _| false);
    assert_eq!(pop(&mut queue, 5000), None);
    queue.happened(fit(), 5000, |_, _| true);
    assert_eq!(pop(&mut queue, 5000).as_deref(), Some("a"));
}

#[test]
fn backoff_grows_with_attempts_up_to_its_limit() {
    let mut queue = queue();
    put(&mut queue, "a", 0, 0);
    let mut now = 0;
    for expect in [1000, 2000, 4000, 8000, 10_000, 10_000] {
        assert!(pop(&mut queue, now).is_some());
        queue.refused(&key("a"), fit(), now);
        queue.happened(fit(), now, |_, _| true);
        assert_eq!(queue.next_wake(), Some(now + expect));
        assert_eq!(pop(&mut queue, now + expect - 1), None);
        now += expect;
    }
}

#[test]
fn nothing_waits_longer_than_five_minutes_untried() {
    let mut queue = queue();
    put(&mut queue, "a", 0, 0);
    pop(&mut queue, 0);
    queue.refused(&key("a"), fit(), 0);
    assert_eq!(queue.next_wake(), Some(300_000));
    assert_eq!(pop(&mut queue, 300_000).as_deref(), Some("a"));
}

#[test]
fn a_gated_pod_is_not_tried_until_its_gates_are_gone() {
    let mut queue = queue();
    queue.put(Arc::new(PodInfo { gated: true, ..pod("a", "1", "1Mi") }), 0);
    assert_eq!(pop(&mut queue, 1_000_000), None);
    assert_eq!(queue.counts(), [0, 0, 0, 1]);
    put(&mut queue, "a", 0, 1);
    assert_eq!(pop(&mut queue, 1).as_deref(), Some("a"));
}

#[test]
fn a_pod_made_anew_under_the_same_name_starts_over() {
    let mut queue = queue();
    put(&mut queue, "a", 0, 0);
    pop(&mut queue, 0);
    queue.refused(&key("a"), fit(), 0);
    queue.put(Arc::new(PodInfo { uid: "new".into(), ..pod("a", "1", "1Mi") }), 1);
    assert_eq!(queue.pop(1).map(|waiting| waiting.attempts), Some(1));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i32),
    Pop,
    Refuse(u8),
    Fail(u8),
    Happen,
    Remove(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8, 0..3i32).prop_map(|(pod, priority)| Step::Put(pod, priority)),
        Just(Step::Pop),
        (0..6u8).prop_map(Step::Refuse),
        (0..6u8).prop_map(Step::Fail),
        Just(Step::Happen),
        (0..6u8).prop_map(Step::Remove),
        any::<u16>().prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_pod_is_lost_or_handed_out_twice(steps in proptest::collection::vec(step(), 0..80)) {
        let mut queue = queue();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Put(pod, priority) => put(&mut queue, &pod.to_string(), priority, now),
                Step::Pop => { queue.pop(now); }
                Step::Refuse(pod) => if queue.get(&key(&pod.to_string())).is_some_and(|w| w.place == Place::Underway) {
                    queue.refused(&key(&pod.to_string()), fit(), now);
                },
                Step::Fail(pod) => if queue.get(&key(&pod.to_string())).is_some_and(|w| w.place == Place::Underway) {
                    queue.failed(&key(&pod.to_string()), now);
                },
                Step::Happen => queue.happened(fit(), now, |_, _| true),
                Step::Remove(pod) => { queue.remove(&key(&pod.to_string())); }
                Step::Wait(ms) => now += Millis::from(ms),
            }
        }
        let at = |is: fn(&Place) -> bool| queue.pods.values().filter(|waiting| is(&waiting.place)).count();
        let counts = [
            at(|place| *place == Place::Active),
            at(|place| matches!(place, Place::Backoff { .. })),
            at(|place| matches!(place, Place::Unschedulable { .. })),
            at(|place| *place == Place::Gated),
        ];
        prop_assert_eq!(queue.counts(), counts);
        let underway = queue.pods.values().filter(|w| w.place == Place::Underway).count();
        let known = queue.pods.len();
        now += UNSCHEDULABLE_MAX_MS + 20_000;
        let mut names = std::collections::HashSet::new();
        while let Some(waiting) = queue.pop(now) {
            prop_assert!(names.insert(waiting.pod.name.clone()), "{} twice", waiting.pod.name);
        }
        prop_assert_eq!(names.len() + underway, known);
    }
}
