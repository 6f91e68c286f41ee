//! How the process speaks; most of it is taken for etcd's sake.

use daemon::cli::Common;

#[derive(Clone, Debug, clap::Args)]
pub struct ProcessFlags {
    /// How much to log, in etcd's words; -v and --log-filter win.
    #[arg(long, value_name = "LEVEL", value_parser = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"], env = "ETCD_LOG_LEVEL", help_heading = "Process")]
    pub log_level: Option<String>,
    /// Taken for etcd's sake: there is one logger.
    #[arg(long, value_name = "NAME", value_parser = ["zap"], env = "ETCD_LOGGER", help_heading = "Process")]
    pub logger: Option<String>,
    /// Taken for etcd's sake: logs go to stderr.
    #[arg(long, value_name = "OUTPUTS", value_parser = ["default", "stderr"], env = "ETCD_LOG_OUTPUTS", help_heading = "Process")]
    pub log_outputs: Option<String>,
    /// Taken for etcd's sake: what a member reads from its disk is always checked.
    #[arg(long, alias = "initial-corrupt-check", help_heading = "Process")]
    pub experimental_initial_corrupt_check: bool,
    /// Taken for etcd's sake: there are no gates, and names that are told are logged.
    #[arg(long, value_name = "GATES", env = "ETCD_FEATURE_GATES", help_heading = "Process")]
    pub feature_gates: Option<String>,
}

impl ProcessFlags {
    /// The common flags with --log-level in them.
    pub fn leveled(&self, common: &Common) -> Common {
        let mut common = common.clone();
        match self.log_level.as_deref() {
            Some("debug") if common.v == 0 => common.v = 4,
            _ => {}
        }
        let filter = match self.log_level.as_deref() {
            Some("warn") => Some("warn"),
            Some("error" | "dpanic" | "panic" | "fatal") => Some("error"),
            _ => None,
        };
        common.log_filter = common.log_filter.or(filter.map(str::to_owned));
        common
    }
}
