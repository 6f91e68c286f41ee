//! `cargo xtask bench api`: keelson-apiserver on keelson-store beside kube-apiserver on etcd, in turn.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{build, workspace};

/// What `bench api` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The folder of the kube-apiserver and the etcd to measure beside [default: none, ours alone].
    #[arg(long, value_name = "FOLDER")]
    peer: Option<PathBuf>,
    /// Calls in flight.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Single calls over HTTP/2 instead of HTTP/1.1.
    #[arg(long)]
    http2: bool,
    /// Seconds of each load in each round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How often ours and the peer's take turns.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Only loads whose name contains one of these (`create`, `list-50000-json`, ...).
    #[arg(long, value_delimiter = ',')]
    load: Vec<String>,
    /// Only these parts: calls, watches, lists.
    #[arg(long, value_delimiter = ',')]
    part: Vec<String>,
    /// Pods in the lists.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 50_000])]
    pods: Vec<usize>,
    /// Watchers of one resource.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1_000])]
    watchers: Vec<usize>,
}

/// Runs it; JSON lines as they come, and at the end tables.
pub fn run(options: &Options) -> Result<()> {
    let programs = build::build("release")?;
    let generator = build::tool("test-bench", "keelson-bench-api")?;
    let mut command = Command::new(generator);
    command.arg("--programs").arg(programs).arg("--dir").arg(workspace::target()?);
    if let Some(peer) = &options.peer {
        command.arg("--peer").arg(peer);
    }
    if options.http2 {
        command.arg("--http2");
    }
    for (flag, value) in [("--clients", options.clients), ("--rounds", options.rounds)] {
        command.args([flag, &value.to_string()]);
    }
    command.args(["--seconds", &options.seconds.to_string()]);
    let texts = |numbers: &[usize]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (pods, watchers) = (texts(&options.pods), texts(&options.watchers));
    let lists = [("--load", &options.load), ("--part", &options.part), ("--pods", &pods), ("--watchers", &watchers)];
    for (flag, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        command.args([flag, &values.join(",")]);
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

/// The figures of one load and product, one of each round.
type Rounds = BTreeMap<&'static str, Vec<f64>>;

/// What is shown of a load.
const COLUMNS: [&str; 7] = ["per_s", "p50_ms", "p99_ms", "cpu_us", "store_cpu_us", "generator_cpu_us", "peak_mib"];

/// Loads first, then single figures; a line each, ours and the peer's beside each other, medians of the rounds.
fn table(rows: &[Value]) -> String {
    let mut loads: Vec<(String, [Rounds; 2])> = Vec::new();
    let mut units = BTreeMap::new();
    for row in rows {
        let name = row["load"].as_str().unwrap_or_default();
        if let Some(unit) = row["unit"].as_str() {
            units.insert(name.to_owned(), unit.to_owned());
        }
        let at = loads.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            loads.push((name.to_owned(), Default::default()));
            loads.len() - 1
        });
        let product = &mut loads[at].1[usize::from(row["product"] == "peer")];
        for column in COLUMNS.into_iter().chain(["value"]) {
            if let Some(figure) = row[column].as_f64() {
                product.entry(column).or_default().push(figure);
            }
        }
    }
    let mut table = String::new();
    let line = |table: &mut String, cells: std::fmt::Arguments<'_>| {
        table.write_fmt(cells).expect("a string takes everything");
    };
    line(
        &mut table,
        format_args!(
            "load                      ours/s     peer/s   ratio  ours p50  peer p50  ours p99  peer p99  ours us/op  peer us/op  store us/op  generator us/op  ours MiB  peer MiB\n"
        ),
    );
    for (name, [ours, peer]) in loads.iter().filter(|(name, _)| !units.contains_key(name)) {
        let (of, with) = (|column| median(ours, column), |column| median(peer, column));
        line(
            &mut table,
            format_args!(
                "{name:<21} {:>10.0} {:>10.0} {:>7.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>11.1} {:>11.1} {:>12.1} {:>16.1} {:>9.0} {:>9.0}\n",
                of("per_s"),
                with("per_s"),
                of("per_s") / with("per_s"),
                of("p50_ms"),
                with("p50_ms"),
                of("p99_ms"),
                with("p99_ms"),
                of("cpu_us"),
                with("cpu_us"),
                of("store_cpu_us"),
                of("generator_cpu_us"),
                of("peak_mib"),
                with("peak_mib"),
            ),
        );
    }
    line(
        &mut table,
        format_args!("\nfigure                                        unit        ours        peer   ratio\n"),
    );
    for (name, [ours, peer]) in &loads {
        let Some(unit) = units.get(name) else { continue };
        let (ours, peer) = (median(ours, "value"), median(peer, "value"));
        line(&mut table, format_args!("{name:<40} {unit:>9} {ours:>11.1} {peer:>11.1} {:>7.2}\n", ours / peer));
    }
    table
}

fn median(rounds: &Rounds, column: &str) -> f64 {
    rounds.get(column).map_or(f64::NAN, |figures| super::middle_and_tail(figures.clone()).0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rounds_of_both_products_are_one_line() {
        let load = |product: &str, per_s: f64| json!({"bench": "api", "load": "create-pod", "product": product, "per_s": per_s, "p99_ms": 2.0});
        let figure = json!({"bench": "api", "load": "rss-idle", "product": "ours", "unit": "MiB", "value": 20.5});
        let table = table(&[load("ours", 100.0), load("peer", 50.0), load("ours", 300.0), load("ours", 200.0), figure]);
        let words = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(1)[..4], ["create-pod", "200", "50", "4.00"]);
        assert_eq!(words(4), ["rss-idle", "MiB", "20.5", "NaN", "NaN"]);
    }
}
