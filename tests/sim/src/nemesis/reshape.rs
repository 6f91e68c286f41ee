//! Changes of the membership: a member joins as a learner, or to get its vote by itself; others get a vote, or lose it.
//!
//! There are always as many voters as in the beginning, so that the loss of the one member whose disk rots can be borne.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use store::raft::types::Peer;
use tokio::time::{sleep, timeout};

use crate::dice::Dice;
use crate::net::Live;
use crate::world::World;

/// How often, and how far apart, the first membership is tried for at the end.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(3);

/// Who joins.
fn joiner(world: &World) -> u64 {
    world.size()
}

fn leader(world: &World) -> Option<Live> {
    world.net.live(world.net.leader()?)
}

fn join(world: &World, joins_voters: bool) -> ChangeMembers<u64, Peer> {
    ChangeMembers::AddNodes(BTreeMap::from([(joiner(world), Peer { joins_voters, ..Peer::default() })]))
}

/// Asks the leader for a change; whether it comes about is told by nobody.
pub fn change(world: &Arc<World>, dice: &Dice) {
    let Some(live) = leader(world) else { return };
    let (name, change) = if live.member.standing().membership.get_node(&joiner(world)).is_none() {
        ("a member joins", join(world, dice.one_in(2)))
    } else {
        let out = 1 + dice.below(world.size());
        let voters: BTreeSet<u64> = world.ids().filter(|id| *id != out).collect();
        ("other voters", ChangeMembers::ReplaceAllVoters(voters))
    };
    world.tell(name);
    world.count(name);
    let raft = live.member.raft.clone();
    // Who loses its vote stays, and learns.
    drop(live.process.spawn(async move { raft.change_membership(change, true).await }));
}

/// Makes the first voters the voters again, and the other one a learner.
pub async fn back(world: &Arc<World>) {
    let first: BTreeSet<u64> = world.first_voters().collect();
    for _ in 0..TRIES {
        if let Some(live) = leader(world) {
            let membership = live.member.standing().membership;
            let joined = membership.get_node(&joiner(world)).is_some_and(|peer| !peer.joins_voters);
            let settled = membership.get_joint_config().len() == 1 && membership.voter_ids().eq(first.iter().copied());
            if joined && settled {
                return;
            }
            let change = if joined { ChangeMembers::ReplaceAllVoters(first.clone()) } else { learn(world) };
            let raft = live.member.raft.clone();
            let doing = live.process.spawn(async move { raft.change_membership(change, true).await.is_ok() });
            // It is asked for again.
            let _done = timeout(PATIENCE, doing).await;
        }
        sleep(PAUSE).await;
    }
    world.watchdog.judge("membership", Err("the first voters do not become the voters again".to_owned()));
}

fn learn(world: &World) -> ChangeMembers<u64, Peer> {
    ChangeMembers::SetNodes(BTreeMap::from([(joiner(world), Peer::default())]))
}
