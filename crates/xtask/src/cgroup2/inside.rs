//! Inside the machine: starts a cluster, runs the checks, says what came of them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use testkit::cluster::Cluster;
use testkit::settings::{Node, Settings};

use super::checks;
use super::report::Report;

/// Where our programs lie in the machine.
pub const PROGRAMS: &str = "/keelson";
/// Where the cluster lies in it; `init.sh` mounts memory there.
pub const STATE: &str = "/cluster";
/// The address that `init.sh` gives the machine; no network is behind it.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Lines of each log that are shown if a check fails.
const LOG_LINES: usize = 15;

/// Makes every check and prints the report; the caller reads it from the console.
pub fn run() -> Result<()> {
    let mut report = Report::default();
    let cluster = Cluster::new(settings());
    let started = start(&cluster, &report);
    let runs = started.is_ok();
    report.check("a cluster starts on cgroup version 2", started);
    if runs && let Err(error) = checks::run(&cluster, &mut report) {
        report.check("every check is made", Err(error));
    }
    if report.has_failures() {
        diagnose(&cluster, &report);
    }
    report.end();
    Ok(())
}

/// The machine's cluster: one node.
pub fn settings() -> Settings {
    let node = Node { name: "cgroup2".to_owned(), address: IpAddr::V4(ADDRESS), network: None };
    Settings::new(PathBuf::from(STATE), PathBuf::from(PROGRAMS), node)
}

fn start(cluster: &Cluster, report: &Report) -> Result<()> {
    report.say("making certificates");
    cluster.prepare()?;
    cluster.start(&mut |step| report.say(step))?;
    report.say("importing the image");
    cluster.import_hello().context("importing the image")
}

fn diagnose(cluster: &Cluster, report: &Report) {
    let keelctl = cluster.keelctl();
    for args in [&["get", "pods", "-A", "-o", "wide"][..], &["get", "events", "-A"]] {
        report.say(&keelctl.run(args).unwrap_or_else(|error| format!("{error:#}")));
    }
    for process in cluster.status() {
        report.say(&format!(
            "the end of {}'s log:\n{}",
            process.name,
            cluster.processes().tail(&process.name, LOG_LINES)
        ));
    }
}
