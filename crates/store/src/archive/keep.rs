//! The task that archives what is applied.
//!
//! It reads the member's log, which is not cut before it has. An archive that cannot be written is tried again, and the log
//! grows meanwhile; only when the member's own disk runs out of room does the log go before it is archived.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::writer::Writer;
use super::{ArchiveError, folder};
use crate::shared::Shared;
use crate::wal::{Owner, Wal};

/// Bytes of entries archived with one sync.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Rest before an archive that could not be written is tried again.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// Entries gather for so long: an archive is behind by that much, and syncs that much less often.
const GATHER: Duration = Duration::from_millis(100);

/// Archives one member's entries.
pub struct Archiver {
    writer: Writer,
    shared: Arc<Shared>,
    wal: Wal,
    archived: watch::Sender<Option<u64>>,
    failing: bool,
}

impl Archiver {
    /// Opens the archive of `owner` below `archive_dir`; from now on the log waits for it.
    pub fn open(
        archive_dir: &std::path::Path,
        owner: Owner,
        shared: Arc<Shared>,
        wal: Wal,
    ) -> Result<Self, ArchiveError> {
        let path: PathBuf = folder(archive_dir, owner);
        let writer = Writer::open(path.clone(), owner)?;
        let last = writer.last().map(|last| last.index);
        tracing::info!(path = %path.display(), last, "archiving");
        let archived = watch::Sender::new(last);
        shared.archive.begin(archived.subscribe());
        Ok(Self { writer, shared, wal, archived, failing: false })
    }

    pub async fn run(mut self) {
        loop {
            let next = self.writer.last().map_or(0, |last| last.index + 1);
            if !self.shared.wait_applied(next).await {
                return;
            }
            self = match self.step(next).await {
                Some(archiver) => archiver,
                None => return,
            };
            tokio::time::sleep(if self.failing { FAILED_PAUSE } else { GATHER }).await;
        }
    }

    /// Archives some of what is applied, off the async threads; none when the process ends.
    async fn step(mut self, next: u64) -> Option<Self> {
        let done = tokio::task::spawn_blocking(move || {
            let result = self.archive(next);
            self.tell(result);
            self
        });
        done.await.ok()
    }

    fn archive(&mut self, next: u64) -> Result<(), ArchiveError> {
        let failed = |error| ArchiveError::Apply(std::io::Error::other(error));
        let applied = self.shared.applied().map_or(0, |applied| applied.index);
        let mut next = next;
        if let (Some(purged), _) = self.wal.state()
            && purged.index >= next
        {
            tracing::warn!(
                from = next,
                to = purged.index,
                "the log was cut before these entries were archived: restores need a backup that is younger than they are"
            );
            next = purged.index + 1;
        }
        while next <= applied {
            let entries = self.wal.read(next..=applied, BATCH_BYTES_MAX).map_err(failed)?;
            let Some(last) = entries.last().map(|entry| entry.log_id.index) else { return Ok(()) };
            self.writer.append(&entries, unix_ms())?;
            self.archived.send_replace(Some(last));
            next = last + 1;
        }
        Ok(())
    }

    /// Says once that it fails, and once that it works again.
    fn tell(&mut self, result: Result<(), ArchiveError>) {
        let failing = result.is_err();
        match result {
            Err(error) if !self.failing => tracing::error!(
                error = %crate::report(&error),
                "the archive cannot be written; the log is kept until it can"
            ),
            Ok(()) if self.failing => tracing::info!("the archive is written again"),
            _ => {}
        }
        self.failing = failing;
    }
}

/// The wall clock: archived entries carry it, for restores to a time. Nothing else of the store reads it.
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
