//! A containerd of our own: private root, state and socket, without the CRI plugin.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::layout::NodeLayout;
use crate::packages;
use crate::pki::write_whole;
use crate::process::{self, Spec};
use crate::settings::Node;
use crate::wait;

/// The containerd namespace that pods run in, as with every kubelet.
pub const NAMESPACE: &str = "k8s.io";

/// Where shims put their sockets; containerd 1.6 offers no other place.
pub const SHIM_SOCKETS: &str = "/run/containerd/s";

/// How to start the containerd of a node; its configuration file is written on the way.
pub fn spec(name: String, node: &Node, layout: &NodeLayout) -> Result<Spec> {
    for folder in [layout.containerd_root(), layout.containerd_state()] {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let config = layout.containerd_config();
    write_whole(&config, config_text(layout).as_bytes(), 0o644)?;
    Ok(Spec {
        name,
        program: packages::find("containerd").context("containerd is not there: install the package containerd")?,
        args: vec!["--config".to_owned(), config.display().to_string()],
        environment: Vec::new(),
        network: node.network.clone(),
    })
}

fn config_text(layout: &NodeLayout) -> String {
    let path = |path: std::path::PathBuf| format!("{:?}", path.display().to_string());
    format!(
        "# Written by cargo xtask up: a containerd that shares nothing with another one.\n\
         version = 2\n\
         root = {root}\n\
         state = {state}\n\
         # The kubelet speaks containerd's own API; the other snapshotters would only look for their file systems.\n\
         disabled_plugins = [\n\
         \x20 \"io.containerd.grpc.v1.cri\",\n\
         \x20 \"io.containerd.internal.v1.opt\",\n\
         \x20 \"io.containerd.snapshotter.v1.aufs\",\n\
         \x20 \"io.containerd.snapshotter.v1.btrfs\",\n\
         \x20 \"io.containerd.snapshotter.v1.devmapper\",\n\
         \x20 \"io.containerd.snapshotter.v1.zfs\",\n\
         \x20 \"io.containerd.tracing.processor.v1.otlp\",\n\
         \x20 \"io.containerd.internal.v1.tracing\",\n\
         ]\n\
         \n\
         [grpc]\n\
         address = {socket}\n",
        root = path(layout.containerd_root()),
        state = path(layout.containerd_state()),
        socket = path(layout.containerd_socket()),
    )
}

/// Waits until containerd answers.
pub fn wait_ready(layout: &NodeLayout, limit: Duration) -> Result<()> {
    wait::until("containerd to answer", limit, || ctr(layout, &["version"]).map(|_| Some(())))
}

/// Imports an OCI archive and gives it its name, unless the image of that name has this digest already.
pub fn import(layout: &NodeLayout, archive: &Path, reference: &str, digest: &str) -> Result<bool> {
    let known = ctr(layout, &["images", "ls", &format!("name=={reference}")])?;
    if known.contains(digest) {
        return Ok(false);
    }
    ctr(layout, &["images", "import", &archive.display().to_string()])
        .with_context(|| format!("importing {reference}"))?;
    Ok(true)
}

/// Runs containerd's own client on a node's containerd.
pub fn ctr(layout: &NodeLayout, args: &[&str]) -> Result<String> {
    let socket = layout.containerd_socket().display().to_string();
    let common = ["--address", &socket, "--namespace", NAMESPACE, "--connect-timeout", "2s"];
    process::run("ctr", common.iter().chain(args).copied())
}
