use proptest::prelude::*;
use proto::apps::v1::RollingUpdateDeployment;
use proto::core::v1::Pod;

use super::*;
use crate::sim::World;

fn with_bounds(replicas: i32, surge: &str, unavailable: &str) -> World {
    let mut world = World::new(replicas);
    world.deployment.spec.strategy.rolling_update = Some(RollingUpdateDeployment {
        max_surge: Some(api::int_or_string::parse(surge)),
        max_unavailable: Some(api::int_or_string::parse(unavailable)),
    });
    world
}

/// Lets pods start one after the other until the rollout is through.
fn roll_out(world: &mut World, mut look: impl FnMut(&World)) {
    for _ in 0..500 {
        let wrote = world.step();
        look(world);
        if !wrote && !world.start_one() {
            return;
        }
        look(world);
    }
    panic!("the rollout does not end");
}

#[test]
fn a_new_deployment_becomes_one_set_of_its_size() {
    let mut world = World::new(3);
    roll_out(&mut world, |_| {});
    assert_eq!(world.available(), 3);
    assert_eq!(world.sets.len(), 1);
    assert_eq!(world.deployment.metadata.annotations[REVISION], "1");
    assert_eq!(world.condition("Available").as_deref(), Some("True MinimumReplicasAvailable"));
    assert_eq!(world.condition("Progressing").as_deref(), Some("True NewReplicaSetAvailable"));
    let name = &world.sets[0].metadata.name;
    assert!(world.events.contains(&format!("ScalingReplicaSet Scaled up replica set {name} from 0 to 3")), "{:?}", world.events);
}

#[test]
fn a_rollout_moves_one_by_one_within_its_bounds() {
    let mut world = with_bounds(3, "1", "0");
    roll_out(&mut world, |_| {});
    world.events.clear();
    world.set_image("two");
    roll_out(&mut world, |_| {});
    let (old, new) = (world.sets[0].metadata.name.clone(), world.sets[1].metadata.name.clone());
    let scaled: Vec<&String> = world.events.iter().filter(|event| event.starts_with("Scaling")).collect();
    let expect = [
        format!("ScalingReplicaSet Scaled up replica set {new} from 0 to 1"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 3 to 2"),
        format!("ScalingReplicaSet Scaled up replica set {new} from 1 to 2"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 2 to 1"),
        format!("ScalingReplicaSet Scaled up replica set {new} from 2 to 3"),
        format!("ScalingReplicaSet Scaled down replica set {old} from 1 to 0"),
    ];
    assert_eq!(scaled, expect.iter().collect::<Vec<_>>());
    assert_eq!(world.deployment.metadata.annotations[REVISION], "2");
}

#[test]
fn going_back_uses_the_old_set_under_a_new_revision() {
    let mut world = World::new(2);
    roll_out(&mut world, |_| {});
    world.set_image("two");
    roll_out(&mut world, |_| {});
    world.set_image("");
    roll_out(&mut world, |_| {});
    assert_eq!(world.sets.len(), 2);
    assert_eq!(world.sets[0].metadata.annotations[REVISION], "3");
    assert_eq!(world.sets[0].metadata.annotations[REVISION_HISTORY], "1");
    assert_eq!(world.sets[0].spec.replicas, Some(2));
    assert_eq!(world.sets[1].spec.replicas, Some(0));
}

#[test]
fn recreate_starts_nothing_before_the_old_pods_are_gone() {
    let mut world = World::new(3);
    world.deployment.spec.strategy.r#type = "Recreate".into();
    roll_out(&mut world, |_| {});
    world.set_image("two");
    roll_out(&mut world, |world| {
        let images: std::collections::BTreeSet<&str> = world.pods.iter().map(image).collect();
        assert!(images.len() <= 1, "old and new pods together");
    });
    assert!(world.pods.iter().all(|pod| image(pod) == "two"));
    assert_eq!(world.available(), 3);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::new(2);
    roll_out(&mut world, |_| {});
    world.deployment.spec.paused = true;
    world.set_image("two");
    world.set_replicas(4);
    roll_out(&mut world, |_| {});
    assert_eq!(world.sets.len(), 1);
    assert_eq!(world.available(), 4);
    assert_eq!(world.condition("Progressing").as_deref(), Some("Unknown DeploymentPaused"));
    world.deployment.spec.paused = false;
    roll_out(&mut world, |_| {});
    assert!(world.pods.iter().all(|pod| image(pod) == "two"));
}

#[test]
fn a_stuck_rollout_says_so_after_its_deadline() {
    let mut world = World::new(2);
    world.settle();
    world.now += 599;
    world.settle();
    assert_eq!(world.condition("Progressing").as_deref(), Some("True ReplicaSetUpdated"));
    world.now += 2;
    world.settle();
    assert_eq!(world.condition("Progressing").as_deref(), Some("False ProgressDeadlineExceeded"));
    roll_out(&mut world, |_| {});
    assert_eq!(world.condition("Progressing").as_deref(), Some("True NewReplicaSetAvailable"));
}

#[test]
fn old_revisions_beyond_the_limit_go() {
    let mut world = World::new(1);
    world.deployment.spec.revision_history_limit = Some(2);
    for image in ["a", "b", "c", "d", "e"] {
        world.set_image(image);
        roll_out(&mut world, |_| {});
        world.settle();
    }
    let revisions: Vec<i64> = world.sets.iter().map(revision::of).collect();
    assert_eq!(revisions, [3, 4, 5]);
}

fn image(pod: &Pod) -> &str {
    &pod.spec.containers[0].image
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rollout_never_leaves_its_bounds_and_always_ends(
        replicas in 1..12i32, surge in 0..5i32, unavailable in 0..5i32, percent in any::<bool>(),
    ) {
        let text = |value: i32| if percent { format!("{}%", value * 20) } else { value.to_string() };
        let mut world = with_bounds(replicas, &text(surge), &text(unavailable));
        roll_out(&mut world, |_| {});
        world.set_image("two");
        let most = replicas + rollout::max_surge(&world.deployment);
        let least = replicas - rollout::max_unavailable(&world.deployment);
        roll_out(&mut world, |world| {
            assert!(world.pods.len() <= usize::try_from(most).unwrap(), "{} pods, at most {most}", world.pods.len());
            assert!(world.available() >= usize::try_from(least).unwrap(), "{} available, at least {least}", world.available());
        });
        prop_assert!(world.pods.iter().all(|pod| image(pod) == "two"));
        prop_assert_eq!(world.available(), usize::try_from(replicas).unwrap());
        prop_assert_eq!(world.condition("Progressing").unwrap(), "True NewReplicaSetAvailable");
    }

    #[test]
    fn a_change_of_size_in_the_middle_ends_at_the_new_size(
        before in 1..10i32, after in 0..10i32, steps in 0..12usize,
    ) {
        let mut world = World::new(before);
        roll_out(&mut world, |_| {});
        world.set_image("two");
        for _ in 0..steps {
            if !world.step() {
                world.start_one();
            }
        }
        world.set_replicas(after);
        roll_out(&mut world, |_| {});
        prop_assert_eq!(world.available(), usize::try_from(after).unwrap());
        prop_assert!(world.pods.iter().all(|pod| image(pod) == "two"));
    }
}
