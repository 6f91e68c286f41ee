//! The archive: every entry that a member applied, copied to a folder, so that a cluster can be restored as it was at any
//! revision since its last backup.
//!
//! A member archives into a folder of its own below `--archive-dir`, in files of blocks (`len u32 | crc32c u32 | payload`): a
//! head, then a record for each entry. What is archived is synced; the log is not cut before ([`Mark`]), so a member that
//! was killed goes on where it ended. [`writer`] appends, [`keep`] is the task that does it, [`read`] gives it all back.

pub mod keep;
pub mod read;
pub mod writer;

use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::wal::Owner;

/// A file is closed when it has grown past this.
pub const FILE_BYTES: u64 = 64 << 20;

/// Why the archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is damaged at byte {offset}; restore up to revision or time before it, or take a later backup")]
    Damaged { path: PathBuf, offset: u64 },
    #[error(
        "the archive lacks the entries {wanted} to {before}: the backup is older than what is archived, or a file is missing"
    )]
    Gap { wanted: u64, before: u64 },
    #[error("the archive is of another cluster than the backup: entry {index} is of term {archived}, not of {backup}")]
    Foreign { index: u64, archived: u64, backup: u64 },
    #[error("{0} holds the archives of several members; name one of its folders")]
    Several(PathBuf),
    #[error("there is no archive in {0}")]
    Empty(PathBuf),
    #[error("the archive ends at revision {found}; revision {wanted} was never archived")]
    Short { wanted: i64, found: i64 },
    #[error("revision {wanted} is older than the backup, which stands at {found}; take an older backup")]
    Before { wanted: i64, found: i64 },
    #[error("replaying the archive")]
    Apply(#[source] io::Error),
}

/// The folder of a member's archive.
pub fn folder(archive_dir: &Path, owner: Owner) -> PathBuf {
    archive_dir.join(format!("{:016x}-{:016x}", owner.cluster_id, owner.member_id))
}

/// Files of a folder by the index of their first entry, in order.
fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(first) = name.strip_suffix(".log").and_then(|digits| digits.parse().ok()) {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The length of a block's payload, and its checksum.
fn block_header(bytes: &[u8]) -> Option<(usize, u32)> {
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let crc = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    Some((len as usize, crc))
}

/// How far a member has archived: its log is not cut behind that. Nobody archives as long as nobody began.
#[derive(Default)]
pub struct Mark {
    archived: std::sync::OnceLock<watch::Receiver<Option<u64>>>,
}

impl Mark {
    /// From now on the log waits for `archived`.
    pub fn begin(&self, archived: watch::Receiver<Option<u64>>) {
        // A second archive is not begun by anybody; the first one stays.
        drop(self.archived.set(archived));
    }

    /// Returns when `index` is archived, or nobody archives.
    pub async fn wait(&self, index: u64) {
        if let Some(archived) = self.archived.get() {
            // An archiver that ended does not hold up the log.
            drop(archived.clone().wait_for(|archived| *archived >= Some(index)).await);
        }
    }

    /// Whether somebody archives and `index` is not archived.
    pub fn is_behind(&self, index: u64) -> bool {
        self.archived.get().is_some_and(|archived| *archived.borrow() < Some(index))
    }

    /// The last archived entry.
    pub fn archived(&self) -> Option<u64> {
        self.archived.get().and_then(|archived| *archived.borrow())
    }
}

#[cfg(test)]
mod tests;
