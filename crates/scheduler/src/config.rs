//! Flags of `keelson-scheduler`, with upstream's names.

pub mod taken;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use taken::Taken;

/// keelson-scheduler: finds a node for each pod, and says why where there is none.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson-scheduler", about, subcommand_negates_reqs = true)]
pub struct Config {
    #[command(flatten)]
    pub common: daemon::cli::Common,

    /// kubeconfig with the API server and this scheduler's identity.
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub kubeconfig: Option<PathBuf>,
    /// Pods are ours when spec.schedulerName is this.
    #[arg(long, default_value = "default-scheduler", help_heading = "Scheduling")]
    pub scheduler_name: String,
    /// Seconds that a pod waits after its first failed attempt; doubled at each further one.
    #[arg(long, default_value_t = 1, help_heading = "Scheduling")]
    pub pod_initial_backoff_seconds: u64,
    /// Seconds that a pod waits at most between attempts.
    #[arg(long, default_value_t = 10, help_heading = "Scheduling")]
    pub pod_max_backoff_seconds: u64,

    /// Address of the port for /metrics, health and Explain.
    #[arg(long, default_value = "0.0.0.0", help_heading = "Serving")]
    pub bind_address: IpAddr,
    /// That port; 0 serves nothing.
    #[arg(long, default_value_t = 10259, help_heading = "Serving")]
    pub secure_port: u16,
    /// Certificate of that port; without one it is plain, on loopback, and Explain is not served.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file", help_heading = "Serving")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Serving")]
    pub tls_private_key_file: Option<PathBuf>,
    /// CA of the clients that may ask Explain.
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub client_ca_file: Option<PathBuf>,
    /// host:port under which clients reach Explain; default: the address this machine uses towards the API server.
    #[arg(long, value_name = "ADDRESS", help_heading = "Serving")]
    pub explain_address: Option<String>,

    /// Run only while holding the lease, so that several schedulers can stand by.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, help_heading = "Leader election")]
    pub leader_elect: bool,
    /// Seconds that others wait for a leader that no longer renews (15s is accepted, too).
    #[arg(long, default_value = "15s", value_parser = daemon::cli::seconds_of, help_heading = "Leader election")]
    pub leader_elect_lease_duration: u64,
    /// Seconds that the leader tries to renew before it gives up.
    #[arg(long, default_value = "10s", value_parser = daemon::cli::seconds_of, help_heading = "Leader election")]
    pub leader_elect_renew_deadline: u64,
    /// Seconds between tries.
    #[arg(long, default_value = "2s", value_parser = daemon::cli::seconds_of, help_heading = "Leader election")]
    pub leader_elect_retry_period: u64,
    /// Name of the lease.
    #[arg(long, default_value = "kube-scheduler", help_heading = "Leader election")]
    pub leader_elect_resource_name: String,
    /// Namespace of the lease.
    #[arg(long, default_value = "kube-system", help_heading = "Leader election")]
    pub leader_elect_resource_namespace: String,

    #[command(flatten)]
    pub taken: Taken,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else the program does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Decide for the pods in a file over the nodes in it, without a cluster, and print the decisions.
    Simulate {
        /// YAML or JSON with Nodes and Pods; - reads the standard input.
        #[arg(short = 'f', long, value_name = "FILE")]
        filename: PathBuf,
        /// Breaks ties between nodes that are equally good.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

impl daemon::cli::Flags for Config {
    fn common(&self) -> &daemon::cli::Common {
        &self.common
    }
}

#[cfg(test)]
mod tests;
