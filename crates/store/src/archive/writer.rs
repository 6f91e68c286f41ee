//! Appending to an archive: whole records, synced; a record that was torn by a crash is cut off at the next start.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use prost::Message;
use proto::keelson::raft::v1 as pb;

use super::{ArchiveError, FILE_BYTES, block_header, files};
use crate::engine::checkpoint::write_block;
use crate::raft::codec;
use crate::raft::types::{Entry, LogId};
use crate::wal::Owner;

/// Appends entries to the files of a folder.
pub struct Writer {
    folder: PathBuf,
    owner: Owner,
    /// The last archived entry.
    last: Option<LogId>,
    last_ms: i64,
    open: Option<Open>,
    file_bytes: u64,
}

/// The file that is being written.
struct Open {
    file: File,
    path: PathBuf,
    size: u64,
}

impl Writer {
    /// Goes on behind the last whole record in the folder of `owner`.
    pub fn open(folder: PathBuf, owner: Owner) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::Io { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut writer =
            Self { folder: folder.clone(), owner, last: None, last_ms: 0, open: None, file_bytes: FILE_BYTES };
        while let Some((_, path)) = files(&folder).map_err(failed)?.pop() {
            if writer.resume(&path)? {
                break;
            }
            tracing::warn!(path = %path.display(), "removed a file of the archive that was never begun");
            fs::remove_file(&path).map_err(failed)?;
        }
        Ok(writer)
    }

    #[cfg(test)]
    pub fn with_file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// The last archived entry.
    pub fn last(&self) -> Option<LogId> {
        self.last
    }

    /// Goes on in a file; false where not even its head is whole.
    fn resume(&mut self, path: &Path) -> Result<bool, ArchiveError> {
        let failed = |source| ArchiveError::Io { path: path.to_owned(), source };
        let file = File::options().read(true).write(true).open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut at = 0;
        while let Some(payload) = block(&file, at, size).map_err(failed)? {
            let whole = match at {
                0 => self.head(&payload),
                _ => self.record(&payload),
            };
            if whole.is_none() {
                return Err(ArchiveError::Damaged { path: path.to_owned(), offset: at });
            }
            at += 8 + payload.len() as u64;
        }
        if at < size {
            tracing::warn!(path = %path.display(), offset = at, "cut the archive's torn tail; the log holds it");
            file.set_len(at).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        self.open = (at > 0).then(|| Open { file, path: path.to_owned(), size: at });
        Ok(at > 0)
    }

    fn head(&mut self, payload: &[u8]) -> Option<()> {
        self.last = pb::ArchiveHead::decode(payload).ok()?.previous.map(codec::log_id_back);
        Some(())
    }

    fn record(&mut self, payload: &[u8]) -> Option<()> {
        let record = pb::ArchiveRecord::decode(payload).ok()?;
        self.last = Some(codec::log_id_back(record.entry?.log_id?));
        self.last_ms = record.unix_ms;
        Some(())
    }

    /// Appends entries, durably. Where they do not follow the last one, the gap shows in the head of a new file.
    pub fn append(&mut self, entries: &[Entry], unix_ms: i64) -> Result<(), ArchiveError> {
        let Some(first) = entries.first() else { return Ok(()) };
        let follows = self.last.map_or(0, |last| last.index + 1) == first.log_id.index;
        if !follows || self.open.as_ref().is_none_or(|open| open.size > self.file_bytes) {
            self.begin_file(first.log_id.index, follows)?;
        }
        // A clock that was set back does not make the past later than what follows it.
        let unix_ms = unix_ms.max(self.last_ms);
        let mut bytes = Vec::new();
        for entry in entries {
            let record = pb::ArchiveRecord { entry: Some(codec::entry(entry)), unix_ms };
            write_block(&mut bytes, &record.encode_to_vec());
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let failed = |source| ArchiveError::Io { path: open.path.clone(), source };
        open.file.write_all_at(&bytes, open.size).and_then(|()| open.file.sync_data()).map_err(failed)?;
        open.size += bytes.len() as u64;
        self.last = entries.last().map(|entry| entry.log_id);
        self.last_ms = unix_ms;
        Ok(())
    }

    fn begin_file(&mut self, first: u64, follows: bool) -> Result<(), ArchiveError> {
        let path = self.folder.join(format!("{first:020}.log"));
        let failed = |source| ArchiveError::Io { path: path.clone(), source };
        let previous = self.last.filter(|_| follows).as_ref().map(codec::log_id);
        let head = pb::ArchiveHead { cluster_id: self.owner.cluster_id, member_id: self.owner.member_id, previous };
        let mut bytes = Vec::new();
        write_block(&mut bytes, &head.encode_to_vec());
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(failed)?;
        let written = file.write_all_at(&bytes, 0).and_then(|()| file.sync_all());
        written.and_then(|()| File::open(&self.folder)?.sync_all()).map_err(failed)?;
        self.open = Some(Open { file, path, size: bytes.len() as u64 });
        Ok(())
    }
}

/// The payload of the block at `at`; none where there is no whole one.
pub fn block(file: &File, at: u64, size: u64) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 8];
    if at + 8 > size {
        return Ok(None);
    }
    file.read_exact_at(&mut header, at)?;
    let Some((len, crc)) = block_header(&header) else { return Ok(None) };
    // The length is not checked yet: it must not make us ask for more than there is.
    if at + 8 + len as u64 > size {
        return Ok(None);
    }
    let mut payload = vec![0; len];
    file.read_exact_at(&mut payload, at + 8)?;
    Ok((crc32c::crc32c(&payload) == crc).then_some(payload))
}
