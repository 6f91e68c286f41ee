//! openraft's state machine: entries of the log become frames of the engine, changes for watchers, and answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::types::{Batch, LogId, Outcomes, SnapshotMeta, StoredMembership, TypeConfig};
use crate::apply::apply;
use crate::auth::tokens::TokenChange;
use crate::counts::Times;
use crate::engine::Writer;
use crate::engine::maintain::Job;
use crate::env::planted::{self, Bug};
use crate::env::{Env, WorkerHandle, is_full};
use crate::keepsake::Keepsake;
use crate::reply::Answer;
use crate::room::is_low;
use crate::shared::Shared;
use crate::snapshot::{self, SnapshotData};
use crate::state::{Effect, State};
use crate::watcher::Change;

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// Entries applied under one lock.
const APPLY_LEN_MAX: usize = 64;
/// Rest before a sync is tried again on a full disk.
const FULL_PAUSE: Duration = Duration::from_millis(500);
/// How often, and how long at most, the log waits for snapshots that are being sent.
const SENDING_PAUSE: Duration = Duration::from_millis(200);
const SENDING_WAIT_MAX: Duration = Duration::from_secs(600);
/// Entries between two looks at the engine's chores.
const WAKE_ENTRIES: u64 = 256;

#[derive(Clone)]
pub struct Machine {
    env: Env,
    shared: Arc<Shared>,
    maintenance: WorkerHandle<Job>,
    keepsake: Arc<Keepsake>,
    since_wake: u64,
}

impl Machine {
    pub fn new(env: Env, shared: Arc<Shared>, maintenance: WorkerHandle<Job>, keepsake: Arc<Keepsake>) -> Self {
        Self { env, shared, maintenance, keepsake, since_wake: 0 }
    }

    /// Whether this member is one of several is known even when log and engine are damaged. Memberships change rarely.
    fn keep_voters(&self) -> io::Result<()> {
        let voters = self.shared.held.read().state.membership.membership().voter_ids().count() as u64;
        match self.keepsake.save_voters(voters) {
            // What was kept before is there, and serves.
            Err(error) if is_full(&error) => Ok(()),
            result => result,
        }
    }

    /// Makes everything applied so far durable in the engine.
    async fn sync(&self) -> io::Result<()> {
        loop {
            let (tx, rx) = oneshot::channel();
            self.maintenance.send(Job::Sync(tx)).await?;
            match rx.await.map_err(|_| io::Error::other("the engine's maintenance has stopped"))? {
                // The log stays until there is room.
                Err(error) if is_full(&error) => tokio::time::sleep(FULL_PAUSE).await,
                result => return result,
            }
        }
    }

    /// The log goes only behind what is archived, unless the disk has no room for it any more.
    async fn archived(&self, upto: Option<LogId>) {
        let Some(index) = upto.map(|upto| upto.index) else { return };
        while self.shared.archive.is_behind(index) {
            let waited = tokio::time::timeout(FULL_PAUSE, self.shared.archive.wait(index)).await;
            if waited.is_err() && self.env.disk.space().is_ok_and(is_low) {
                tracing::error!("the disk is full: the log is cut before it is archived");
                return;
            }
        }
    }

    /// openraft cuts the log once this snapshot is there, also where one is on its way to another member, which would then
    /// need the next one, and so on.
    async fn wait_for_sendings(&self) {
        let deadline = tokio::time::Instant::now() + SENDING_WAIT_MAX;
        while self.shared.is_sending()
            && !self.env.disk.space().is_ok_and(is_low)
            && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(SENDING_PAUSE).await;
        }
    }

    /// Applies entries in one go: one write to the engine, one publication, then the answers.
    fn apply_some(&self, entries: Vec<EntryResponder<TypeConfig>>) -> io::Result<bool> {
        let start = Instant::now();
        let mut changes = Vec::new();
        let mut answers = Vec::with_capacity(entries.len());
        let mut tokens = Vec::new();
        let compacted_before;
        let compacted;
        let applied;
        let members_change = entries.iter().any(|(entry, _)| matches!(entry.payload, EntryPayload::Membership(_)));
        {
            let mut writer = self.shared.writer.lock();
            let mut held = self.shared.held.write();
            let state = &mut held.state;
            compacted_before = state.index.compacted();
            if let Err(error) = apply_all(
                state,
                &mut writer,
                entries,
                &mut changes,
                &mut tokens,
                &mut answers,
                &self.shared.counts.commits,
            ) {
                // Half of an entry may be in the state: nobody may read it, nor write it out.
                self.shared.break_down(&error);
                return Err(error);
            }
            applied = state.applied;
            compacted = state.index.compacted();
            tokens.into_iter().for_each(|change| self.shared.tokens.take(change));
            self.shared.note_auth(state);
        }
        if members_change {
            self.keep_voters()?;
        }
        self.count(&changes, &answers, start);
        self.shared.hub.publish(changes);
        self.shared.set_applied(applied);
        for (responder, outcomes) in answers {
            if let Some(responder) = responder {
                responder.send(outcomes);
            }
        }
        Ok(compacted != compacted_before)
    }
}

impl Machine {
    /// Notes what was applied, and how long that took.
    fn count(&self, changes: &[Change], answers: &Answers, start: Instant) {
        let counts = &self.shared.counts;
        for event in changes.iter().flat_map(|change| &change.events) {
            if event.is_delete() {
                counts.deletes.one();
            } else {
                counts.puts.one();
                counts.put_bytes.add((event.key.len() + event.value.len()) as u64);
            }
        }
        for answer in answers.iter().flat_map(|(_, outcomes)| &outcomes.0).flatten() {
            match answer {
                Answer::Txn(_) => counts.txns.one(),
                Answer::LeaseGrant(_) => counts.leases_granted.one(),
                Answer::LeaseRevoke(_) => counts.leases_revoked.one(),
                _ => {}
            }
        }
        let took = start.elapsed();
        counts.applies.observe(took);
        if took > self.shared.slow_apply() {
            counts.applies_slow.one();
            tracing::warn!(ms = took.as_millis() as u64, "applying took long");
        }
    }
}

type Answers = Vec<(Option<ApplyResponder<TypeConfig>>, Outcomes)>;

/// Applies entries, a frame of the engine for each.
fn apply_all(
    state: &mut State,
    writer: &mut Writer,
    entries: Vec<EntryResponder<TypeConfig>>,
    changes: &mut Vec<Change>,
    tokens: &mut Vec<TokenChange>,
    answers: &mut Answers,
    commits: &Times,
) -> io::Result<()> {
    for (entry, responder) in entries {
        let mut outcomes = Outcomes::default();
        writer.begin(Some(entry.log_id))?;
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(batch) => {
                outcomes =
                    run_batch(state, writer, entry.log_id.leader_id.term, batch, responder.is_some(), changes, tokens)?;
            }
            EntryPayload::Membership(membership) => {
                let stored = StoredMembership::new(Some(entry.log_id), membership.clone());
                writer.effect(&Effect::Membership(stored.clone()));
                state.set_membership(stored);
            }
        }
        writer.finish();
        state.applied = Some(entry.log_id);
        answers.push((responder, outcomes));
    }
    let start = Instant::now();
    let flushed = writer.flush();
    commits.observe(start.elapsed());
    flushed
}

fn run_batch(
    state: &mut State,
    writer: &mut Writer,
    term: u64,
    batch: &Batch,
    wanted: bool,
    changes: &mut Vec<Change>,
    tokens: &mut Vec<TokenChange>,
) -> io::Result<Outcomes> {
    let commands = batch.commands().map_err(io::Error::other)?;
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands.iter() {
        let applied = apply(state, writer, term, command, wanted)?;
        if !applied.events.is_empty() {
            changes.push(Change { revision: state.index.revision(), events: applied.events });
        }
        tokens.extend(applied.tokens);
        outcomes.push(applied.outcome);
    }
    Ok(Outcomes(outcomes))
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Machine;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let held = self.shared.held.read();
        let mut applied = held.state.applied;
        if planted::is(Bug::AppliedTwice) {
            let before = |id: LogId| Some(LogId::new_term_index(id.leader_id.term, id.index.checked_sub(1)?));
            applied = applied.and_then(before);
        }
        Ok((applied, held.state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut chunks = entries.ready_chunks(APPLY_LEN_MAX);
        while let Some(chunk) = chunks.next().await {
            let entries = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
            self.since_wake += entries.len() as u64;
            let compacted = self.apply_some(entries)?;
            if compacted {
                self.maintenance.send(Job::Trim(None)).await?;
            } else if self.since_wake >= WAKE_ENTRIES {
                self.since_wake = 0;
                self.maintenance.send(Job::Wake).await?;
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> Result<(), io::Error> {
        snapshot::install(&self.env, &self.shared, meta, snapshot)?;
        self.keep_voters()
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let (meta, snapshot) = snapshot::take(&self.shared);
        if meta.last_log_id.is_none() {
            return Ok(None);
        }
        Ok(Some(Snapshot { meta, snapshot }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;

    /// A snapshot is the engine itself: once it is synced, the log before it can go.
    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.wait_for_sendings().await;
        let start = Instant::now();
        let (meta, snapshot) = snapshot::take(&self.shared);
        self.sync().await?;
        self.archived(meta.last_log_id).await;
        self.shared.counts.snapshots.observe(start.elapsed());
        Ok(Snapshot { meta, snapshot })
    }
}
