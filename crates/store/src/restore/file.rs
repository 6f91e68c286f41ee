//! A backup as a file: the database, then its SHA-256.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bbolt::read::Db;
use sha2::{Digest, Sha256};

use super::RestoreError;

const SUM_LEN: u64 = 32;
/// A database is whole blocks of this; what is more is the checksum.
const BLOCK_LEN: u64 = 512;
const READ_BYTES: usize = 1 << 20;

/// Opens a backup and checks it against its checksum.
pub fn open(path: &Path, skip_hash_check: bool) -> Result<Db<File>, RestoreError> {
    let failed = |source| RestoreError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let has_sum = size % BLOCK_LEN == SUM_LEN;
    if !has_sum && !skip_hash_check {
        return Err(RestoreError::NoChecksum(path.to_owned()));
    }
    if has_sum && !skip_hash_check {
        check(path, &file, size - SUM_LEN)?;
    }
    Db::open(file).map_err(|source| RestoreError::Database { path: path.to_owned(), source })
}

fn check(path: &Path, file: &File, len: u64) -> Result<(), RestoreError> {
    let failed = |source| RestoreError::File { path: path.to_owned(), source };
    let (found, expected) = sums(file, len).map_err(failed)?;
    if found == expected {
        return Ok(());
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Err(RestoreError::Checksum { path: path.to_owned(), expected: hex(&expected), found: hex(&found) })
}

/// The checksum of the first `len` bytes, and the one that stands behind them.
fn sums(mut file: &File, len: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut body = file.take(len);
    loop {
        match body.read(&mut buffer)? {
            0 => break,
            read => sum.update(&buffer[..read]),
        }
    }
    let mut expected = Vec::new();
    file.read_to_end(&mut expected)?;
    Ok((sum.finalize().to_vec(), expected))
}
