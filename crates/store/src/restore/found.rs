//! The member of a new cluster, with a state that came from elsewhere.

use std::io;

use crate::config::Ids;
use crate::engine::{Writer, open};
use crate::env::Env;
use crate::ids::epoch;
use crate::raft::types::{LogId, Membership, StoredMembership, Vote};
use crate::snapshot::write_checkpoint;
use crate::state::{Effect, State};
use crate::wal::{Owner, Wal};

use super::RestoreError;
use super::load::full;

/// The entry of the new log that stands for everything that was restored: the same on every member.
const TERM: u64 = 1;
const INDEX: u64 = 1;

/// Writes what is left to write: the membership, a checkpoint, a log that begins behind it.
pub fn found(env: &Env, state: &mut State, writer: &mut Writer, ids: &Ids) -> Result<(), RestoreError> {
    let at = LogId::new_term_index(TERM, INDEX);
    let voters = ids.members.keys().copied().collect();
    let membership = Membership::new(vec![voters], ids.members.clone());
    let membership = membership.map_err(|error| RestoreError::Flags(format!("--initial-cluster: {error}")))?;
    state.applied = Some(at);
    state.membership = StoredMembership::new(Some(at), membership);
    // The old members may have the same ids, and must not be talked to.
    state.epoch = epoch(state.index.revision(), state.index.compacted());
    // Of the old members nothing is known to the new ones.
    state.attributes.clear();
    state.alarms.clear();
    state.downgrade = None;
    let failed = |source| RestoreError::Write { path: open::dir(1).into(), source };
    engine(env, state, writer).map_err(failed)?;
    let owner = Owner { cluster_id: ids.cluster_id, member_id: ids.member_id };
    Ok(Wal::create(env, owner, Vote::new(TERM, ids.member_id), at)?)
}

fn engine(env: &Env, state: &State, writer: &mut Writer) -> io::Result<()> {
    writer.begin(state.applied)?;
    writer.effect(&Effect::Membership(state.membership.clone()));
    writer.finish();
    writer.flush()?;
    full(writer)?;
    writer.take_unsynced().sync()?;
    write_checkpoint(state, writer, writer.position())?;
    open::set_current(&*env.disk, 1)
}
