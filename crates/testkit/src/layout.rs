//! Where a cluster's files lie below its directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::pki::{Pki, write_whole};
use crate::process::Processes;
use crate::settings::{Node, Settings};

/// The directory of one cluster.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout below `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings of the cluster; its presence marks the directory as ours.
    pub fn settings_file(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }

    /// The administrator's kubeconfig.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// The kubeconfig of a process.
    pub fn kubeconfig(&self, process: &str) -> PathBuf {
        self.dir.join("kubeconfig").join(format!("{process}.kubeconfig"))
    }

    /// Certificates and keys.
    pub fn pki(&self) -> Pki {
        Pki::new(self.dir.join("pki"))
    }

    /// Records and logs of processes.
    pub fn processes(&self) -> Processes {
        Processes::new(self.dir.join("run"), self.dir.join("log"))
    }

    /// The store's data.
    pub fn store_data(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Images that we made.
    pub fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    /// What belongs to one node.
    pub fn node(&self, node: &Node) -> NodeLayout {
        NodeLayout { dir: self.dir.join("nodes").join(&node.name) }
    }

    /// Writes the settings.
    pub fn save(&self, settings: &Settings) -> Result<()> {
        std::fs::create_dir_all(&self.dir).with_context(|| format!("creating {}", self.dir.display()))?;
        write_whole(&self.settings_file(), &serde_json::to_vec_pretty(settings)?, 0o644)
    }

    /// Reads the settings of the cluster that lies here, if one does.
    pub fn load(&self) -> Result<Option<Settings>> {
        let file = self.settings_file();
        match std::fs::read(&file) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }
}

/// The directory of one node.
#[derive(Debug, Clone)]
pub struct NodeLayout {
    dir: PathBuf,
}

impl NodeLayout {
    /// The kubelet's root directory.
    pub fn kubelet(&self) -> PathBuf {
        self.dir.join("kubelet")
    }

    /// containerd's persistent root.
    pub fn containerd_root(&self) -> PathBuf {
        self.dir.join("containerd/root")
    }

    /// containerd's run state, gone after a power cut.
    pub fn containerd_state(&self) -> PathBuf {
        self.dir.join("containerd/state")
    }

    /// containerd's configuration file.
    pub fn containerd_config(&self) -> PathBuf {
        self.dir.join("containerd/config.toml")
    }

    /// containerd's socket.
    pub fn containerd_socket(&self) -> PathBuf {
        self.dir.join("containerd/containerd.sock")
    }

    /// Container logs, by pod.
    pub fn pod_logs(&self) -> PathBuf {
        self.dir.join("pod-logs")
    }
}
