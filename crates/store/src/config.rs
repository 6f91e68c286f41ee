//! Flags of `keelson-store`, with etcd's names, by topic.

mod check;
mod cluster;
mod duration;
mod limits;
mod process;
mod security;
mod taken;

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::Parser;

pub use check::{ConfigError, Listen, listen};
pub use cluster::{ClusterFlags, Ids};
pub use duration::duration;
pub use limits::{AutoCompaction, LimitFlags};
pub use process::ProcessFlags;
pub use security::SecurityFlags;

/// keelson-store: an etcd v3 server with a log and an engine of its own.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson-store", about)]
pub struct Config {
    #[command(flatten)]
    pub common: daemon::cli::Common,

    /// This member's name, unique in the cluster.
    #[arg(long, default_value = "default", env = "ETCD_NAME", help_heading = "Member")]
    pub name: String,
    /// Folder of the log and the values; default: NAME.keelson.
    #[arg(long, value_name = "DIR", env = "ETCD_DATA_DIR", help_heading = "Member")]
    pub data_dir: Option<PathBuf>,
    /// URLs on which clients are served, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        default_value = "http://localhost:2379",
        value_delimiter = ',',
        env = "ETCD_LISTEN_CLIENT_URLS",
        help_heading = "Member"
    )]
    pub listen_client_urls: Vec<String>,
    /// URLs on which other members are served, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        default_value = "http://localhost:2380",
        value_delimiter = ',',
        env = "ETCD_LISTEN_PEER_URLS",
        help_heading = "Member"
    )]
    pub listen_peer_urls: Vec<String>,
    /// URLs on which /metrics and health are served beside the client URLs.
    #[arg(long, value_name = "URLS", value_delimiter = ',', env = "ETCD_LISTEN_METRICS_URLS", help_heading = "Member")]
    pub listen_metrics_urls: Vec<String>,
    /// Milliseconds between the leader's heartbeats.
    #[arg(long, value_name = "MS", default_value_t = 100, env = "ETCD_HEARTBEAT_INTERVAL", help_heading = "Member")]
    pub heartbeat_interval: u64,
    /// Milliseconds without a leader until a member stands for election.
    #[arg(long, value_name = "MS", default_value_t = 1000, env = "ETCD_ELECTION_TIMEOUT", help_heading = "Member")]
    pub election_timeout: u64,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub process: ProcessFlags,
    #[command(flatten)]
    pub cluster: ClusterFlags,

    /// Folder to which every applied entry of the log is copied, for restores to any revision since a backup.
    #[arg(long, value_name = "DIR", help_heading = "Backup")]
    pub archive_dir: Option<PathBuf>,

    #[command(flatten)]
    pub security: SecurityFlags,
    #[command(subcommand)]
    pub command: Option<crate::restore::command::Command>,
    #[command(flatten)]
    pub taken: taken::Taken,
    #[command(flatten)]
    pub refused: taken::Refused,

    /// The common flags with --log-level in them.
    #[arg(skip)]
    leveled: OnceLock<daemon::cli::Common>,
}

impl daemon::cli::Flags for Config {
    fn common(&self) -> &daemon::cli::Common {
        self.leveled.get_or_init(|| self.process.leveled(&self.common))
    }
}

impl Config {
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("{}.keelson", self.name)))
    }
}

#[cfg(test)]
mod tests;
