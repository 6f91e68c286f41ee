//! Settings of kube-scheduler's command lines and files that change nothing here. They are taken, so that what starts
//! upstream's scheduler starts this one; a value that asks for other decisions is refused.

use std::path::PathBuf;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use daemon::cli::taken;

/// Settings without a choice.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Taken for the sake of kube-scheduler's command lines; without effect")]
pub struct Taken {
    /// Clients of the port are known by their certificates
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Clients of the port are known by their certificates
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// One connection; the number of calls under way is limited
    #[arg(long, value_name = "RATE")]
    pub kube_api_qps: Option<f32>,
    /// One connection; the number of calls under way is limited
    #[arg(long, value_name = "N")]
    pub kube_api_burst: Option<i32>,
    /// The API is spoken to by gRPC
    #[arg(long, value_name = "TYPE")]
    pub kube_api_content_type: Option<String>,
    /// There is nothing to profile over the port
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub profiling: Option<bool>,
    /// There is nothing to profile over the port
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub contention_profiling: Option<bool>,
    /// What upstream has behind gates is either done here or not
    #[arg(long, value_delimiter = ',', value_parser = taken::feature_gate, value_name = "NAME=true|false,...")]
    pub feature_gates: Vec<String>,
    /// The lease is a Lease
    #[arg(long, value_parser = ["leases"], value_name = "leases")]
    pub leader_elect_resource_lock: Option<String>,
    /// One thread decides
    #[arg(long, value_name = "N")]
    pub parallelism: Option<u32>,
    /// All nodes are scored: 0 and 100 are taken
    #[arg(long, value_parser = ["0", "100"], value_name = "PERCENT")]
    pub percentage_of_nodes_to_score: Option<String>,
    /// Those that stand by keep their snapshots; true is refused
    #[arg(long, value_parser = taken::only_false, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "false")]
    pub delay_cache_until_active: Option<bool>,
}

impl Taken {
    /// A line for each setting that was given and changes nothing, with the reason.
    pub fn without_effect(&self) -> Vec<String> {
        let certificates = "clients of the port are known by their certificates";
        let calls = "the number of calls under way is limited, not their rate";
        let profiles = "there is nothing to profile over the port";
        taken::without_effect(&[
            (self.authentication_kubeconfig.is_some(), "authentication-kubeconfig", certificates),
            (self.authorization_kubeconfig.is_some(), "authorization-kubeconfig", certificates),
            (self.kube_api_qps.is_some(), "kube-api-qps", calls),
            (self.kube_api_burst.is_some(), "kube-api-burst", calls),
            (self.kube_api_content_type.is_some(), "kube-api-content-type", "the API is spoken to by gRPC"),
            (self.profiling == Some(true), "profiling", profiles),
            (self.contention_profiling == Some(true), "contention-profiling", profiles),
            (!self.feature_gates.is_empty(), "feature-gates", "there are no gates"),
            (self.parallelism.is_some(), "parallelism", "one thread decides"),
        ])
    }
}
