//! `cargo xtask down`: stops the cluster and removes everything of it.

use std::path::PathBuf;

use anyhow::Result;
use testkit::cluster::Cluster;
use testkit::host;
use testkit::layout::Layout;

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
    let layout = Layout::new(&dir);
    if !layout.settings_file().exists() {
        testkit::say!("no cluster lies in {}", dir.display());
        return Ok(());
    }
    host::require_root()?;
    let opened = Cluster::open(&dir);
    if let Err(error) = &opened
        && !error.is::<serde_json::Error>()
    {
        return opened.map(drop);
    }
    let mut progress = Progress::new();
    progress.step("stopping the daemons");
    let removed = match opened {
        Ok(Some(cluster)) => cluster.stop(&mut |text| progress.detail(text))?,
        // Processes, mounts, cgroups and networks are known by the directory's name as well.
        _ => {
            progress.detail(&format!("{} is damaged and not needed", layout.settings_file().display()));
            Cluster::stop_in(&layout, &mut |text| progress.detail(text))?
        }
    };
    progress.detail(&removed.to_string());
    if !options.keep_data {
        progress.step(&format!("removing {}", dir.display()));
        let left = layout.remove()?;
        if !left.is_empty() {
            progress.detail(&format!("not the cluster's, and kept: {}", left.join(", ")));
        }
    }
    progress.finish_step();
    Ok(())
}
