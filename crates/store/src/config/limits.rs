//! Bounds and intervals.

use std::time::Duration;

use super::ConfigError;
use super::duration::{duration, interval};

const DEFAULT_QUOTA: u64 = 2 << 30;

#[derive(Clone, Debug, clap::Args)]
pub struct LimitFlags {
    /// Live bytes above which puts are refused; 0 is 2 GiB, negative is no bound.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 0,
        allow_negative_numbers = true,
        env = "ETCD_QUOTA_BACKEND_BYTES",
        help_heading = "Limits"
    )]
    pub quota_backend_bytes: i64,
    /// Operations in each list of a transaction.
    #[arg(long, value_name = "N", default_value_t = 128, env = "ETCD_MAX_TXN_OPS", help_heading = "Limits")]
    pub max_txn_ops: usize,
    /// Bytes of one request.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 1_572_864,
        env = "ETCD_MAX_REQUEST_BYTES",
        help_heading = "Limits"
    )]
    pub max_request_bytes: usize,
    /// Calls that one connection may have open.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4_294_967_295,
        env = "ETCD_MAX_CONCURRENT_STREAMS",
        help_heading = "Limits"
    )]
    pub max_concurrent_streams: u32,
    /// Applied entries after which the log is cut.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..),
        env = "ETCD_SNAPSHOT_COUNT",
        help_heading = "Limits"
    )]
    pub snapshot_count: u64,
    /// Entries that stay for followers that are a little behind when the log is cut.
    #[arg(
        long,
        alias = "experimental-snapshot-catchup-entries",
        value_name = "N",
        default_value_t = 5_000,
        help_heading = "Limits"
    )]
    pub snapshot_catchup_entries: u64,
    /// Applying a piece of the log for longer is said in the log.
    #[arg(long, alias = "experimental-warning-apply-duration", value_name = "DURATION", default_value = "100ms", value_parser = duration, help_heading = "Limits")]
    pub warning_apply_duration: Duration,
    /// How often a quiet connection of a client is asked whether it is still there; 0s: never.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = interval, env = "ETCD_GRPC_KEEPALIVE_INTERVAL", help_heading = "Limits")]
    pub grpc_keepalive_interval: Duration,
    /// How long it may take to answer that.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = interval, env = "ETCD_GRPC_KEEPALIVE_TIMEOUT", help_heading = "Limits")]
    pub grpc_keepalive_timeout: Duration,
    /// How often watchers that asked for it are told the revision.
    #[arg(long, alias = "experimental-watch-progress-notify-interval", value_name = "DURATION", default_value = "10m", value_parser = duration, help_heading = "Limits")]
    pub watch_progress_notify_interval: Duration,
    /// How history is compacted without being asked: periodic (by age) or revision (by number).
    #[arg(long, value_name = "MODE", default_value = "periodic", value_parser = ["periodic", "revision"], env = "ETCD_AUTO_COMPACTION_MODE", help_heading = "Limits")]
    pub auto_compaction_mode: String,
    /// How much history stays: a duration (a number alone is hours), or a number of revisions; 0 compacts only when asked.
    #[arg(
        long,
        value_name = "LENGTH",
        default_value = "0",
        env = "ETCD_AUTO_COMPACTION_RETENTION",
        help_heading = "Limits"
    )]
    pub auto_compaction_retention: String,
}

/// What is compacted without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    Off,
    /// History older than this.
    Age(Duration),
    /// Revisions before the newest so many.
    Revisions(i64),
}

impl LimitFlags {
    pub fn quota(&self) -> u64 {
        match self.quota_backend_bytes {
            0 => DEFAULT_QUOTA,
            bytes => u64::try_from(bytes).unwrap_or(0),
        }
    }

    pub fn auto_compaction(&self) -> Result<AutoCompaction, ConfigError> {
        let text = self.auto_compaction_retention.trim();
        let bad = |wanted| ConfigError::Retention { text: text.to_owned(), wanted };
        if text.is_empty() || text == "0" {
            return Ok(AutoCompaction::Off);
        }
        if self.auto_compaction_mode == "revision" {
            let wanted = "number of revisions, such as 1000";
            let count = text.parse().ok().filter(|count| *count > 0).ok_or_else(|| bad(wanted))?;
            return Ok(AutoCompaction::Revisions(count));
        }
        let with_unit =
            if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text}h") } else { text.to_owned() };
        let age = duration(&with_unit).map_err(|_| bad("duration, such as 8h or 30m"))?;
        Ok(AutoCompaction::Age(age))
    }
}
