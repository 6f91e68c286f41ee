//! The floor under `cargo xtask bench podstart`: the same containers by containerd's own API, create and start only.
//!
//! Prints one JSON line: `{"seconds": all of them, "each_s": [one by one]}`. Leaves nothing in containerd.

mod containerd;
mod spec;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use containerd::Containerd;
use futures::stream::{self, StreamExt, TryStreamExt};

/// Starts containers through containerd's API and says how long that took.
#[derive(Debug, Parser)]
struct Options {
    /// containerd's socket.
    #[arg(long)]
    socket: PathBuf,
    /// The image, as containerd names it.
    #[arg(long)]
    image: String,
    /// How many containers.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// How many at once.
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// What each of them runs.
    #[arg(trailing_var_arg = true, default_values = ["sleep", "3600"])]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let containerd = Containerd::connect(options.socket.clone()).await?;
    let root = containerd.top_snapshot(&options.image).await?;
    let names: Vec<String> = (0..options.count).map(|index| format!("keelson-floor-{index}")).collect();
    let began = Instant::now();
    let started: Result<Vec<f64>> = stream::iter(&names)
        .map(|name| {
            let (containerd, root, spec) = (&containerd, &root, spec::container(name, &options.command));
            async move {
                let began = Instant::now();
                containerd.start(name, root, &spec).await?;
                Ok(began.elapsed().as_secs_f64())
            }
        })
        .buffered(options.at_once.max(1))
        .try_collect()
        .await;
    let seconds = began.elapsed().as_secs_f64();
    for name in &names {
        containerd.remove(name).await?;
    }
    println!("{}", serde_json::json!({"seconds": seconds, "each_s": started?}));
    Ok(())
}
