//! A backup's buckets, read into an empty engine. Whoever made the backup: nothing in it is believed.

use std::io;
use std::path::Path;

use bbolt::read::{Db, Source};
use bytes::Bytes;
use prost::Message;
use proto::authpb::{Role, User};
use proto::keelson::raft::v1::AuthState;
use proto::leasepb::Lease;
use proto::mvccpb::KeyValue;

use super::RestoreError;
use crate::auth::Auth;
use crate::backup::buckets::{AUTH, AUTH_ROLES, AUTH_USERS, KEY, LEASE, META, revision_of};
use crate::engine::Writer;
use crate::mvcc::{Values, Version};
use crate::raft::types::LogId;
use crate::state::State;

/// Bytes of a frame of the engine, about.
const FRAME_BYTES: usize = 1 << 20;
/// Keys looked at in one go.
const WALK_KEYS: usize = 4096;

/// Reads a database into the engine of `writer`; `path` names it in errors. The state's applied entry is the one that the
/// backup stands at.
pub fn load<S: Source>(path: &Path, db: &Db<S>, writer: &mut Writer) -> Result<State, RestoreError> {
    let reader = Reader { path, db };
    let mut state = State { auth: reader.users()?, ..Default::default() };
    reader.leases(&mut state)?;
    let (applied, compacted) = reader.meta()?;
    let newest = reader.keys(&mut state, writer)?;
    state.applied = applied;
    // As in etcd: what was compacted tells of revisions whose versions are gone.
    state.index.set_revision(newest.max(compacted).max(1));
    state.index.restore_compacted(compacted);
    trim(&mut state);
    state.attach_leases();
    Ok(state)
}

/// Drops what is behind the compaction point.
pub fn trim(state: &mut State) {
    let mut after: Option<Box<[u8]>> = None;
    loop {
        after = state.index.trim(after.as_deref(), WALK_KEYS);
        if after.is_none() {
            return;
        }
    }
}

struct Reader<'a, S> {
    path: &'a Path,
    db: &'a Db<S>,
}

impl<S: Source> Reader<'_, S> {
    /// Tells `take` every entry of a bucket; one that is not there is empty.
    fn each(
        &self,
        bucket: &str,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let failed = |source| RestoreError::Database { path: self.path.to_owned(), source };
        let Some(mut entries) = self.db.bucket(bucket.as_bytes()).map_err(failed)? else { return Ok(()) };
        while let Some((key, value)) = entries.next_entry().map_err(failed)? {
            take(key, value)?;
        }
        Ok(())
    }

    /// Users and roles, and whether they are on.
    fn users(&self) -> Result<Auth, RestoreError> {
        let mut auth = AuthState { revision: 1, ..Default::default() };
        self.each(AUTH, |key, value| {
            match (key, <[u8; 8]>::try_from(value)) {
                (b"authEnabled", _) => auth.enabled = value == [1],
                (b"authRevision", Ok(revision)) => auth.revision = u64::from_be_bytes(revision).max(1),
                _ => {}
            }
            Ok(())
        })?;
        self.each(AUTH_USERS, |_, value| {
            auth.users.push(User::decode(value).map_err(|_| RestoreError::Senseless("a user cannot be decoded"))?);
            Ok(())
        })?;
        self.each(AUTH_ROLES, |_, value| {
            auth.roles.push(Role::decode(value).map_err(|_| RestoreError::Senseless("a role cannot be decoded"))?);
            Ok(())
        })?;
        Ok(Auth::from_wire(Some(auth)))
    }

    fn leases(&self, state: &mut State) -> Result<(), RestoreError> {
        self.each(LEASE, |_, value| {
            let lease = Lease::decode(value).map_err(|_| RestoreError::Senseless("a lease cannot be decoded"))?;
            state.lessor.restore(lease.id, lease.ttl);
            state.lessor.set_left(lease.id, lease.remaining_ttl);
            Ok(())
        })
    }

    /// The entry of the log at which the backup stands, and the compaction point.
    fn meta(&self) -> Result<(Option<LogId>, i64), RestoreError> {
        let (mut index, mut term, mut compacted) = (0, 0, 0);
        let number = |value: &[u8]| {
            let bytes = value.try_into().map(u64::from_be_bytes);
            bytes.map_err(|_| RestoreError::Senseless("a number of its meta data has another length"))
        };
        self.each(META, |key, value| {
            match key {
                b"consistent_index" => index = number(value)?,
                b"term" => term = number(value)?,
                b"finishedCompactRev" | b"scheduledCompactRev" => {
                    let revision = revision_of(value);
                    let (main, ..) = revision.ok_or(RestoreError::Senseless("its compaction point is no revision"))?;
                    compacted = compacted.max(main);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(((index > 0).then(|| LogId::new_term_index(term, index)), compacted))
    }

    /// Every version; gives the newest revision.
    fn keys(&self, state: &mut State, writer: &mut Writer) -> Result<i64, RestoreError> {
        let failed = |source| RestoreError::Write { path: self.path.to_owned(), source };
        let mut frame = Frame { writer, bytes: 0 };
        let mut newest = 0;
        self.each(KEY, |key, value| {
            let revision =
                revision_of(key).ok_or(RestoreError::Senseless("a key of its bucket of keys is no revision"))?;
            newest = newest.max(revision.0);
            // A revision without a pair only says how far the store has come.
            if value.is_empty() {
                return Ok(());
            }
            let kv = KeyValue::decode(Bytes::copy_from_slice(value))
                .map_err(|_| RestoreError::Senseless("a pair cannot be decoded"))?;
            let mut version = version(revision, &kv)?;
            version.loc = frame.put(&kv, &version).map_err(failed)?;
            state.index.insert(&kv.key, version);
            Ok(())
        })?;
        frame.finish().map_err(failed)?;
        Ok(newest)
    }
}

fn version((main, sub, tombstone): (i64, u32, bool), kv: &KeyValue) -> Result<Version, RestoreError> {
    if kv.key.is_empty() {
        return Err(RestoreError::Senseless("a pair has no key"));
    }
    if tombstone {
        return Ok(Version { main, sub, ..Default::default() });
    }
    if kv.mod_revision != main || kv.version <= 0 || kv.create_revision <= 0 || kv.create_revision > main {
        return Err(RestoreError::Senseless("a pair's numbers are not those of its revision"));
    }
    Ok(Version { main, sub, create: kv.create_revision, version: kv.version, lease: kv.lease, ..Default::default() })
}

/// Frames of the engine, each with as many versions as make it worth a write.
struct Frame<'a> {
    writer: &'a mut Writer,
    bytes: usize,
}

impl Frame<'_> {
    fn put(&mut self, kv: &KeyValue, version: &Version) -> io::Result<crate::mvcc::Loc> {
        if self.bytes > FRAME_BYTES {
            self.finish()?;
        }
        if self.bytes == 0 {
            self.writer.begin(None)?;
        }
        self.bytes += 64 + kv.key.len() + kv.value.len();
        Ok(match version.is_tombstone() {
            true => self.writer.tombstone(&kv.key, version),
            false => self.writer.put(&kv.key, version, &kv.value),
        })
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.bytes > 0 {
            self.bytes = 0;
            self.writer.finish();
            self.writer.flush()?;
        }
        full(self.writer)
    }
}

/// What waits for room in a running member is an error here.
pub fn full(writer: &Writer) -> io::Result<()> {
    if writer.waits() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}
