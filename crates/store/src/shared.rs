//! What the state machine, the readers and the maintenance of one member share.
//!
//! Lock order: writer, then held, then the hub's own. Only the state machine and the maintenance take the writer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use proto::etcdserverpb::{RangeRequest, TxnRequest, TxnResponse};
use tokio::sync::watch;

use crate::archive::Mark;
use crate::auth::Who;
use crate::auth::tokens::Tokens;
use crate::counts::Counts;
use crate::engine::{Engine, View, Writer};
use crate::mvcc::Loc;
use crate::mvcc::range::{Selection, select};
use crate::mvcc::write::{WriteError, read_txn};
use crate::raft::types::LogId;
use crate::refused::Refused;
use crate::state::State;
use crate::watcher::Hub;

/// etcd's bound.
const SLOW_APPLY_MS: u64 = 100;

/// The state, and the engine that holds its values: a snapshot replaces both at once.
pub struct Held {
    pub state: State,
    pub engine: Arc<Engine>,
}

pub struct Shared {
    pub held: RwLock<Held>,
    pub writer: Mutex<Writer>,
    pub hub: Arc<Hub>,
    pub tokens: Tokens,
    pub counts: Counts,
    slow_apply_ms: AtomicU64,
    /// Whether callers must say who they are; the state says it, this is quicker to ask.
    guarded: AtomicBool,
    applied: watch::Sender<Option<LogId>>,
    /// Why state and engine cannot be trusted any more; the member ends.
    broken: watch::Sender<Option<Arc<str>>>,
    /// Snapshots being read: while there are any, compacted versions stay.
    pins: AtomicUsize,
    /// How far the entries are archived.
    pub archive: Mark,
    /// Snapshots on their way to another member: while there are any, the log behind them stays.
    sendings: AtomicUsize,
}

/// Keeps the log behind a snapshot that is being sent, for as long as it lives.
pub struct Sending {
    shared: Arc<Shared>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.shared.sendings.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Keeps every version that the index holds, and where its value lies, for as long as it lives.
pub struct Pin {
    shared: Arc<Shared>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.pins.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("reading a value")]
    Io(#[from] io::Error),
}

impl Shared {
    pub fn new(state: State, writer: Writer) -> Self {
        let applied = watch::Sender::new(state.applied);
        let hub = Arc::new(Hub::new(state.index.revision()));
        let engine = writer.engine().clone();
        let guarded = AtomicBool::new(state.auth.enabled());
        Self {
            held: RwLock::new(Held { state, engine }),
            writer: Mutex::new(writer),
            hub,
            tokens: Tokens::default(),
            counts: Counts::default(),
            slow_apply_ms: AtomicU64::new(SLOW_APPLY_MS),
            guarded,
            applied,
            broken: watch::Sender::new(None),
            pins: AtomicUsize::new(0),
            archive: Mark::default(),
            sendings: AtomicUsize::new(0),
        }
    }

    /// State and engine cannot be trusted from here on: readers are refused, nothing is written out any more, and the
    /// member ends. To be called while whatever is broken is locked.
    pub fn break_down(&self, reason: &io::Error) {
        let reason: Arc<str> = crate::report(reason).into();
        self.broken.send_if_modified(|held| {
            let first = held.is_none();
            held.get_or_insert(reason);
            first
        });
    }

    /// An error once [`Shared::break_down`] was called.
    pub fn check(&self) -> io::Result<()> {
        match &*self.broken.borrow() {
            None => Ok(()),
            Some(reason) => Err(io::Error::other(format!("the member ends: {reason}"))),
        }
    }

    fn check_readable(&self) -> Result<(), Refused> {
        self.check().map_err(|_| Refused::Stopped)
    }

    /// Returns, with the reason, when state and engine cannot be trusted any more.
    pub async fn broken(&self) -> String {
        let mut broken = self.broken.subscribe();
        let reason = broken.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason.as_ref().to_owned(),
            None => std::future::pending().await,
        }
    }

    /// Takes effect at once when the state is locked, for reading at least.
    pub fn pin(self: &Arc<Self>) -> Pin {
        self.pins.fetch_add(1, Ordering::SeqCst);
        Pin { shared: self.clone() }
    }

    pub fn begin_sending(self: &Arc<Self>) -> Sending {
        self.sendings.fetch_add(1, Ordering::SeqCst);
        Sending { shared: self.clone() }
    }

    pub fn is_sending(&self) -> bool {
        self.sendings.load(Ordering::SeqCst) > 0
    }

    pub fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::SeqCst) > 0
    }

    /// Looks at the state as it is; values are read after the lock is gone.
    pub fn select(&self, who: Who<'_>, req: &RangeRequest) -> Result<(Selection, View), ReadError> {
        let held = self.held.read();
        self.check_readable()?;
        held.state.auth.check_range(who, &req.key, &req.range_end)?;
        self.counts.ranges.one();
        let selection = select(&held.state.index, req, held.state.index.revision())?;
        Ok((selection, held.engine.view()))
    }

    /// A transaction that writes nothing, at the state as it is.
    pub fn read_txn(&self, who: Who<'_>, req: &TxnRequest) -> Result<TxnResponse, ReadError> {
        let held = self.held.read();
        self.check_readable()?;
        held.state.auth.check_txn(&held.state.lessor, who, req)?;
        let view = held.engine.view();
        let read = read_txn(&held.state.index, &|loc| view.read(loc), req);
        read.map_err(|error| match error {
            WriteError::Refused(refused) => refused.into(),
            WriteError::Read(error) => error.into(),
        })
    }

    /// To be called while the state is locked, whenever it may have changed.
    pub fn note_auth(&self, state: &State) {
        self.guarded.store(state.auth.enabled(), Ordering::Release);
    }

    /// Whether callers must say who they are.
    pub fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::Acquire)
    }

    /// Applying for longer is said in the log.
    pub fn slow_apply(&self) -> Duration {
        Duration::from_millis(self.slow_apply_ms.load(Ordering::Relaxed))
    }

    pub fn set_slow_apply(&self, longer: Duration) {
        self.slow_apply_ms.store(longer.as_millis() as u64, Ordering::Relaxed);
    }

    /// The value of a version, if it is still there.
    pub fn value(&self, loc: Loc) -> Option<Bytes> {
        let view = self.held.read().engine.view();
        view.read(loc).ok()
    }

    pub fn revision(&self) -> i64 {
        self.held.read().state.index.revision()
    }

    pub fn applied(&self) -> Option<LogId> {
        *self.applied.borrow()
    }

    pub fn set_applied(&self, applied: Option<LogId>) {
        self.applied.send_replace(applied);
    }

    /// Returns when everything up to `index` is applied; false when the member stops before.
    pub async fn wait_applied(&self, index: u64) -> bool {
        let mut applied = self.applied.subscribe();
        applied.wait_for(|id| id.is_some_and(|id| id.index >= index)).await.is_ok()
    }
}
