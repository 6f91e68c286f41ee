//! Several members in a simulated world: some are cut off and come back, come and go, and all agree.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

mod counted;
mod net;
mod quorum;
mod together;

use std::collections::BTreeSet;
use std::time::Duration;

use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1::ReconfigureResponse;
use proto::keelson::raft::v1::reconfigure_request::Change;
use store::env::sim::SimDisk;
use store::member::Member;
use store::refused::Refused;
use store::run::Tuning;

use crate::net::{all, all_tuned, contents, disks, put, simulate, start};

/// The run's trace: the hash of every disk.
fn run(seed: u64) -> Vec<u64> {
    simulate(seed, async |net| {
        let disks = disks(3);
        let members = all(&net, &disks[..3], seed).await;
        for count in 0..5 {
            members[count % 3].put(put(format!("before{count}"), "x".into())).await.expect("a write");
        }
        // A follower goes; the log that it needs is cut meanwhile.
        let lost = members.iter().position(|member| !member.is_leader()).expect("a follower");
        net.cut.lock().unwrap().insert(lost as u64 + 1);
        let writer = &members[(lost + 1) % 3];
        for count in 0..60 {
            writer.put(put(format!("key{}", count % 7), format!("value {count}"))).await.expect("a write");
            if count == 40 {
                let revision = writer.shared.revision();
                writer.compact(etcd::CompactionRequest { revision, physical: true }).await.expect("a compaction");
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let leader = members.iter().find(|member| member.is_leader() && member.owner.member_id != lost as u64 + 1);
        let (purged, _) = leader.expect("a leader").wal.state();
        assert!(
            purged.is_some_and(|id| id.index > 20),
            "seed {seed}: the log was cut behind the lost member: {purged:?}"
        );
        net.cut.lock().unwrap().clear();
        let back = &members[lost];
        let expect = contents(writer).await;
        assert_eq!(contents(back).await, expect, "seed {seed}: the member that came back agrees");
        assert!(disks[lost].dump().iter().any(|(name, _)| name.starts_with("engine-2/")), "seed {seed}: by a snapshot");
        // It takes part again, and its versions go on from where the others' are.
        back.put(put("key1".into(), "after".into())).await.expect("a write");
        assert_eq!(contents(writer).await, contents(back).await, "seed {seed}");
        disks.iter().map(SimDisk::trace).collect()
    })
}

#[test]
fn a_member_that_was_cut_off_comes_back_by_a_snapshot() {
    for seed in 1..=8 {
        run(seed);
    }
}

#[test]
fn three_members_run_the_same_way_from_the_same_seed() {
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4), "a trace is one of its seed");
}

/// A follower, or the leader, is cut off for half a minute and comes back; gives leader and term before and after.
fn partition(seed: u64, cut_leader: bool) -> [(Option<u64>, u64); 2] {
    simulate(seed, async |net| {
        let disks = disks(3);
        let members = all(&net, &disks[..3], seed).await;
        members[0].put(put("before".into(), "x".into())).await.expect("a write");
        let cut = members.iter().position(|member| member.is_leader() == cut_leader).expect("one of that kind");
        let witness = &members[(cut + 1) % 3];
        net.cut.lock().unwrap().insert(cut as u64 + 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let before = (witness.standing().leader, witness.standing().term);
        tokio::time::sleep(Duration::from_secs(20)).await;
        witness.put(put("meanwhile".into(), "x".into())).await.expect("a write");
        net.cut.lock().unwrap().clear();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let after = (witness.standing().leader, witness.standing().term);
        for member in &members {
            assert_eq!((member.standing().leader, member.standing().term), after, "seed {seed}: all agree");
        }
        [before, after]
    })
}

#[test]
fn a_member_that_was_cut_off_deposes_nobody_when_it_comes_back() {
    for seed in 1..=3 {
        for cut_leader in [false, true] {
            let [before, after] = partition(seed, cut_leader);
            assert!(before.0.is_some(), "seed {seed}: the others have a leader");
            assert_eq!(before, after, "seed {seed}, the leader was cut off: {cut_leader}");
        }
    }
}

/// How long a lease of 20 minutes lives, renewed after `renewed` seconds if at all, when its leader is cut off after 13
/// minutes.
fn lease_age(seed: u64, renewed: Option<u64>) -> u64 {
    simulate(seed, async |net| {
        // Hours pass here: few heartbeats.
        let tuning = Tuning { heartbeat_ms: 2000, election_ms: 10_000, ..Default::default() };
        let members = all_tuned(&net, &disks(3), seed, &tuning).await;
        while members[0].linearize().await.is_err() {}
        members[0].grant(etcd::LeaseGrantRequest { id: 7, ttl: 1200 }).await.expect("a lease");
        let start = tokio::time::Instant::now();
        if let Some(seconds) = renewed {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            assert_eq!(members[1].keep_alive(7).await.expect("an answer"), 1200);
        }
        tokio::time::sleep_until(start + Duration::from_secs(13 * 60)).await;
        let leader = members.iter().find(|member| member.is_leader()).expect("a leader");
        net.cut.lock().unwrap().insert(leader.owner.member_id);
        let other = members.iter().find(|member| !member.is_leader()).expect("a follower");
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let held = other.shared.held.read().state.lessor.contains(7);
            if !held {
                return start.elapsed().as_secs();
            }
        }
    })
}

#[test]
fn a_lease_keeps_most_of_its_age_when_its_leader_goes() {
    for seed in 1..=2 {
        let age = lease_age(seed, None);
        // Noted after 10 minutes, so up to 3 are forgotten; without notes it would live for 33.
        assert!((20 * 60..=23 * 60 + 60).contains(&age), "seed {seed}: {age} s");
    }
}

#[test]
fn a_renewed_lease_never_ends_early_when_its_leader_goes() {
    for seed in 1..=2 {
        // Right after a note, and long after.
        for renewed in [301, 760] {
            let age = lease_age(seed, Some(renewed));
            let longest = 13 * 60 + 1200 + 60;
            assert!((renewed + 1200..=longest).contains(&age), "seed {seed}, renewed after {renewed} s: {age} s");
        }
    }
}

/// The voters as `member` knows them, once there is no change under way.
async fn settled(member: &Member) -> BTreeSet<u64> {
    for _ in 0..600 {
        let membership = member.standing().membership;
        let waits =
            membership.nodes().any(|(id, peer)| peer.joins_voters && !membership.voter_ids().any(|of| of == *id));
        if membership.get_joint_config().len() == 1 && !waits {
            return membership.voter_ids().collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the membership does not settle: {:?}", member.standing().membership);
}

async fn change(member: &Member, change: Change) -> ReconfigureResponse {
    // Just after an election not everybody was heard of.
    for _ in 0..100 {
        match member.reconfigure(change.clone()).await {
            Ok(rsp) => return rsp,
            Err(Refused::Unhealthy | Refused::NoLeader) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(refused) => panic!("{change:?}: {refused}"),
        }
    }
    panic!("never: {change:?}");
}

fn grow_and_shrink(seed: u64) {
    simulate(seed, async |net| {
        let disks = disks(4);
        let members = all(&net, &disks[..3], seed).await;
        members[0].put(put("before".into(), "x".into())).await.expect("a write");
        // Through a follower: it passes the change on.
        let follower = members.iter().find(|member| !member.is_leader()).expect("a follower");
        let add = etcd::MemberAddRequest { peer_urls: vec!["http://new:1".into()], is_learner: false };
        let added = change(follower, Change::Add(add)).await.member_id;
        assert_eq!(follower.standing().membership.voter_ids().count(), 3, "seed {seed}: it counts in no quorum yet");
        follower.put(put("meanwhile".into(), "x".into())).await.expect("a write");
        let new = start(&net, added, &disks[3], seed).await;
        let led = members.iter().position(|member| member.is_leader()).expect("a leader");
        assert!(settled(&members[led]).await.contains(&added), "seed {seed}: it votes");

        // The leader takes itself out; it is gone while the others go on.
        let gone = led as u64 + 1;
        change(&new, Change::Remove(etcd::MemberRemoveRequest { id: gone })).await;
        let witness = &members[(led + 1) % 3];
        for count in 0..20 {
            witness.put(put(format!("after{count}"), "x".into())).await.expect("a write");
        }
        let voters: BTreeSet<u64> = (1..=3).filter(|id| *id != gone).chain([added]).collect();
        assert_eq!(settled(witness).await, voters, "seed {seed}");
        // It ends what it began, and then steps down.
        for _ in 0..200 {
            if witness.standing().leader != Some(gone) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        witness.put(put("another one leads".into(), "x".into())).await.expect("a write");
        assert!(witness.standing().leader.is_some_and(|id| voters.contains(&id)), "seed {seed}: another one leads");
        assert_eq!(contents(&new).await, contents(witness).await, "seed {seed}");

        // A change whose leader is cut off in the middle is ended by whoever leads then. With one of two that are left cut off
        // nobody has a quorum, so it comes back before anybody writes.
        let led = witness.standing().leader.expect("a leader");
        let leader = net.members.lock().unwrap()[&led].clone();
        let remove = Change::Remove(etcd::MemberRemoveRequest { id: added });
        let cut = async {
            tokio::time::sleep(Duration::from_millis(3 * seed)).await;
            net.cut.lock().unwrap().insert(led);
            tokio::time::sleep(Duration::from_secs(3)).await;
            net.cut.lock().unwrap().clear();
        };
        let (_outcome, ()) = tokio::join!(leader.reconfigure(remove), cut);
        let stays = members.iter().find(|member| voters.contains(&member.owner.member_id)).expect("one that stays");
        stays.put(put("after all".into(), "x".into())).await.expect("a write");
        let left = settled(stays).await;
        assert!(left == voters || left.len() == 2, "seed {seed}: all of it or nothing: {left:?}");
    });
}

#[test]
fn members_come_and_go_while_everybody_works() {
    for seed in 1..=6 {
        grow_and_shrink(seed);
    }
}
