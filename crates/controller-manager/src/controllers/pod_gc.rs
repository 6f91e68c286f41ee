//! Pods that nobody will end otherwise: of nodes that are no more, deleted before they were placed, ended long ago.

use std::sync::Arc;

use client::informer::Key;
use proto::core::v1::{Pod, PodCondition};
use proto::time::Time;

use crate::pods;
use crate::view::View;
use crate::write::{Plan, Verb, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "pod-garbage-collector-controller";
/// Pause between looks.
const PERIOD_S: i64 = 20;
/// A node may be missing for so long before its pods go: it may register again.
const QUARANTINE_S: i64 = 40;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Looks at all pods; there is one key.
pub fn plan(view: &View, _key: &Key, now: Time) -> Plan {
    let mut plan = Plan::none();
    let all = view.pods.list();
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
            None if view.absent_nodes.missing_for_s(node, now) >= QUARANTINE_S => {
                orphaned(pod, now, &mut plan);
            }
            None => {}
            Some(found) => {
                view.absent_nodes.is_here(node);
                let abandoned = found.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE);
                let ready =
                    found.status.conditions.iter().any(|known| known.r#type == "Ready" && known.status == "True");
                if going && abandoned && !ready {
                    orphaned(pod, now, &mut plan);
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
fn orphaned(pod: &Pod, now: Time, plan: &mut Plan) {
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
        plan.push(Write::update_status(failed));
    }
    plan.push(force(pod));
}

fn force(pod: &Pod) -> Write {
    let mut write = Write::delete(pod);
    if let Verb::Delete { grace, .. } = &mut write.verb {
        *grace = Some(0);
    }
    write
}

/// Since when pods name nodes that do not exist.
#[derive(Debug, Default)]
pub struct AbsentNodes {
    since: std::sync::Mutex<std::collections::HashMap<String, Time>>,
}

impl AbsentNodes {
    fn missing_for_s(&self, node: &str, now: Time) -> i64 {
        let mut since = self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        now.seconds - since.entry(node.to_owned()).or_insert(now).seconds
    }

    fn is_here(&self, node: &str) {
        self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(node);
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

    #[test]
    fn pods_of_a_lost_node_go_after_the_quarantine() {
        let view = sim::view();
        view.nodes.put(sim::node("here"));
        view.pods.put(pod("a", |pod| pod.spec.node_name = "gone".into()));
        view.pods.put(pod("b", |pod| pod.spec.node_name = "here".into()));
        assert!(deleted(&view, 100).is_empty());
        assert!(deleted(&view, 139).is_empty());
        assert_eq!(deleted(&view, 140), ["a"]);
        let plan = plan(&view, &Key::default(), Time::from_unix(140));
        let Verb::UpdateStatus(failed) = &plan.writes[0].verb else { panic!("marked first") };
        assert_eq!(failed.downcast_ref::<Pod>().expect("a pod").status.phase, "Failed");
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
