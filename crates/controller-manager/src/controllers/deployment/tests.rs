use proptest::prelude::*;
use proto::apps::v1::RollingUpdateDeployment;
use proto::core::v1::Pod;

use super::*;
use crate::sim::{self, Sim};

fn sim(deployment: Deployment) -> Sim {
    let mut sim = Sim::new();
    sim.create(deployment);
    sim.roll_out();
    sim
}

fn with_bounds(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
    let mut deployment = sim::deployment(replicas);
    deployment.spec.strategy.rolling_update = Some(RollingUpdateDeployment {
        max_surge: Some(api::int_or_string::parse(surge)),
        max_unavailable: Some(api::int_or_string::parse(unavailable)),
    });
    deployment
}

fn set_image(sim: &mut Sim, image: &str) {
    sim.change::<Deployment>("d", |deployment| deployment.spec.template.spec.containers[0].image = image.into());
}

fn image(pod: &Pod) -> &str {
    &pod.spec.containers[0].image
}

/// Sets by age.
fn sets(sim: &Sim) -> Vec<ReplicaSet> {
    let mut sets = sim.list::<ReplicaSet>();
    sets.sort_by_key(|set| set.metadata.creation_timestamp);
    sets
}

fn revision(set: &ReplicaSet) -> &str {
    &set.metadata.annotations[history::REVISION]
}

fn all_have(sim: &Sim, wanted: &str) -> bool {
    sim.list::<Pod>().iter().all(|pod| image(pod) == wanted)
}

#[test]
fn new_deployment_becomes_one_set_of_its_size() {
    let sim = sim(with_bounds(3, "25%", "25%"));
    assert_eq!(sim.available(), 3);
    let sets = sets(&sim);
    assert_eq!(sets.len(), 1);
    let (set, deployment) = (&sets[0], sim.get::<Deployment>("d"));
    let annotations = &set.metadata.annotations;
    assert_eq!(annotations["deployment.kubernetes.io/desired-replicas"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/max-replicas"], "4");
    assert_eq!(revision(set), "1");
    assert_eq!(deployment.metadata.annotations[history::REVISION], "1");
    let hash = &set.metadata.labels[template::HASH_LABEL];
    assert_eq!(set.metadata.name, format!("d-{hash}"));
    let selector = set.spec.selector.as_ref().expect("a selector");
    assert_eq!(selector.match_labels[template::HASH_LABEL], *hash);
    assert_eq!(sim.condition("Available"), "True MinimumReplicasAvailable");
    assert_eq!(sim.condition("Progressing"), "True NewReplicaSetAvailable");
    let told = format!("ScalingReplicaSet Scaled up replica set {} from 0 to 3", set.metadata.name);
    assert_eq!(sim.events[0], told);
    let status = &deployment.status;
    assert_eq!((status.replicas, status.updated_replicas, status.unavailable_replicas), (3, 3, 0));
    assert_eq!(status.terminating_replicas, Some(0));
}

#[test]
fn reasons_of_progress_come_in_upstreams_order() {
    let mut sim = Sim::new();
    sim.create(with_bounds(2, "25%", "25%"));
    let mut seen: Vec<String> = Vec::new();
    let mut look = |sim: &Sim| {
        for condition in &sim.get::<Deployment>("d").status.conditions {
            let text = format!("{} {} {}", condition.r#type, condition.status, condition.reason);
            if !seen.contains(&text) {
                seen.push(text);
            }
        }
    };
    for _ in 0..100 {
        sim.deliver_all();
        let wrote = sim.look_deployment();
        look(&sim);
        sim.deliver_all();
        if !(wrote | sim.look_sets(None)) && !sim.start_pod() {
            break;
        }
    }
    let expect = [
        "Progressing True NewReplicaSetCreated",
        "Available False MinimumReplicasUnavailable",
        "Progressing True ReplicaSetUpdated",
        "Available True MinimumReplicasAvailable",
        "Progressing True NewReplicaSetAvailable",
    ];
    assert_eq!(seen, expect);
}

#[test]
fn rollout_moves_one_by_one_within_its_bounds() {
    let mut sim = sim(with_bounds(3, "1", "0"));
    sim.events.clear();
    set_image(&mut sim, "two");
    sim.roll_out();
    let sets = sets(&sim);
    let (old, new) = (&sets[0].metadata.name, &sets[1].metadata.name);
    let scaled: Vec<&String> = sim.events.iter().filter(|event| event.starts_with("Scaling")).collect();
    let expect = [
        format!("ScalingReplicaSet Scaled up replica set {new} from 0 to 1"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 3 to 2"),
        format!("ScalingReplicaSet Scaled up replica set {new} from 1 to 2"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 2 to 1"),
        format!("ScalingReplicaSet Scaled up replica set {new} from 2 to 3"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 1 to 0"),
    ];
    assert_eq!(scaled, expect.iter().collect::<Vec<_>>());
    assert_eq!(sim.get::<Deployment>("d").metadata.annotations[history::REVISION], "2");
}

#[test]
fn going_back_uses_the_old_set_under_a_new_revision() {
    let mut sim = sim(sim::deployment(2));
    set_image(&mut sim, "two");
    sim.roll_out();
    set_image(&mut sim, "");
    sim.roll_out();
    let sets = sets(&sim);
    assert_eq!(sets.len(), 2);
    assert_eq!(revision(&sets[0]), "3");
    assert_eq!(sets[0].metadata.annotations["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!((sets[0].spec.replicas, sets[1].spec.replicas), (Some(2), Some(0)));
    assert!(all_have(&sim, ""));
}

#[test]
fn recreate_starts_nothing_before_the_old_pods_are_gone() {
    let mut deployment = sim::deployment(3);
    deployment.spec.strategy.r#type = "Recreate".into();
    let mut sim = sim(deployment);
    set_image(&mut sim, "two");
    for _ in 0..200 {
        sim.deliver_all();
        let wrote = sim.look_deployment() | sim.look_sets(None);
        let images: std::collections::BTreeSet<String> =
            sim.list::<Pod>().iter().map(|pod| image(pod).into()).collect();
        assert!(images.len() <= 1, "old and new pods together");
        if !wrote && !sim.end_pods(Some(0)) && !sim.start_pod() {
            break;
        }
    }
    assert!(all_have(&sim, "two"));
    assert_eq!(sim.available(), 3);
}

#[test]
fn paused_deployment_scales_but_does_not_roll() {
    let mut sim = sim(with_bounds(2, "25%", "25%"));
    sim.change::<Deployment>("d", |deployment| {
        deployment.spec.paused = true;
        deployment.spec.replicas = Some(4);
        deployment.spec.template.spec.containers[0].image = "two".into();
    });
    sim.roll_out();
    assert_eq!(sets(&sim).len(), 1);
    assert_eq!(sim.available(), 4);
    assert_eq!(sim.condition("Progressing"), "Unknown DeploymentPaused");
    sim.change::<Deployment>("d", |deployment| deployment.spec.paused = false);
    sim.roll_out();
    assert!(all_have(&sim, "two"));
    assert_eq!(sim.condition("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn stuck_rollout_says_so_after_its_deadline_and_recovers() {
    let mut sim = Sim::new();
    sim.create(sim::deployment(2));
    sim.settle();
    let plan = plan(&sim.view, &Key::new("n", "d"), Time::from_unix(sim.now + 100));
    assert_eq!(plan.again, Some(std::time::Duration::from_secs(501)), "it looks again when the time is up");
    sim.now += 600;
    sim.settle();
    assert_eq!(sim.condition("Progressing"), "True ReplicaSetUpdated");
    sim.now += 1;
    sim.settle();
    assert_eq!(sim.condition("Progressing"), "False ProgressDeadlineExceeded");
    sim.roll_out();
    assert_eq!(sim.condition("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn a_set_that_is_quicker_than_its_deployment_still_is_progress() {
    let mut sim = sim(with_bounds(2, "25%", "25%"));
    set_image(&mut sim, "missing");
    sim.deliver_all();
    sim.look_deployment();
    assert_eq!(sim.condition("Progressing"), "True NewReplicaSetCreated");
    // Only the sets are looked at, until the new one counts its pod.
    while sim.look_sets(None) {
        sim.deliver_all();
    }
    sim.settle();
    assert_eq!(sim.condition("Progressing"), "True ReplicaSetUpdated");
    sim.now += 601;
    sim.settle();
    assert_eq!(sim.condition("Progressing"), "False ProgressDeadlineExceeded");
}

#[test]
fn a_rollout_whose_begin_could_not_be_told_has_a_deadline() {
    let mut sim = sim(with_bounds(2, "25%", "25%"));
    set_image(&mut sim, "missing");
    sim.deliver_all();
    let plan = plan(&sim.view, &Key::new("n", "d"), Time::from_unix(sim.now));
    // Somebody is quicker: the set is made, the status is refused.
    sim.change::<Deployment>("d", |deployment| {
        deployment.metadata.annotations.insert("a".into(), "b".into());
    });
    sim.carry_out(plan);
    assert_eq!(sim.condition("Progressing"), "True NewReplicaSetAvailable");
    sim.deliver_all();
    while sim.look_sets(None) {
        sim.deliver_all();
    }
    sim.settle();
    assert_eq!(sim.condition("Progressing"), "True ReplicaSetUpdated");
    sim.now += 601;
    sim.settle();
    assert_eq!(sim.condition("Progressing"), "False ProgressDeadlineExceeded");
}

#[test]
fn refused_pods_show_on_the_deployment() {
    let mut sim = Sim::new();
    sim.refuse_pods = true;
    sim.create(sim::deployment(1));
    for _ in 0..10 {
        sim.look_deployment();
        sim.deliver_all();
        sim.look_sets(None);
        sim.deliver_all();
    }
    assert_eq!(sim.condition("ReplicaFailure"), "True FailedCreate");
    assert!(sim.events.contains(&"FailedCreate Error creating: pods are refused".to_owned()), "{:?}", sim.events);
    sim.refuse_pods = false;
    sim.roll_out();
    assert_eq!(sim.condition("ReplicaFailure"), "");
}

/// The reasons that Progressing goes through, until nothing happens any more; pods end one by one.
fn reasons_of_progress(sim: &mut Sim) -> Vec<String> {
    let mut seen: Vec<String> = vec![sim.condition("Progressing")];
    for _ in 0..300 {
        sim.deliver_all();
        let wrote = sim.look_deployment();
        let now = sim.condition("Progressing");
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        sim.deliver_all();
        if !(wrote | sim.look_sets(None)) && !sim.end_pods(Some(0)) && !sim.start_pod() {
            return seen;
        }
    }
    panic!("it never ends: {seen:?}");
}

#[test]
fn recreated_deployment_tells_of_its_new_set_when_it_is_made() {
    let mut deployment = sim::deployment(3);
    deployment.spec.strategy.r#type = "Recreate".into();
    let mut sim = sim(deployment);
    set_image(&mut sim, "two");
    let expect = [
        "True NewReplicaSetAvailable",
        "True NewReplicaSetCreated",
        "True ReplicaSetUpdated",
        "True NewReplicaSetAvailable",
    ];
    assert_eq!(reasons_of_progress(&mut sim), expect);

    // While old pods end nothing new is there to tell of.
    set_image(&mut sim, "three");
    for _ in 0..10 {
        sim.deliver_all();
        sim.look_deployment();
        sim.look_sets(None);
        assert_eq!(sim.condition("Progressing"), "True NewReplicaSetAvailable");
    }
    assert_eq!(reasons_of_progress(&mut sim), expect);
}

#[test]
fn resumed_rollout_tells_that_it_progresses() {
    let mut sim = sim(with_bounds(2, "25%", "25%"));
    sim.change::<Deployment>("d", |deployment| {
        deployment.spec.paused = true;
        deployment.spec.template.spec.containers[0].image = "two".into();
    });
    sim.settle();
    sim.change::<Deployment>("d", |deployment| deployment.spec.paused = false);
    let expect = [
        "Unknown DeploymentPaused",
        "Unknown DeploymentResumed",
        "True ReplicaSetUpdated",
        "True NewReplicaSetAvailable",
    ];
    assert_eq!(reasons_of_progress(&mut sim), expect);
}

/// Debug builds panic where a sum overflows.
#[test]
fn numbers_at_the_end_of_their_range_are_planned_with() {
    for (surge, unavailable) in [("25%", "25%"), ("2147483647", "2147483647"), ("100%", "0")] {
        let mut sim = Sim::new();
        sim.create(with_bounds(i32::MAX, surge, unavailable));
        for image in ["one", "two"] {
            set_image(&mut sim, image);
            for _ in 0..6 {
                sim.deliver_all();
                sim.look_deployment();
                for set in sets(&sim) {
                    sim.change::<ReplicaSet>(&set.metadata.name, |set| {
                        set.status.observed_generation = set.metadata.generation;
                        set.status.replicas = sets::replicas(set);
                        set.status.available_replicas = sets::replicas(set);
                    });
                }
            }
        }
        sim.change::<Deployment>("d", |deployment| deployment.spec.replicas = Some(7));
        sim.deliver_all();
        sim.look_deployment();
        assert!(sim.events.iter().any(|event| event.contains("Scaled")), "{:?}", sim.events);
    }
}

#[test]
fn old_revisions_beyond_the_limit_go() {
    let mut deployment = sim::deployment(1);
    deployment.spec.revision_history_limit = Some(2);
    let mut sim = sim(deployment);
    for image in ["b", "c", "d", "e"] {
        set_image(&mut sim, image);
        sim.roll_out();
    }
    let revisions: Vec<String> = sets(&sim).iter().map(|set| revision(set).to_owned()).collect();
    assert_eq!(revisions, ["3", "4", "5"]);
}

#[test]
fn taken_name_is_evaded() {
    let mut sim = Sim::new();
    let deployment = sim::deployment(1);
    sim.create(deployment.clone());
    let name = template::set_name(&deployment, &Sets { new: None, old: Vec::new(), taken: Vec::new() });
    let mut stranger = ReplicaSet::default();
    stranger.metadata.namespace = "n".into();
    stranger.metadata.name = name.clone();
    stranger.metadata.owner_references.push(proto::meta::v1::OwnerReference {
        uid: "other".into(),
        controller: Some(true),
        ..Default::default()
    });
    stranger.spec.replicas = Some(0);
    sim.create(stranger);
    sim.roll_out();
    assert_eq!(sim.available(), 1);
    assert_eq!(sim.get::<Deployment>("d").status.collision_count, Some(1));
    assert_eq!(sets(&sim).len(), 2);
}

#[test]
fn orphan_of_the_same_template_is_adopted() {
    let mut sim = sim(sim::deployment(2));
    let name = sets(&sim)[0].metadata.name.clone();
    sim.change::<ReplicaSet>(&name, |set| set.metadata.owner_references.clear());
    sim.roll_out();
    assert_eq!(sets(&sim).len(), 1);
    let owner = sets(&sim)[0].metadata.owner_references[0].clone();
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Deployment", "d"));
}

/// The bounds of a rollout, on the server's own state.
fn check_bounds(sim: &Sim, most: i32, least: i32) {
    let (active, available) = (sim.active(), sim.available());
    assert!(active <= most, "{active} pods, at most {most}");
    assert!(available >= least, "{available} available, at least {least}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is heard late, and whoever looks when.
    #[test]
    fn rollout_never_leaves_its_bounds_and_always_ends(
        replicas in 1..9i32,
        surge in 0..5i32,
        unavailable in 0..5i32,
        percent in any::<bool>(),
        order in proptest::collection::vec((0..6u8, any::<usize>()), 0..300),
    ) {
        let text = |value: i32| if percent { format!("{}%", value * 20) } else { value.to_string() };
        let mut sim = sim(with_bounds(replicas, &text(surge), &text(unavailable)));
        set_image(&mut sim, "two");
        let deployment = sim.get::<Deployment>("d");
        let most = replicas + rolling::max_surge(&deployment);
        let least = replicas - rolling::max_unavailable(&deployment);
        for (what, which) in order {
            match what {
                0 | 1 => { sim.deliver(); }
                2 => { sim.look_deployment(); }
                3 => { sim.look_sets(Some(which)); }
                4 => { sim.start_pod(); }
                _ => { sim.end_pods(Some(which)); }
            }
            check_bounds(&sim, most, least);
        }
        sim.roll_out();
        prop_assert!(all_have(&sim, "two"));
        prop_assert_eq!(sim.available(), replicas);
        prop_assert_eq!(sim.condition("Progressing"), "True NewReplicaSetAvailable");
    }

    #[test]
    fn change_of_size_in_the_middle_ends_at_the_new_size(
        before in 1..9i32,
        after in 0..9i32,
        order in proptest::collection::vec((0..5u8, any::<usize>()), 0..100),
    ) {
        let mut sim = sim(with_bounds(before, "25%", "25%"));
        set_image(&mut sim, "two");
        for (what, which) in order {
            match what {
                0 | 1 => { sim.deliver(); }
                2 => { sim.look_deployment(); }
                3 => { sim.look_sets(Some(which)); }
                _ => { sim.start_pod(); }
            }
        }
        sim.change::<Deployment>("d", |deployment| deployment.spec.replicas = Some(after));
        sim.roll_out();
        prop_assert_eq!(sim.available(), after);
        prop_assert_eq!(sim.active(), after);
        prop_assert!(all_have(&sim, "two"));
    }
}
