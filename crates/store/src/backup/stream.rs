//! A backup: a database of bbolt with etcd's buckets, made a piece at a time, and the checksum behind it.
//!
//! The versions are walked twice: for their lengths, which say where the root will stand, and for their values.

use bbolt::write::{Builder, Layout, Value};
use prost::Message;
use sha2::{Digest, Sha256};

use super::buckets::{KEY, version_key, version_value, version_value_len};
use super::walk::{ByRevision, Row};
use super::{BackupError, Moment};

/// Bytes of a piece, about.
pub const PIECE_BYTES: usize = 256 << 10;

/// Measures the database of a moment.
pub fn measure(moment: &Moment) -> Result<Layout, BackupError> {
    let mut builder = Builder::measuring();
    tell(moment, &mut builder, |builder, row| {
        let len = version_value_len(row.key.clone(), &row.version);
        Ok(builder.entry(&version_key(&row.version), Value::Len(len))?)
    })?;
    Ok(builder.finish()?.0)
}

/// Gives the database to `sink` piece by piece, then its SHA-256.
pub fn write(
    moment: &Moment,
    layout: Layout,
    mut sink: impl FnMut(Vec<u8>) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut sum = Sha256::new();
    let mut send = |bytes: Vec<u8>| {
        sum.update(&bytes);
        sink(bytes)
    };
    let mut builder = Builder::writing(layout);
    tell(moment, &mut builder, |builder, row| {
        let value = moment.view.read(row.version.loc).map_err(BackupError::Read)?;
        let value = version_value(row.key.clone(), &row.version, value).encode_to_vec();
        builder.entry(&version_key(&row.version), Value::Bytes(&value))?;
        if builder.waiting() >= PIECE_BYTES { send(builder.take()) } else { Ok(()) }
    })?;
    let mut rest = builder.take();
    rest.extend(builder.finish()?.1);
    send(rest)?;
    sink(sum.finalize().to_vec())
}

/// Tells a builder every bucket; `version` tells it one version.
fn tell(
    moment: &Moment,
    builder: &mut Builder,
    mut version: impl FnMut(&mut Builder, &Row) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    for (name, entries) in &moment.buckets {
        if *name == KEY {
            let mut walk = ByRevision::new(moment, moment.revision);
            while let Some(rows) = walk.next_window()? {
                for row in &rows {
                    version(builder, row)?;
                }
            }
        }
        for (key, value) in entries {
            builder.entry(key, Value::Bytes(value))?;
        }
        builder.end_bucket(name.as_bytes())?;
    }
    Ok(())
}
