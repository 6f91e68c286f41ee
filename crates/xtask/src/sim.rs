//! `cargo xtask sim`: the store in a simulated world, a run for each seed. A failing seed is told with the command that runs
//! it again; the last line has the counts.

use std::process::Command;

use anyhow::Result;

use crate::{build, workspace};

/// What `sim` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Plant a bug that lies outside the store, to see it found (`ack-before-sync`, `reads-not-confirmed`, ...).
    #[arg(long, value_name = "BUG")]
    planted: Option<String>,
    /// Tell of every seed.
    #[arg(long)]
    verbose: bool,
}

/// Builds and runs the simulator; its failure is the command's.
pub fn run(options: &Options) -> Result<()> {
    let mut sim = Command::new(build::tool("test-sim", "sim")?);
    sim.arg("--seeds").arg(options.seeds.to_string()).arg("--first-seed").arg(options.first_seed.to_string());
    sim.args(options.planted.iter().flat_map(|bug| ["--planted", bug]));
    sim.args(options.verbose.then_some("--verbose"));
    workspace::run_shown(&mut sim)
}
