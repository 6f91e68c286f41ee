//! Compaction of the store's history, as kube-apiserver does it: several apiservers share the key
//! `compact_rev_key`, whose version is the turn and whose value is the revision seen then. Whoever wins a turn
//! compacts up to the revision of the turn before, so that five minutes of history stay.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{CompactionRequest, TxnRequest, response_op};
use tokio_util::sync::CancellationToken;

use super::{StorageError, Store, compare_version, put, read};

const TURN_KEY: &str = "compact_rev_key";

/// What one turn saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// The number of the turn: the key's version.
    pub version: i64,
    /// The store's revision then.
    pub revision: i64,
}

impl Store {
    /// Compacts every `interval` until cancelled.
    pub async fn keep_compacting(&self, interval: Duration, stop: CancellationToken) {
        let mut last = Turn::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            match self.compact_turn(last).await {
                Ok(next) => last = next,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "compaction failed, next turn tries again")
                }
            }
        }
    }

    /// Takes the turn after `last`; where another apiserver took it, learns of it instead.
    pub async fn compact_turn(&self, last: Turn) -> Result<Turn, StorageError> {
        let txn = TxnRequest {
            compare: vec![compare_version(TURN_KEY, last.version)],
            success: vec![put(TURN_KEY, Bytes::from(last.revision.to_string()))],
            failure: vec![read(TURN_KEY)],
        };
        let answer = self.txn(txn, 0).await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        if !answer.succeeded {
            let version = answer.responses.into_iter().find_map(|response| match response.response {
                Some(response_op::Response::ResponseRange(range)) => Some(range.kvs.first()?.version),
                _ => None,
            });
            return Ok(Turn { version: version.unwrap_or(0), revision });
        }
        if last.revision > 0 {
            self.compact(last.revision).await?;
        }
        Ok(Turn { version: last.version + 1, revision })
    }

    async fn compact(&self, revision: i64) -> Result<(), StorageError> {
        let done = self
            .endpoints
            .read("a compaction", revision, |channel| async move {
                KvClient::new(channel).compact(CompactionRequest { revision, ..Default::default() }).await
            })
            .await;
        match done {
            Ok(_) | Err(StorageError::Compacted { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
