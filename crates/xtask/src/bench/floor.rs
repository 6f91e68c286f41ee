//! What containerd and runc need for the same containers, without any of our daemons.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::containerd::ctr;
use testkit::image::{BUSYBOX, HELLO};
use testkit::layout::NodeLayout;

/// Seconds until all containers ran.
pub struct Floor {
    /// One after the other, by `ctr run`.
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
    let sequential = by_containerd(&files, count, 1)?;
    let mut floor = Floor { sequential, parallel: sequential, best: 1, runc: by_runc(cluster, count)? };
    for at_once in [2, 4, 8].into_iter().filter(|at_once| *at_once <= count) {
        let seconds = by_containerd(&files, count, at_once)?;
        if seconds < floor.parallel {
            (floor.parallel, floor.best) = (seconds, at_once);
        }
    }
    Ok(floor)
}

fn by_containerd(files: &NodeLayout, count: usize, at_once: usize) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(index) = take(&next, count) {
                ctr(files, &["run", "--detach", HELLO, &name(index), "sleep", "3600"])?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Ok(())))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    for index in 0..count {
        ctr(files, &["tasks", "delete", "--force", &name(index)])?;
        ctr(files, &["containers", "delete", &name(index)])?;
    }
    Ok(seconds)
}

fn take(next: &AtomicUsize, count: usize) -> Option<usize> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index < count).then_some(index)
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
        spec["process"]["args"] = json!(["/bin/busybox", "sleep", "3600"]);
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
