//! Three processes, each in a network namespace of its own, are killed, frozen, parted and run out of disk under a load
//! whose history is judged: every acknowledged write stays, no read is stale, and work goes on when the fault is over.
//!
//! Needs root (namespaces, nftables, mounts).

use std::time::Duration;

use anyhow::{Result, ensure};
use test_store::recorder::Entry;
use test_store::world::{AT_WORK, ELECTION, World, run};

/// What a client reads of a full disk.
const MEND: &str = "no room on the disk of --data-dir";

fn others(of: usize) -> [usize; 2] {
    [(of + 1) % 3, (of + 2) % 3]
}

/// Calls that this member was asked.
fn at(member: usize) -> impl Fn(&Entry) -> bool {
    move |entry| entry.member == member
}

fn not_at(member: usize) -> impl Fn(&Entry) -> bool {
    move |entry| entry.member != member
}

/// Long enough for an election, if anybody stood.
async fn a_while() {
    tokio::time::sleep(3 * ELECTION).await;
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back() -> Result<()> {
    run("lead", None, async |mut world| {
        let led = world.leader().await?;
        world.kill(led)?;
        let killed = world.recorder.now();
        world.works(killed, "without the leader").await?;
        ensure!(world.leader_of(&others(led)).await? != led, "another member leads");
        world.restart(led)?;
        world.answers(world.recorder.now(), 20, "at the member that was killed", at(led)).await?;
        world.works(world.recorder.now(), "after the leader came back").await?;
        Ok(world)
    })
}

#[test]
fn killed_followers_stop_the_work_until_one_of_them_is_back() -> Result<()> {
    run("follow", None, async |mut world| {
        let led = world.leader().await?;
        let [one, other] = others(led);
        world.kill(one)?;
        world.works(world.recorder.now(), "without one follower").await?;
        world.kill(other)?;
        let alone = world.recorder.now();
        a_while().await;
        world.answered_nothing(alone, |_| true)?;
        world.restart(one)?;
        world.works(alone, "with one follower again").await?;
        world.restart(other)?;
        world.answers(world.recorder.now(), 20, "at the member that was killed", at(other)).await?;
        Ok(world)
    })
}

#[test]
fn members_that_are_all_killed_at_once_lose_nothing() -> Result<()> {
    run("all", None, async |mut world| {
        for round in 0..2 {
            for member in 0..3 {
                world.kill(member)?;
            }
            let dark = world.recorder.now();
            for member in 0..3 {
                world.restart(member)?;
            }
            world.works(dark, &format!("after everybody was killed, round {round}")).await?;
        }
        Ok(world)
    })
}

#[test]
fn a_frozen_leader_that_comes_back_gives_no_stale_read() -> Result<()> {
    run("freeze", None, async |world| {
        let led = world.leader().await?;
        world.freeze(led).await?;
        let frozen = world.recorder.now();
        // Others write meanwhile; reads wait in the sockets of the frozen one, which still takes itself for the leader.
        world.works(frozen, "while the leader is frozen").await?;
        a_while().await;
        world.answered_nothing(frozen, at(led))?;
        world.thaw(led)?;
        let thawed = world.recorder.now();
        world.answers(thawed, 30, "at the member that was frozen", at(led)).await?;
        world.works(thawed, "after the leader was thawed").await?;
        Ok(world)
    })
}

#[test]
fn a_leader_whose_followers_are_frozen_answers_nothing() -> Result<()> {
    run("alone", None, async |world| {
        let led = world.leader().await?;
        for follower in others(led) {
            world.freeze(follower).await?;
        }
        let alone = world.recorder.now();
        a_while().await;
        world.answered_nothing(alone, |_| true)?;
        for follower in others(led) {
            world.thaw(follower)?;
        }
        world.works(alone, "after the followers were thawed").await?;
        Ok(world)
    })
}

#[test]
fn a_leader_that_is_cut_off_answers_nothing_while_the_others_go_on() -> Result<()> {
    run("cut", None, async |world| {
        let led = world.leader().await?;
        for follower in others(led) {
            world.net.part(led, follower)?;
        }
        let cut = world.recorder.now();
        world.answers(cut, AT_WORK, "while the leader is cut off", not_at(led)).await?;
        a_while().await;
        world.answered_nothing(cut, at(led))?;
        ensure!(world.leader_of(&others(led)).await? != led, "the majority has a leader of its own");
        world.net.heal()?;
        let healed = world.recorder.now();
        world.answers(healed, 30, "at the member that was cut off", at(led)).await?;
        world.works(healed, "after the cut").await?;
        Ok(world)
    })
}

#[test]
fn a_follower_that_is_cut_off_deposes_nobody() -> Result<()> {
    run("minor", None, async |world| {
        let led = world.leader().await?;
        let term = world.member(led)?.status().await?.raft_term;
        let [cut_off, _] = others(led);
        for other in others(cut_off) {
            world.net.part(cut_off, other)?;
        }
        let cut = world.recorder.now();
        a_while().await;
        world.answers(cut, AT_WORK, "while a follower is cut off", not_at(cut_off)).await?;
        world.answered_nothing(cut, at(cut_off))?;
        world.net.heal()?;
        let healed = world.recorder.now();
        world.answers(healed, 30, "at the member that was cut off", at(cut_off)).await?;
        let status = world.member(led)?.status().await?;
        ensure!(status.raft_term == term, "in term {term} before, in {} afterwards", status.raft_term);
        Ok(world)
    })
}

#[test]
fn members_that_are_all_apart_answer_nothing() -> Result<()> {
    run("apart", None, async |world| {
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            world.net.part(one, other)?;
        }
        let apart = world.recorder.now();
        a_while().await;
        world.answered_nothing(apart, |_| true)?;
        world.net.heal()?;
        world.works(apart, "after all were apart").await?;
        Ok(world)
    })
}

#[test]
fn a_leader_that_nobody_hears_is_replaced() -> Result<()> {
    run("mute", None, async |world| {
        let led = world.leader().await?;
        for follower in others(led) {
            world.net.lose(led, follower)?;
        }
        one_way(world, led).await
    })
}

#[test]
fn a_leader_that_hears_nobody_is_replaced() -> Result<()> {
    run("deaf", None, async |world| {
        let led = world.leader().await?;
        for follower in others(led) {
            world.net.lose(follower, led)?;
        }
        one_way(world, led).await
    })
}

/// What is lost in one direction is a cut for whoever needs answers.
async fn one_way(world: World, led: usize) -> Result<World> {
    let cut = world.recorder.now();
    world.answers(cut, AT_WORK, "while packets go one way only", not_at(led)).await?;
    world.answered_nothing(cut, at(led))?;
    world.net.heal()?;
    let healed = world.recorder.now();
    world.answers(healed, 30, "at the member that led", at(led)).await?;
    world.works(healed, "after packets went one way only").await?;
    Ok(world)
}

#[test]
fn a_leader_with_a_full_disk_refuses_writers_and_serves_readers() -> Result<()> {
    run("full", Some("48m"), async |world| {
        let led = world.leader().await?;
        let ballast = world.disks[led].fill(0)?;
        let full = world.recorder.now();
        let reads = |entry: &Entry| !entry.is_write();
        world.answers(full, AT_WORK, "reads, while the leader's disk is full", reads).await?;
        let refused = world.recorder.refused_since(full, MEND);
        ensure!(refused > 20, "writers are told what to mend: {refused} times");
        std::fs::remove_file(ballast)?;
        let room = world.recorder.now();
        world.works(room, "with room on the leader's disk").await?;
        world.answers(room, AT_WORK / 4, "writes, with room on the leader's disk", Entry::is_write).await?;
        Ok(world)
    })
}

#[test]
fn a_follower_with_a_full_disk_stops_nobody_else() -> Result<()> {
    run("fuller", Some("48m"), async |world| {
        let led = world.leader().await?;
        let [follower, _] = others(led);
        let ballast = world.disks[follower].fill(0)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let full = world.recorder.now();
        let written = |entry: &Entry| entry.is_write() && entry.member != follower;
        world.answers(full, AT_WORK / 2, "writes, while a follower's disk is full", written).await?;
        let reads = |entry: &Entry| !entry.is_write() && entry.member == follower;
        world.answers(full, 10, "reads at the follower whose disk is full", reads).await?;
        std::fs::remove_file(ballast)?;
        let room = world.recorder.now();
        let written = |entry: &Entry| entry.is_write() && entry.member == follower;
        world.answers(room, 20, "writes at the follower that has room again", written).await?;
        world.works(room, "with room on the follower's disk").await?;
        Ok(world)
    })
}
