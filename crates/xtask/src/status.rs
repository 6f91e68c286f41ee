//! `cargo xtask status`: what runs.

use std::path::PathBuf;

use anyhow::{Result, bail};
use testkit::cluster::Cluster;
use testkit::settings::Daemon;

use crate::workspace;

/// What `status` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where the cluster's state lives [default: .keelson in the workspace].
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs the command; succeeds only if everything that should run does.
pub fn run(options: &Options) -> Result<()> {
    let dir = workspace::state(options.dir.as_deref())?;
    let Some(cluster) = Cluster::open(&dir)? else {
        testkit::say!("no cluster lies in {}", dir.display());
        return Ok(());
    };
    let mut dead = Vec::new();
    for process in cluster.status() {
        let log = cluster.processes().log(&process.name);
        match process.pid {
            Some(pid) => testkit::say!("{:<20} runs as process {pid}, log {}", process.name, log.display()),
            None => {
                testkit::say!("{:<20} does not run, log {}", process.name, log.display());
                dead.push(process.name);
            }
        }
    }
    if cluster.settings.has(Daemon::Apiserver) {
        for args in [&["get", "nodes", "-o", "wide"][..], &["get", "pods", "-A", "-o", "wide"]] {
            testkit::say!("");
            match cluster.keelctl().run(args) {
                Ok(text) => testkit::say!("{}", text.trim_end()),
                Err(error) => testkit::say!("{error:#}"),
            }
        }
    }
    if !dead.is_empty() {
        bail!("not running: {}", dead.join(", "));
    }
    Ok(())
}
