//! Hashes that members compare: CRC-32C over etcd's buckets, exactly as etcd 3.6 takes them.

use prost::Message;

use super::buckets::{KEY, META, version_key, version_value};
use super::walk::{ByRevision, Row};
use super::{BackupError, Moment};

/// The hash of every version up to `revision`.
///
/// As in etcd, of what the compaction has left only the versions count that a reader at `revision` still sees, unless such a
/// reader sees nothing at all; and a tombstone at the compaction point itself never counts.
pub fn of_keys(moment: &Moment, revision: i64) -> Result<u32, BackupError> {
    let nothing_seen = !sees_anything(moment, revision);
    let counts = |row: &Row| {
        let version = &row.version;
        let left_behind = version.main <= moment.compacted && !row.newest && !nothing_seen;
        let point_itself = version.main == moment.compacted && version.is_tombstone();
        !(left_behind || point_itself)
    };
    let mut sum = crc32c::crc32c(KEY.as_bytes());
    let mut walk = ByRevision::new(moment, revision);
    while let Some(rows) = walk.next_window()? {
        for row in rows.iter().filter(|row| counts(row)) {
            sum = add(moment, sum, row)?;
        }
    }
    Ok(sum)
}

fn sees_anything(moment: &Moment, revision: i64) -> bool {
    let held = moment.shared.held.read();
    held.state.index.histories_after(None, usize::MAX).any(|(_, history)| history.at(revision).is_some())
}

fn add(moment: &Moment, sum: u32, row: &Row) -> Result<u32, BackupError> {
    let value = moment.view.read(row.version.loc).map_err(BackupError::Read)?;
    let value = version_value(row.key.clone(), &row.version, value).encode_to_vec();
    Ok(crc32c::crc32c_append(crc32c::crc32c_append(sum, &version_key(&row.version)), &value))
}

/// The hash of the whole database; of two members that applied the same log up to the same entry it is the same.
pub fn of_everything(moment: &Moment) -> Result<u32, BackupError> {
    let mut sum = 0;
    for (name, entries) in &moment.buckets {
        sum = crc32c::crc32c_append(sum, name.as_bytes());
        if *name == KEY {
            let mut walk = ByRevision::new(moment, moment.revision);
            while let Some(rows) = walk.next_window()? {
                for row in &rows {
                    sum = add(moment, sum, row)?;
                }
            }
        }
        // As in etcd: how far a member has applied is not part of what it holds.
        let counted = |key: &&[u8]| *name != META || (*key != b"consistent_index" && *key != b"term");
        for (key, value) in entries.iter().map(|(key, value)| (key.as_slice(), value)).filter(|(key, _)| counted(key)) {
            sum = crc32c::crc32c_append(crc32c::crc32c_append(sum, key), value);
        }
    }
    Ok(sum)
}
