//! Bit rot on one member of three: it gets everything from the others, and votes for nobody until it has it.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::sync::Arc;
use std::time::Duration;

use openraft::raft::VoteRequest;
use proto::etcdserverpb::PutRequest;
use store::raft::types::Vote;
use store::refused::Refused;
use test_sim::keeper::Order;
use test_sim::net::Live;
use test_sim::planted::Planted;
use test_sim::run::{Report, agree, begin, run_story};
use test_sim::world::{Settings, World};
use tokio::time::sleep;

async fn live(world: &World, id: u64) -> Live {
    loop {
        if let Some(live) = world.net.live(id) {
            return live;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Writes enough for several segments of log and engine.
async fn fill(world: &World, round: u64) {
    for count in 0..60u64 {
        let key = format!("key{}", count % 30).into();
        let value = format!("round {round}, {}", "x".repeat(200)).into();
        let put = PutRequest { key, value, ..Default::default() };
        live(world, 1 + count % 3).await.member.put(put).await.unwrap();
    }
}

/// Writes until the member has a file whose name has `wanted` in it.
async fn fill_until(world: &World, id: u64, wanted: &str) {
    for round in 0..20 {
        fill(world, round).await;
        agree(world).await;
        if world.disk(id).dump().iter().any(|(name, _)| name.contains(wanted)) {
            return;
        }
    }
    panic!("member {id} never has {wanted}: {:?}", world.disk(id).dump());
}

/// Damages one file of a member that is down; false when there is none such.
fn damage(world: &World, id: u64, wanted: &str) -> bool {
    let disk = world.disk(id);
    let files = disk.dump();
    let found = files.iter().find(|(name, size)| name.contains(wanted) && *size > 0);
    let Some((name, size)) = found else { return false };
    world.tell(&format!("damage in {name} of {files:?}"));
    disk.flip_bit(name, size / 4, 3);
    world.rotten.lock().insert(id);
    true
}

async fn down(world: &Arc<World>, id: u64) {
    world.order(id, Order::Kill);
    sleep(Duration::from_millis(5)).await;
    assert!(world.net.live(id).is_none());
}

async fn votes_again(world: &World, id: u64) {
    for _ in 0..600 {
        if world.net.live(id).is_some_and(|live| !live.member.rejoin.is_active()) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("member {id} does not vote again");
}

#[test]
fn a_member_with_a_damaged_file_gets_everything_from_the_others() {
    for (seed, wanted, at_start) in
        [(1, "wal/", true), (2, "checkpoint", true), (3, "CURRENT", true), (4, ".seg", false)]
    {
        let report = run_story(Settings { members: 3, reshaped: false, ..Settings::of(seed) }, async |world| {
            begin(world);
            fill_until(world, 2, wanted).await;
            down(world, 2).await;
            assert!(damage(world, 2, wanted), "{wanted}: {:?}", world.disk(2).dump());
            live(world, 2).await;
            agree(world).await;
            votes_again(world, 2).await;
            let log = world.log();
            assert!(!at_start || world.rejoins() == 1, "{wanted}: it began with nothing: {log:#?}");
            let names = world.disk(2).dump();
            assert!(!names.iter().any(|(name, _)| name.starts_with("damaged-") || name == "REJOIN"), "{names:?}");
            fill(world, 2).await;
            agree(world).await;
        });
        assert_eq!(report.violations, [""; 0], "{wanted}: {:#?}", report.log);
    }
}

#[test]
fn a_value_that_rots_while_the_member_runs_is_not_served() {
    let report = run_story(Settings { members: 3, reshaped: false, ..Settings::of(5) }, async |world| {
        begin(world);
        fill(world, 1).await;
        agree(world).await;
        let disk = world.disk(2);
        world.rotten.lock().insert(2);
        let segments = disk.dump().into_iter().filter(|(name, _)| name.ends_with(".seg"));
        segments.for_each(|(name, size)| (40..size).for_each(|offset| disk.flip_bit(&name, offset, 1)));
        agree(world).await;
        votes_again(world, 2).await;
        agree(world).await;
        let log = world.log();
        assert!(world.rejoins() >= 1, "{log:#?}");
    });
    assert_eq!(report.violations, [""; 0], "{:#?}", report.log);
}

/// Members 1 and 2 acknowledge what 3 has never seen; 2 loses it, and stays alone with 3.
fn after_a_loss(planted: Option<Planted>) -> Report {
    run_story(Settings { members: 3, reshaped: false, planted, ..Settings::of(7) }, async |world| {
        begin(world);
        fill(world, 1).await;
        agree(world).await;
        isolate(world, 3);
        let leader = settled(world).await;
        for count in 0..8_u32 {
            let put = PutRequest { key: "late".into(), value: count.to_string().into(), ..Default::default() };
            live(world, leader).await.member.put(put).await.unwrap();
        }
        down(world, 2).await;
        assert!(damage(world, 2, "wal/"));
        world.net.heal_links();
        isolate(world, 1);
        sleep(Duration::from_secs(12)).await;
        world.net.heal_links();
        votes_again(world, 2).await;
        agree(world).await;
    })
}

fn isolate(world: &World, id: u64) {
    for other in (1..=3).filter(|other| *other != id) {
        world.net.cut(id, other);
        world.net.cut(other, id);
    }
}

/// A leader among 1 and 2.
async fn settled(world: &World) -> u64 {
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        let leads = |id: &u64| world.net.live(*id).is_some_and(|live| live.member.is_leader());
        if let Some(leader) = (1..=2).find(leads) {
            sleep(Duration::from_millis(500)).await;
            return leader;
        }
    }
    panic!("neither 1 nor 2 leads");
}

#[test]
fn what_was_acknowledged_outlives_a_member_that_comes_back_with_nothing() {
    let report = after_a_loss(None);
    assert_eq!(report.violations, [""; 0], "{:#?}", report.log);
}

#[test]
fn voting_before_everything_is_back_is_found() {
    let report = after_a_loss(Some(Planted::VotesWhileRejoining));
    let found = report.violations.iter().any(|text| text.starts_with("leader completeness"));
    assert!(found, "{:#?} {:#?}", report.violations, report.log);
}

#[test]
fn a_member_that_comes_back_with_nothing_votes_for_nobody_until_it_has_everything() {
    let report = run_story(Settings { members: 3, reshaped: false, ..Settings::of(6) }, async |world| {
        begin(world);
        fill(world, 1).await;
        down(world, 2).await;
        assert!(damage(world, 2, "wal/"));
        for other in [1, 3] {
            world.net.cut(2, other);
            world.net.cut(other, 2);
        }
        let cut_off = live(world, 2).await;
        sleep(Duration::from_secs(5)).await;
        let log = world.log();
        assert!(cut_off.member.rejoin.is_active(), "{log:#?}");
        assert_eq!(cut_off.member.leading_term(), None);
        let candidate = || VoteRequest::new(Vote::new(1000, 1), None);
        assert_eq!(cut_off.member.vote(candidate()).await.unwrap_err(), Refused::Unhealthy);
        assert_eq!(cut_off.member.pre_vote(candidate()).await.unwrap_err(), Refused::Unhealthy);
        // Neither does it forget that when it is started again.
        down(world, 2).await;
        let again = live(world, 2).await;
        assert!(again.member.rejoin.is_active());
        world.net.heal_links();
        votes_again(world, 2).await;
        assert!(live(world, 2).await.member.check_votes().is_ok());
        agree(world).await;
    });
    assert_eq!(report.violations, [""; 0], "{:#?}", report.log);
}
