//! Pods that nobody will end otherwise: of nodes that are no more, deleted before they were placed, ended long ago.
//!
//! A pod that is forced away may still run. So that a node does not exist is believed only when it was missing for a while
//! by a clock that does not jump, and the server, asked for it by name, says so as well ([`Write::if_node_is_gone`]).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::informer::Key;
use proto::core::v1::{Pod, PodCondition};
use proto::time::Time;
use tokio::time::Instant;

use crate::pods;
use crate::view::View;
use crate::write::{Plan, Verb, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "pod-garbage-collector-controller";
/// Pause between looks.
const PERIOD_S: i64 = 20;
/// A node may be missing for so long before its pods go: it may register again.
const QUARANTINE: Duration = Duration::from_secs(40);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Looks at all pods; there is one key.
pub fn plan(view: &View, _key: &Key, now: Time) -> Plan {
    let mut plan = Plan::none();
    let all = view.pods.list();
    let absent: HashSet<&str> = all
        .iter()
        .map(|pod| pod.spec.node_name.as_str())
        .filter(|node| !node.is_empty() && view.nodes.get("", node).is_none())
        .collect();
    let missing = view.absent_nodes.missing(&absent, Instant::now());
    for pod in &all {
        let going = pod.metadata.deletion_timestamp.is_some();
        let node = &pod.spec.node_name;
        if node.is_empty() {
            if going && !pods::is_terminal(pod) {
                plan.push(force(pod));
            }
            continue;
        }
        match view.nodes.get("", node) {
            None if missing.get(node.as_str()).is_some_and(|since| *since >= QUARANTINE) => {
                orphaned(pod, now, &mut plan, true);
            }
            None => {}
            Some(found) => {
                let abandoned = found.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE);
                let ready =
                    found.status.conditions.iter().any(|known| known.r#type == "Ready" && known.status == "True");
                if going && abandoned && !ready {
                    orphaned(pod, now, &mut plan, false);
                }
            }
        }
    }
    surplus(&all, view.settings.terminated_pod_gc_threshold, &mut plan);
    plan.again_after_s(PERIOD_S);
    plan
}

/// The oldest of the ended pods beyond the limit.
fn surplus(all: &[Arc<Pod>], limit: usize, plan: &mut Plan) {
    if limit == 0 {
        return;
    }
    let mut ended: Vec<&Arc<Pod>> =
        all.iter().filter(|pod| pods::is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()).collect();
    ended.sort_by_key(|pod| pod.metadata.creation_timestamp);
    let surplus = ended.len().saturating_sub(limit);
    for pod in ended.into_iter().take(surplus) {
        plan.push(force(pod));
    }
}

/// Nobody will tell how it ended: it failed, and goes.
fn orphaned(pod: &Pod, now: Time, plan: &mut Plan, node_is_gone: bool) {
    let sure = |write: Write| if node_is_gone { write.if_node_is_gone(&pod.spec.node_name) } else { write };
    if !pods::is_terminal(pod) {
        let mut failed = pod.clone();
        failed.status.phase = "Failed".to_owned();
        failed.status.conditions.retain(|known| known.r#type != "DisruptionTarget");
        failed.status.conditions.push(PodCondition {
            r#type: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
            observed_generation: pod.metadata.generation,
            last_transition_time: now,
            reason: "DeletionByPodGC".to_owned(),
            message: "PodGC: node no longer exists".to_owned(),
            ..PodCondition::default()
        });
        plan.push(sure(Write::update_status(failed)));
    }
    plan.push(sure(force(pod)));
}

fn force(pod: &Pod) -> Write {
    let mut write = Write::delete(pod);
    if let Verb::Delete { grace, .. } = &mut write.verb {
        *grace = Some(0);
    }
    write
}

/// Since when pods name nodes that do not exist, by the monotonic clock.
#[derive(Debug, Default)]
pub struct AbsentNodes {
    since: Mutex<HashMap<String, Instant>>,
}

impl AbsentNodes {
    /// For how long each of these nodes is missing; all others are forgotten.
    fn missing<'a>(&self, absent: &HashSet<&'a str>, now: Instant) -> HashMap<&'a str, Duration> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|node, _| absent.contains(node.as_str()));
        let missing = absent.iter().map(|node| {
            let first = *since.entry((*node).to_owned()).or_insert(now);
            (*node, now.saturating_duration_since(first))
        });
        missing.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Settings;
    use crate::sim;

    fn pod(name: &str, change: impl FnOnce(&mut Pod)) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = "n".into();
        pod.metadata.name = name.into();
        change(&mut pod);
        pod
    }

    fn deleted(view: &View, now: i64) -> Vec<String> {
        let plan = plan(view, &Key::default(), Time::from_unix(now));
        let names = plan.writes.iter().filter_map(|write| match &write.verb {
            Verb::Delete { object, grace: Some(0) } => Some(object.metadata().name.clone()),
            _ => None,
        });
        names.collect()
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn pods_of_a_lost_node_go_after_the_quarantine() {
        let view = sim::view();
        view.nodes.put(sim::node("here"));
        view.pods.put(pod("a", |pod| pod.spec.node_name = "gone".into()));
        view.pods.put(pod("b", |pod| pod.spec.node_name = "here".into()));
        assert!(deleted(&view, 100).is_empty());
        assert!(deleted(&view, 100_000).is_empty(), "a wall clock that jumps");
        pass(39).await;
        assert!(deleted(&view, 139).is_empty());
        pass(1).await;
        assert_eq!(deleted(&view, 140), ["a"]);
        let plan = plan(&view, &Key::default(), Time::from_unix(140));
        assert!(plan.writes.iter().all(|write| write.if_node_is_gone.as_deref() == Some("gone")));
        let Verb::UpdateStatus(failed) = &plan.writes[0].verb else { panic!("marked first") };
        assert_eq!(failed.downcast_ref::<Pod>().expect("a pod").status.phase, "Failed");
    }

    #[tokio::test(start_paused = true)]
    async fn node_that_was_missing_long_ago_gets_its_quarantine_again() {
        let view = sim::view();
        view.pods.put(pod("a", |pod| pod.spec.node_name = "x".into()));
        assert!(deleted(&view, 0).is_empty());
        pass(30).await;
        // It comes, and nobody names it; then it goes again, and is named.
        view.nodes.put(sim::node("x"));
        view.pods.remove(pod("a", |_| {}));
        assert!(deleted(&view, 30).is_empty());
        pass(1000).await;
        view.nodes.remove(sim::node("x"));
        view.pods.put(pod("b", |pod| pod.spec.node_name = "x".into()));
        assert!(deleted(&view, 1030).is_empty());
    }

    #[test]
    fn deleted_pod_without_a_node_goes_at_once() {
        let view = sim::view();
        view.pods.put(pod("a", |pod| pod.metadata.deletion_timestamp = Some(Time::from_unix(1))));
        view.pods.put(pod("b", |_| {}));
        assert_eq!(deleted(&view, 100), ["a"]);
    }

    #[test]
    fn oldest_ended_pods_beyond_the_limit_go() {
        let view = View::new(Settings { terminated_pod_gc_threshold: 1, ..Settings::default() });
        view.nodes.put(sim::node("here"));
        for (name, age) in [("new", 30), ("old", 10), ("middle", 20)] {
            view.pods.put(pod(name, |pod| {
                pod.spec.node_name = "here".into();
                pod.status.phase = "Succeeded".into();
                pod.metadata.creation_timestamp = Time::from_unix(age);
            }));
        }
        assert_eq!(deleted(&view, 100), ["old", "middle"]);
    }
}
