//! `cargo xtask bench podstart | idle | scheduler | proxy | store | api`: JSON lines and a table. The first two are measured on a
//! running cluster (`cargo xtask up`), the others need none.

mod alone;
mod api;
mod floor;
mod idle;
mod podstart;
mod store;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;
use testkit::cluster::Cluster;
use testkit::host;

use crate::workspace;

/// What `bench` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where the cluster's state lives [default: .keelson in the workspace].
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Create -> Ready and delete -> gone of 1, 10, 50 and 100 pods, with containerd and runc alone as the floor.
    Podstart {
        /// Pods at once.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 100])]
        pods: Vec<usize>,
    },
    /// Memory, CPU and store writes of a cluster that has nothing to do, with 0 and 20 pods.
    Idle {
        /// How long to look, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Decisions a second of the scheduler's core, over 1000 and 5000 nodes in memory.
    Scheduler,
    /// Seconds that the proxy's tables take through nft: all at once, at a restart, one change.
    Proxy,
    /// The store beside an etcd: puts, gets, updates, leases, watchers; memory, restarts, pauses, failover.
    Store(store::Options),
    /// The apiserver over REST beside a kube-apiserver: writes, gets, lists, watchers; memory, starts.
    Api(api::Options),
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    if let What::Scheduler = options.what {
        return alone::run("scheduler");
    }
    if let What::Store(options) = &options.what {
        return store::run(options);
    }
    if let What::Api(options) = &options.what {
        return api::run(options);
    }
    host::require_root()?;
    if let What::Proxy = options.what {
        return alone::run("proxy");
    }
    let dir = workspace::state(options.dir.as_deref())?;
    let Some(cluster) = Cluster::open(&dir)? else { bail!("no cluster lies in {}: run cargo xtask up", dir.display()) };
    if let Some(process) = cluster.status().iter().find(|process| process.pid.is_none()) {
        bail!("{} does not run: run cargo xtask up", process.name);
    }
    match &options.what {
        What::Podstart { pods } => podstart::run(&cluster, pods),
        What::Scheduler | What::Proxy | What::Store(_) | What::Api(_) => Ok(()),
        What::Idle { seconds } => idle::run(&cluster, Duration::from_secs(*seconds)),
    }
}

/// A value of a sorted list, by its share of the way through.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a short list"
    )]
    let index = (last as f64 * share).round() as usize;
    sorted.get(index.min(last)).copied().unwrap_or(f64::NAN)
}

/// Sorts and gives p50 and p99.
fn middle_and_tail(mut seconds: Vec<f64>) -> (f64, f64) {
    seconds.sort_by(f64::total_cmp);
    (percentile(&seconds, 0.5), percentile(&seconds, 0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_tail_are_values_that_were_measured() {
        assert_eq!(middle_and_tail(vec![3.0, 1.0, 2.0]), (2.0, 3.0));
        assert!(middle_and_tail(Vec::new()).0.is_nan());
    }
}
