use proto::core::v1::PodCondition;

use super::*;
use crate::plan::Write;

fn set(replicas: i32) -> ReplicaSet {
    let mut set = ReplicaSet::default();
    set.metadata.name = "r".into();
    set.metadata.uid = "uid-r".into();
    set.spec.replicas = Some(replicas);
    let labels = std::collections::BTreeMap::from([("app".to_owned(), "x".to_owned())]);
    set.spec.template.metadata.labels = labels.clone();
    set.spec.selector = Some(proto::meta::v1::LabelSelector { match_labels: labels, ..Default::default() });
    set
}

fn pod(name: &str, set: &ReplicaSet, change: impl FnOnce(&mut Pod)) -> Pod {
    let mut pod = pod::from_template(&set.spec.template, "", "r", controller_reference(set));
    pod.metadata.name = name.into();
    pod.metadata.uid = format!("uid-{name}");
    change(&mut pod);
    pod
}

fn ready(pod: &mut Pod) {
    pod.spec.node_name = "n".into();
    pod.status.phase = "Running".into();
    pod.status.conditions = vec![PodCondition { r#type: "Ready".into(), status: "True".into(), ..PodCondition::default() }];
}

/// The plan in short: + for a new pod, the names of deleted ones, = for an update.
fn moves(set: &ReplicaSet, pods: &[Pod]) -> Vec<String> {
    let pods: Vec<&Pod> = pods.iter().collect();
    let plan = plan(set, &pods, None, Time::default());
    plan.steps
        .iter()
        .filter_map(|step| match &step.write {
            Write::Create(_) => Some("+".to_owned()),
            Write::Delete(target) => Some(format!("-{}", target.name)),
            Write::Update(object) => Some(format!("={}", object.metadata().name)),
            Write::UpdateStatus(_) => None,
        })
        .collect()
}

#[test]
fn missing_pods_are_made_and_ended_ones_do_not_count() {
    let set = set(3);
    let pods = [pod("a", &set, ready), pod("b", &set, |pod| pod.status.phase = "Failed".into())];
    assert_eq!(moves(&set, &pods), ["+", "+"]);
}

#[test]
fn the_least_costly_pods_go_first() {
    let set = set(1);
    let pods = [
        pod("kept", &set, ready),
        pod("pending", &set, |pod| pod.spec.node_name = "n".into()),
        pod("unplaced", &set, |_| {}),
        pod("cheap", &set, |pod| {
            ready(pod);
            pod.metadata.annotations.insert(DELETION_COST.into(), "-5".into());
        }),
    ];
    assert_eq!(moves(&set, &pods), ["-unplaced", "-pending", "-cheap"]);
}

#[test]
fn a_matching_orphan_is_adopted_and_a_stranger_released() {
    let set = set(1);
    let orphan = pod("orphan", &set, |pod| pod.metadata.owner_references.clear());
    assert_eq!(moves(&set, &[orphan]), ["=orphan"]);
    let stranger = pod("stranger", &set, |pod| {
        pod.metadata.labels.insert("app".into(), "y".into());
    });
    assert_eq!(moves(&set, &[stranger]), ["=stranger", "+"]);
}

#[test]
fn a_set_being_deleted_makes_no_pods() {
    let mut set = set(2);
    set.metadata.deletion_timestamp = Some(Time { seconds: 1, nanos: 0 });
    assert_eq!(moves(&set, &[]), Vec::<String>::new());
}

#[test]
fn a_young_ready_pod_is_looked_at_again_when_it_becomes_available() {
    let mut set = set(1);
    set.spec.min_ready_seconds = 10;
    let young = pod("a", &set, |pod| {
        ready(pod);
        pod.status.conditions[0].last_transition_time.seconds = 100;
    });
    let plan = plan(&set, &[&young], None, Time { seconds: 104, nanos: 0 });
    assert_eq!(plan.requeue_after, Some(std::time::Duration::from_secs(6)));
}

#[test]
fn a_failure_shows_until_the_pods_are_there() {
    let set = set(1);
    let failure = Failure { reason: "FailedCreate", message: "quota".into() };
    let told = status(&set, &[], &[], Some(&failure), Time::default());
    assert_eq!(told.conditions[0].reason, "FailedCreate");
    let set = ReplicaSet { status: told, ..set };
    let one = pod("a", &set, ready);
    assert!(status(&set, &[&one], &[&one], Some(&failure), Time::default()).conditions.is_empty());
}
