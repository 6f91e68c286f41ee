//! `cargo xtask down`: stops the cluster and removes everything of it.

use std::path::PathBuf;

use anyhow::Result;
use testkit::cluster::Cluster;
use testkit::host;

use crate::progress::Progress;
use crate::workspace;

/// What `down` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where the cluster's state lives [default: .keelson in the workspace].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep the files (the store's data, certificates, images, logs): the next `up` finds the same objects.
    #[arg(long)]
    keep_data: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    let dir = workspace::state(options.dir.as_deref())?;
    let Some(cluster) = Cluster::open(&dir)? else {
        println!("no cluster lies in {}", dir.display());
        return Ok(());
    };
    host::require_root()?;
    let mut progress = Progress::new();
    progress.step("stopping the daemons");
    let removed = cluster.stop(&mut |text| progress.detail(text))?;
    progress.detail(&removed.to_string());
    if !options.keep_data {
        progress.step(&format!("removing {}", dir.display()));
        cluster.remove_files()?;
    }
    progress.finish_step();
    Ok(())
}
