//! A new cluster from a backup: `keelson-store snapshot restore | import | status`.
//!
//! [`file`] checks a backup's checksum; [`load`] reads its buckets into an engine, whoever made it; [`found`] makes the
//! member of a new cluster of it, and [`folder`] sees to it that a folder is there whole or not at all. [`status`] tells what
//! a backup holds, [`fetch`] takes one from a running etcd.

pub mod command;
pub mod fetch;
pub mod file;
pub mod folder;
pub mod found;
pub mod load;
pub mod status;

use std::io;
use std::path::PathBuf;

use crate::wal::WalError;

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} has no checksum behind it (was it copied out of a data folder?); --skip-hash-check takes it as it is")]
    NoChecksum(PathBuf),
    #[error("{path} is not what was saved: its checksum should be {expected}, but is {found}")]
    Checksum { path: PathBuf, expected: String, found: String },
    #[error("{path} cannot be read")]
    Database {
        path: PathBuf,
        #[source]
        source: bbolt::read::Error,
    },
    #[error("the backup makes no sense: {0}")]
    Senseless(&'static str),
    #[error("the data folder {0} is there already and not empty; nothing was changed")]
    Exists(PathBuf),
    #[error("writing the data folder {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("writing the log")]
    Wal(#[from] WalError),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error("{0}")]
    Flags(String),
    #[error("{endpoint}")]
    Fetch {
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Archive(#[from] crate::archive::ArchiveError),
}

#[cfg(test)]
mod tests;
