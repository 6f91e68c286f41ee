//! cargo xtask up | down | status | test | bench | verify.

mod schema;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Keelson's own tasks: run a cluster, test it, measure it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write proto/k8s anew from a folder of Kubernetes API facts (for a new Kubernetes release).
    ImportSchema {
        /// The folder that holds fields.tsv and resources.tsv.
        #[arg(long, default_value = "../shared/kubernetes-api")]
        facts: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::ImportSchema { facts } => schema::import(&facts, &PathBuf::from("proto/k8s")),
    }
}
