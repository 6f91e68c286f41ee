//! `cargo xtask bench store`: keelson-store beside an etcd, in turn on the same disk.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::packages;

use crate::{build, workspace};

/// What `bench store` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The etcd to measure beside [default: the one in PATH; none: ours alone].
    #[arg(long, value_name = "PATH_TO_ETCD")]
    peer: Option<PathBuf>,
    /// Members of the clusters.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    members: Vec<usize>,
    /// Seconds of each load in each round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How often ours and the peer's take turns.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Only loads whose name contains one of these (`put`, `update:64`, ...).
    #[arg(long, value_delimiter = ',')]
    load: Vec<String>,
    /// Only these parts: loads, floor, memory, pauses, failover.
    #[arg(long, value_delimiter = ',')]
    part: Vec<String>,
    /// Keys in the measurement of memory and of the restart.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
}

/// Runs it; JSON lines as they come, and at the end a table of the loads.
pub fn run(options: &Options) -> Result<()> {
    let programs = build::build("release")?;
    let generator = build::tool("test-bench", "keelson-bench-store")?;
    let mut command = Command::new(generator);
    command.arg("--program").arg(programs.join("keelson-store")).arg("--dir").arg(workspace::target()?);
    if let Some(peer) = options.peer.clone().or_else(|| packages::find("etcd")) {
        command.arg("--peer").arg(peer);
    }
    let members: Vec<String> = options.members.iter().map(ToString::to_string).collect();
    command.args(["--members", &members.join(","), "--seconds", &options.seconds.to_string()]);
    command.args(["--rounds", &options.rounds.to_string(), "--keys", &options.keys.to_string()]);
    for (flag, values) in [("--load", &options.load), ("--part", &options.part)] {
        if !values.is_empty() {
            command.args([flag, &values.join(",")]);
        }
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting the generator")?;
    let mut rows = Vec::new();
    for line in BufReader::new(child.stdout.take().context("its output")?).lines() {
        let line = line?;
        testkit::say!("{line}");
        rows.push(serde_json::from_str::<Value>(&line)?);
    }
    let status = child.wait()?;
    ensure!(status.success(), "the generator: {status}");
    testkit::say!("\n{}", table(&rows).trim_end());
    Ok(())
}

/// The loads, a line each.
fn table(rows: &[Value]) -> String {
    let mut table = String::from(
        "load                  members clients      ours/s      peer/s   ratio  ours p99  peer p99  ours us/op  peer us/op  cpu ratio  generator/s\n",
    );
    for row in rows.iter().filter(|row| row["bench"] == "store") {
        let number = |path: &str| row.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let name = row["load"].as_str().unwrap_or_default();
        let line = writeln!(
            table,
            "{name:<21} {:>7} {:>7} {:>11.0} {:>11.0} {:>7.2} {:>9.2} {:>9.2} {:>11.2} {:>11.2} {:>10.2} {:>12.0}",
            number("/members"),
            number("/clients"),
            number("/ours/per_s"),
            number("/peer/per_s"),
            number("/ratio"),
            number("/ours/p99_ms"),
            number("/peer/p99_ms"),
            number("/ours/cpu_us_per_op"),
            number("/peer/cpu_us_per_op"),
            number("/cpu_ratio"),
            number("/generator_per_s"),
        );
        line.expect("a string takes everything");
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_is_a_line() {
        let ours = json!({"per_s": 100, "p99_ms": 1.5, "cpu_us_per_op": 20});
        let rows = [
            json!({"bench": "store", "load": "put-256", "members": 1, "clients": 10, "ours": ours}),
            json!({"bench": "store-floor", "syncs_per_s": 5}),
        ];
        let table = table(&rows);
        assert_eq!(table.lines().count(), 2);
        let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words[..6], ["put-256", "1", "10", "100", "NaN", "NaN"]);
    }
}
