//! The store beside etcd, on the same disk, in turn: `cargo xtask bench store`.
//!
//! Prints a JSON line for each load: operations a second, latencies, the servers' CPU time for an operation, what the
//! generator alone could do, and the ratios. The generator is HTTP/2 by hand (`test_bench::frame`, `test_bench::calls`), since it shares the
//! processors with what it measures.

mod extras;
mod loads;
mod null;
mod rounds;
mod scan;
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use servers::Product;

/// Measures keelson-store, and a peer beside it.
#[derive(Debug, Parser)]
struct Options {
    /// keelson-store's program.
    #[arg(long)]
    program: PathBuf,
    /// The peer's: an etcd.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Where data lies while it runs.
    #[arg(long)]
    dir: PathBuf,
    /// Sizes of the clusters.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    members: Vec<usize>,
    /// How long each load is measured in each round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How often ours and the peer's take turns.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Only loads whose name contains one of these; `NAME:CLIENTS` for one number of clients.
    #[arg(long, value_delimiter = ',')]
    load: Vec<String>,
    /// What to measure: loads, floor, memory, pauses, failover.
    #[arg(long, value_delimiter = ',', default_values_t = ["loads", "floor", "memory", "pauses", "failover"].map(String::from))]
    part: Vec<String>,
    /// Keys in the measurement of memory and of the restart.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
}

impl Options {
    fn wants(&self, name: &str, clients: usize) -> bool {
        let full = format!("{name}:{clients}");
        self.load.is_empty()
            || self.load.iter().any(|wanted| if wanted.contains(':') { *wanted == full } else { name.contains(wanted) })
    }

    fn span(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn products(&self) -> Vec<Product> {
        let peer = self.peer.clone().map(|program| Product { name: "peer", program });
        [Product { name: "ours", program: self.program.clone() }].into_iter().chain(peer).collect()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let dir = options.dir.join("bench-store");
    std::fs::create_dir_all(&dir)?;
    for part in &options.part {
        match part.as_str() {
            "loads" => {
                for members in &options.members {
                    rounds::run(&options, &dir, *members).await?;
                }
            }
            "floor" => extras::floor(&dir)?,
            "memory" => extras::memory(&options, &dir).await?,
            "pauses" => extras::pauses(&options, &dir).await?,
            "failover" => extras::failover(&options, &dir).await?,
            other => anyhow::bail!("--part {other}: loads, floor, memory, pauses and failover are there"),
        }
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
