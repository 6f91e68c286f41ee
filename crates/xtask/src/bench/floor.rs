//! What containerd and runc need for the same containers, without any of our daemons.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::image::{BUSYBOX, HELLO};
use testkit::layout::NodeLayout;

use crate::build;

/// What the containers run, here and in the pods: it waits, and ends when it is asked to.
pub const COMMAND: [&str; 3] = ["sh", "-c", "trap exit TERM; sleep 3600 & wait"];

/// Seconds until all containers ran.
pub struct Floor {
    /// One after the other, through containerd's API.
    pub sequential: f64,
    /// The best of 1 to 8 at once.
    pub parallel: f64,
    /// How many at once were best.
    pub best: usize,
    /// One after the other, by `runc run`.
    pub runc: f64,
}

/// Measures `count` containers.
pub fn measure(cluster: &Cluster, count: usize) -> Result<Floor> {
    let files = cluster.layout().node(cluster.settings.first_node());
    let program = build::tool("test-floor", "keelson-bench-floor")?;
    let sequential = by_containerd(&program, &files, count, 1)?;
    let mut floor = Floor { sequential, parallel: sequential, best: 1, runc: by_runc(cluster, count)? };
    for at_once in [2, 4, 8].into_iter().filter(|at_once| *at_once <= count) {
        let seconds = by_containerd(&program, &files, count, at_once)?;
        if seconds < floor.parallel {
            (floor.parallel, floor.best) = (seconds, at_once);
        }
    }
    Ok(floor)
}

fn by_containerd(program: &Path, files: &NodeLayout, count: usize, at_once: usize) -> Result<f64> {
    let mut floor = Command::new(program);
    floor.arg("--socket").arg(files.containerd_socket());
    floor
        .args(["--image", HELLO, "--count", &count.to_string(), "--at-once", &at_once.to_string(), "--"])
        .args(COMMAND);
    let told: Value = serde_json::from_str(&build::output_of(&mut floor)?)?;
    told["seconds"].as_f64().context("the floor tells no seconds")
}

fn name(index: usize) -> String {
    format!("keelson-floor-{index}")
}

fn by_runc(cluster: &Cluster, count: usize) -> Result<f64> {
    let bundle = cluster.layout().images().join("floor");
    let root = bundle.join("rootfs");
    let state = bundle.join("state");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    let runc = |args: &[&str], at: &Path| -> Result<()> {
        let status = Command::new("runc")
            .arg("--root")
            .arg(&state)
            .args(args)
            .current_dir(at)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "runc {}: {status}", args.join(" "));
        Ok(())
    };
    if !bundle.join("config.json").exists() {
        runc(&["spec"], &bundle)?;
        let mut spec: Value = serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?;
        spec["process"]["args"] = json!(["/bin/busybox", COMMAND[0], COMMAND[1], COMMAND[2]]);
        spec["process"]["terminal"] = json!(false);
        fs::write(bundle.join("config.json"), serde_json::to_vec(&spec)?)?;
    }
    let began = Instant::now();
    for index in 0..count {
        runc(&["run", "--detach", &name(index)], &bundle)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    for index in 0..count {
        runc(&["delete", "--force", &name(index)], &bundle)?;
    }
    Ok(seconds)
}
