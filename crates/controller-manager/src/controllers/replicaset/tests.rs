use super::*;
use crate::sim::{self, Sim};
use crate::write::Verb;

fn set(replicas: i32) -> ReplicaSet {
    let mut set = ReplicaSet::default();
    set.metadata.namespace = "n".into();
    set.metadata.name = "r".into();
    set.metadata.uid = "uid-r".into();
    set.metadata.generation = 1;
    set.spec.replicas = Some(replicas);
    let labels = std::collections::BTreeMap::from([("app".to_owned(), "x".to_owned())]);
    set.spec.template.metadata.labels = labels.clone();
    set.spec.selector = Some(proto::meta::v1::LabelSelector { match_labels: labels, ..Default::default() });
    set
}

fn pod(name: &str, change: impl FnOnce(&mut Pod)) -> Pod {
    let mut pod = pod_of(&set(1));
    pod.metadata.name = name.into();
    pod.metadata.uid = format!("uid-{name}");
    change(&mut pod);
    pod
}

fn running(pod: &mut Pod) {
    sim::ready(pod, 100);
}

fn planned(set: ReplicaSet, pods: Vec<Pod>, now: i64) -> Plan {
    let view = sim::view();
    view.replica_sets.put(set);
    for pod in pods {
        view.pods.put(pod);
    }
    plan(&view, &Key::new("n", "r"), Time::from_unix(now))
}

/// The plan in short: + for a new pod, - for a deleted one, = for an update.
fn moves(set: ReplicaSet, pods: Vec<Pod>) -> Vec<String> {
    let short = |verb: &Verb| match verb {
        Verb::Create(_) => Some("+".to_owned()),
        Verb::Delete { object, .. } => Some(format!("-{}", object.metadata().name)),
        Verb::Update(object) => Some(format!("={}", object.metadata().name)),
        _ => None,
    };
    planned(set, pods, 200).writes.iter().filter_map(|write| short(&write.verb)).collect()
}

#[test]
fn missing_pods_are_made_and_ended_ones_do_not_count() {
    let failed = pod("b", |pod| pod.status.phase = "Failed".into());
    assert_eq!(moves(set(3), vec![pod("a", running), failed]), ["+", "+"]);
}

#[test]
fn least_missed_pods_go_first() {
    let pods = vec![
        pod("kept", running),
        pod("pending", |pod| pod.spec.node_name = "node".into()),
        pod("unplaced", |_| {}),
        pod("cheap", |pod| {
            running(pod);
            pod.metadata.annotations.insert(DELETION_COST.into(), "-5".into());
        }),
    ];
    assert_eq!(moves(set(1), pods), ["-unplaced", "-pending", "-cheap"]);
}

#[test]
fn crowded_nodes_are_thinned_first() {
    let on = |name: &str, node: &str| {
        pod(name, |pod| {
            running(pod);
            pod.spec.node_name = node.into();
        })
    };
    assert_eq!(moves(set(2), vec![on("a", "one"), on("b", "two"), on("c", "two")]), ["-b"]);
}

#[test]
fn matching_orphan_is_adopted_and_stranger_released() {
    let orphan = pod("orphan", |pod| pod.metadata.owner_references.clear());
    assert_eq!(moves(set(1), vec![orphan]), ["=orphan"]);
    let stranger = pod("stranger", |pod| {
        pod.metadata.labels.insert("app".into(), "y".into());
    });
    assert_eq!(moves(set(1), vec![stranger]), ["=stranger"]);
}

#[test]
fn set_being_deleted_makes_no_pods() {
    let mut dying = set(2);
    dying.metadata.deletion_timestamp = Some(Time::from_unix(1));
    assert_eq!(moves(dying, Vec::new()), Vec::<String>::new());
}

#[test]
fn young_ready_pod_is_looked_at_again_when_it_becomes_available() {
    let mut set = set(1);
    set.spec.min_ready_seconds = 10;
    let plan = planned(set, vec![pod("a", running)], 104);
    assert_eq!(plan.again, Some(std::time::Duration::from_secs(6)));
}

#[test]
fn status_counts_each_kind_of_pod() {
    let pods = vec![
        pod("ready", running),
        pod("waiting", |_| {}),
        pod("dying", |pod| pod.metadata.deletion_timestamp = Some(Time::from_unix(1))),
        pod("failed", |pod| pod.status.phase = "Failed".into()),
    ];
    let plan = planned(set(2), pods, 200);
    let Verb::UpdateStatus(updated) = &plan.writes[0].verb else { panic!("a status") };
    let status = &updated.downcast_ref::<ReplicaSet>().expect("a set").status;
    let counts = (status.replicas, status.fully_labeled_replicas, status.ready_replicas, status.available_replicas);
    assert_eq!(counts, (2, 2, 1, 1));
    assert_eq!((status.terminating_replicas, status.observed_generation), (Some(1), 1));
}

#[test]
fn own_pods_are_not_made_twice_while_the_watch_is_late() {
    let mut sim = Sim::new();
    sim.create(set(3));
    for _ in 0..5 {
        sim.look_sets(None);
    }
    assert_eq!(sim.list::<Pod>().len(), 3);
}
