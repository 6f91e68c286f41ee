//! An archive, read back in order: what follows a backup, up to a revision or a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use openraft::EntryPayload;
use prost::Message;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::command::Request;

use super::writer::block;
use super::{ArchiveError, files};
use crate::apply::apply;
use crate::engine;
use crate::raft::codec;
use crate::raft::types::{Entry, LogId};
use crate::state::State;

/// How far the past is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upto {
    #[default]
    End,
    Revision(i64),
    /// What was archived at this time, in milliseconds since 1970, or before.
    Time(i64),
}

/// The one folder with an archive that `path` is or holds.
pub fn find(path: &Path) -> Result<PathBuf, ArchiveError> {
    let failed = |source| ArchiveError::Io { path: path.to_owned(), source };
    if !files(path).map_err(failed)?.is_empty() {
        return Ok(path.to_owned());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let below = entry.map_err(failed)?.path();
        if below.is_dir() && files(&below).is_ok_and(|files| !files.is_empty()) {
            found.push(below);
        }
    }
    match found.len() {
        0 => Err(ArchiveError::Empty(path.to_owned())),
        1 => Ok(found.remove(0)),
        _ => Err(ArchiveError::Several(path.to_owned())),
    }
}

/// Records of a folder in order, from the file that holds `from` on.
struct Records {
    files: std::vec::IntoIter<(u64, PathBuf)>,
    open: Option<(File, PathBuf, u64, u64)>,
}

/// What a file of the archive holds.
enum Part {
    /// A file began; the entry before its first.
    Head(Option<LogId>),
    Record(Entry, i64),
}

impl Records {
    fn open(folder: &Path, from: u64) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::Io { path: folder.to_owned(), source };
        let mut all = files(folder).map_err(failed)?;
        let begin = all.iter().rposition(|(first, _)| *first <= from).unwrap_or(0);
        Ok(Self { files: all.split_off(begin).into_iter(), open: None })
    }

    fn next_part(&mut self) -> Result<Option<Part>, ArchiveError> {
        loop {
            let (file, path, at, size) = match &mut self.open {
                Some(open) => open,
                None => match self.files.next() {
                    Some((_, path)) => {
                        let failed = |source| ArchiveError::Io { path: path.clone(), source };
                        let file = File::open(&path).map_err(failed)?;
                        let size = file.metadata().map_err(failed)?.len();
                        self.open.insert((file, path, 0, size))
                    }
                    None => return Ok(None),
                },
            };
            let failed = |source| ArchiveError::Io { path: path.clone(), source };
            let Some(payload) = block(file, *at, *size).map_err(failed)? else {
                // Only the end of the last file can be torn: whoever wrote it had not finished.
                if at < size && self.files.len() > 0 {
                    return Err(ArchiveError::Damaged { path: path.clone(), offset: *at });
                }
                self.open = None;
                continue;
            };
            let part = part(&payload, *at == 0);
            let part = part.ok_or_else(|| ArchiveError::Damaged { path: path.clone(), offset: *at })?;
            *at += 8 + payload.len() as u64;
            return Ok(Some(part));
        }
    }
}

fn part(payload: &[u8], head: bool) -> Option<Part> {
    if head {
        let head = pb::ArchiveHead::decode(payload).ok()?;
        return Some(Part::Head(head.previous.map(codec::log_id_back)));
    }
    let record = pb::ArchiveRecord::decode(Bytes::copy_from_slice(payload)).ok()?;
    Some(Part::Record(codec::entry_back(record.entry?).ok()?, record.unix_ms))
}

/// Applies what follows the state's applied entry. `writer` is the engine's.
pub fn replay(folder: &Path, state: &mut State, writer: &mut engine::Writer, upto: Upto) -> Result<(), ArchiveError> {
    if let Upto::Revision(wanted) = upto
        && wanted < state.index.revision()
    {
        return Err(ArchiveError::Before { wanted, found: state.index.revision() });
    }
    let mut records = Records::open(folder, next_index(state))?;
    while !is_reached(state, upto)
        && let Some(part) = records.next_part()?
    {
        match part {
            Part::Head(previous) => check(state, previous)?,
            Part::Record(entry, unix_ms) => {
                if matches!(upto, Upto::Time(time) if unix_ms > time) {
                    break;
                }
                take(state, writer, &entry, upto)?;
            }
        }
    }
    match upto {
        Upto::Revision(wanted) if state.index.revision() < wanted => {
            Err(ArchiveError::Short { wanted, found: state.index.revision() })
        }
        _ => Ok(()),
    }
}

fn next_index(state: &State) -> u64 {
    state.applied.map_or(0, |applied| applied.index + 1)
}

fn is_reached(state: &State, upto: Upto) -> bool {
    matches!(upto, Upto::Revision(wanted) if state.index.revision() >= wanted)
}

/// An archived entry that the state knows as well must be the same one.
fn check(state: &State, archived: Option<LogId>) -> Result<(), ArchiveError> {
    let (Some(archived), Some(applied)) = (archived, state.applied) else { return Ok(()) };
    let (term, other) = (archived.leader_id.term, applied.leader_id.term);
    if archived.index == applied.index && term != other {
        return Err(ArchiveError::Foreign { index: archived.index, archived: term, backup: other });
    }
    Ok(())
}

fn take(state: &mut State, writer: &mut engine::Writer, entry: &Entry, upto: Upto) -> Result<(), ArchiveError> {
    let id = entry.log_id;
    check(state, Some(id))?;
    let wanted = next_index(state);
    if id.index < wanted {
        return Ok(());
    }
    if id.index > wanted {
        return Err(ArchiveError::Gap { wanted, before: id.index - 1 });
    }
    if let EntryPayload::Normal(batch) = &entry.payload {
        let commands = batch.commands().map_err(|error| ArchiveError::Apply(std::io::Error::other(error)))?;
        writer.begin(None).map_err(ArchiveError::Apply)?;
        for command in commands.iter() {
            // Of the members that were, nothing is kept.
            if is_reached(state, upto) || matches!(command.request, Some(Request::MemberAttributes(_))) {
                continue;
            }
            apply(state, writer, id.leader_id.term, command, false).map_err(ArchiveError::Apply)?;
        }
        writer.finish();
        writer.flush().map_err(ArchiveError::Apply)?;
    }
    state.applied = Some(id);
    Ok(())
}
