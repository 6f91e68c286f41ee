//! Filter, score, bind; every node's reason kept.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context;
use daemon::shutdown::Shutdown;
use scheduler::config::{Command, Config};

fn main() -> ExitCode {
    daemon::main::<Config, _, _, _>("keelson-scheduler", run)
}

async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let Some(Command::Simulate { filename, seed }) = &config.command else {
        return Ok(scheduler::run::run(config, shutdown).await?);
    };
    let mut text = String::new();
    if filename.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("reading the standard input")?;
    } else {
        text = std::fs::read_to_string(filename).with_context(|| format!("reading {}", filename.display()))?;
    }
    let decisions = scheduler::simulate::run(&text, *seed)?;
    // Whoever reads may have seen enough (`| head`).
    let _closed = std::io::stdout().write_all(decisions.as_bytes());
    Ok(())
}
