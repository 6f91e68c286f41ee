//! The apiserver over REST and TLS, beside kube-apiserver on etcd, in turn: `cargo xtask bench api`.
//!
//! Prints a JSON line for each load, product and round. The generator shares the processors with what it measures, so it is
//! HTTP/1.1 (`wire`) or HTTP/2 (`streams`) by hand, with bodies that are made before; what it costs itself is told in each line.

mod bodies;
mod connection;
mod floor;
mod lists;
mod load;
mod loads;
mod report;
mod servers;
mod sizes;
mod streams;
mod watches;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use servers::Product;

/// Measures keelson-apiserver on keelson-store, and a peer beside it.
#[derive(Debug, Parser)]
struct Options {
    /// The folder of keelson-apiserver and keelson-store.
    #[arg(long)]
    programs: PathBuf,
    /// The folder of kube-apiserver and etcd.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Where data lies while it runs.
    #[arg(long)]
    dir: PathBuf,
    /// Calls in flight.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Single calls over HTTP/2, several on a connection, instead of HTTP/1.1.
    #[arg(long)]
    http2: bool,
    /// How long each load is measured in each round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How often ours and the peer's take turns.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Only loads whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    load: Vec<String>,
    /// What to measure: calls, watches, lists.
    #[arg(long, value_delimiter = ',', default_values_t = ["calls", "watches", "lists"].map(String::from))]
    part: Vec<String>,
    /// Pods in the lists.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 50_000])]
    pods: Vec<usize>,
    /// Watchers of one resource.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1_000])]
    watchers: Vec<usize>,
    /// Nodes whose leases are renewed.
    #[arg(long, default_value_t = 5_000)]
    nodes: usize,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.load.is_empty() || self.load.iter().any(|wanted| name.contains(wanted))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn products(&self) -> Result<Vec<Product>> {
        let ours = Product::find("ours", &self.programs, "keelson-apiserver", "keelson-store")?;
        let peer = self.peer.as_ref().map(|folder| Product::find("peer", folder, "kube-apiserver", "etcd"));
        Ok([ours].into_iter().chain(peer.transpose()?).collect())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let products = options.products()?;
    let dir = options.dir.join("bench-api");
    std::fs::create_dir_all(&dir)?;
    let ran = rounds(&options, &products, &dir).await;
    std::fs::remove_dir_all(&dir)?;
    ran
}

async fn rounds(options: &Options, products: &[Product], dir: &std::path::Path) -> Result<()> {
    for round in 0..options.rounds {
        for product in products {
            let report = report::Report { product: product.name, round };
            for part in &options.part {
                let mut cluster = servers::Cluster::start(product, dir).await?;
                let ran = match part.as_str() {
                    "calls" => loads::run(options, &cluster, &report).await,
                    "watches" => watches::run(options, &cluster, &report).await,
                    "lists" => lists::run(options, &mut cluster, &report).await,
                    other => anyhow::bail!("--part {other}: calls, watches and lists are there"),
                };
                ran.map_err(|error| error.context(format!("{part} on {}\n{}", product.name, cluster.log_tails())))?;
            }
        }
    }
    Ok(())
}
