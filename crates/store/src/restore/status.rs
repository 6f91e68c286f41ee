//! What a backup holds, with etcd's numbers.

use std::path::Path;

use bbolt::read::{Db, Source};
use serde::Serialize;

use super::RestoreError;
use crate::backup::buckets::{KEY, META, revision_of};

/// The numbers of `etcdctl snapshot status`, under its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// CRC-32C over every bucket.
    pub hash: u32,
    pub revision: i64,
    /// Entries of every bucket.
    pub total_key: u64,
    pub total_size: u64,
    pub version: String,
}

/// Reads a whole backup.
pub fn of<S: Source>(path: &Path, db: &Db<S>) -> Result<Status, RestoreError> {
    let failed = |source| RestoreError::Database { path: path.to_owned(), source };
    let mut status = Status { hash: 0, revision: 0, total_key: 0, total_size: db.bytes(), version: String::new() };
    for name in db.buckets().map_err(failed)? {
        status.hash = crc32c::crc32c_append(status.hash, &name);
        let Some(mut entries) = db.bucket(&name).map_err(failed)? else { continue };
        while let Some((key, value)) = entries.next_entry().map_err(failed)? {
            status.hash = crc32c::crc32c_append(crc32c::crc32c_append(status.hash, key), value);
            status.total_key += 1;
            if name == KEY.as_bytes() {
                status.revision = revision_of(key).map_or(status.revision, |(main, ..)| main);
            }
            if name == META.as_bytes() && key == b"storageVersion" {
                status.version = String::from_utf8_lossy(value).into_owned();
            }
        }
    }
    Ok(status)
}

impl Status {
    pub fn json(&self) -> String {
        format!("{}\n", serde_json::json!(self))
    }

    /// One line, as etcd's simple form.
    pub fn simple(&self) -> String {
        format!("{:x}, {}, {}, {}\n", self.hash, self.revision, self.total_key, size(self.total_size))
    }

    pub fn table(&self) -> String {
        let heads = ["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "STORAGE VERSION"];
        let cells = [
            format!("{:x}", self.hash),
            self.revision.to_string(),
            self.total_key.to_string(),
            size(self.total_size),
            self.version.clone(),
        ];
        let widths: Vec<usize> = heads.iter().zip(&cells).map(|(head, cell)| head.len().max(cell.len())).collect();
        let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
        let row = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("| {cell:>width$} "));
            format!("{}|\n", padded.collect::<String>())
        };
        let heads = row(&heads.map(str::to_owned));
        format!("{rule}+\n{heads}{rule}+\n{}{rule}+\n", row(&cells))
    }
}

/// Bytes as people write them, in steps of a thousand.
fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut left = bytes as f64;
    while left >= 1000.0 && unit < 4 {
        left /= 1000.0;
        unit += 1;
    }
    let name = ["B", "kB", "MB", "GB", "TB"][unit];
    if unit > 0 && left < 10.0 { format!("{left:.1} {name}") } else { format!("{left:.0} {name}") }
}
