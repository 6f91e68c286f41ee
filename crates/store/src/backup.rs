//! The store in etcd's form: what a backup holds, and the hashes that members of etcd compare.
//!
//! [`walk`] gives versions in order of revisions, a bounded number at a time, while writers go on; [`buckets`] says what
//! stands in etcd's buckets; [`stream`] makes a database of bbolt of both; [`hash`] sums them up as etcd does.

pub mod buckets;
pub mod hash;
pub mod stream;
pub mod walk;

use std::io;
use std::sync::Arc;

use crate::engine::View;
use crate::shared::{Pin, Shared};
use crate::state::State;

/// Why the store cannot be read out.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("reading a value")]
    Read(#[source] io::Error),
    #[error("the leader has sent this member another state meanwhile; try again")]
    Replaced,
    #[error("making the database")]
    Format(#[from] bbolt::write::Error),
    #[error("whoever wanted it went away")]
    Gone,
}

/// The store as it stood at one moment: for as long as this lives, nothing of it is dropped or moved.
pub struct Moment {
    shared: Arc<Shared>,
    view: View,
    engine: Arc<crate::engine::Engine>,
    pub revision: i64,
    pub compacted: i64,
    /// Buckets other than that of keys.
    pub buckets: buckets::Buckets,
    _pin: Pin,
}

impl Moment {
    /// Now.
    pub fn take(shared: &Arc<Shared>) -> Self {
        let held = shared.held.read();
        Self::of(shared, &held.state, held.engine.clone())
    }

    fn of(shared: &Arc<Shared>, state: &State, engine: Arc<crate::engine::Engine>) -> Self {
        Self {
            shared: shared.clone(),
            view: engine.view(),
            engine,
            revision: state.index.revision(),
            compacted: state.index.compacted(),
            buckets: buckets::of(state),
            _pin: shared.pin(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
