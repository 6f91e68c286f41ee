//! Where a cluster's files lie below its directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::pki::{Pki, write_whole};
use crate::process::Processes;
use crate::settings::{Node, Settings};

/// Everything that a cluster keeps in its directory; the settings are the last to go.
const NAMES: [&str; 9] =
    ["kubeconfig", "pki", "run", "log", "store", "images", "nodes", "admin.kubeconfig", "cluster.json"];

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

    /// What lies below `nodes`.
    pub fn nodes(&self) -> Vec<NodeLayout> {
        let entries = std::fs::read_dir(self.dir.join("nodes")).into_iter().flatten();
        entries.filter_map(|entry| Some(NodeLayout { dir: entry.ok()?.path() })).collect()
    }

    /// What lies in the directory and is not a cluster's.
    pub fn foreign(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut foreign: Vec<String> =
            names.filter(|name| !NAMES.contains(&name.strip_suffix(".new").unwrap_or(name))).collect();
        foreign.sort();
        foreign
    }

    /// Refuses a directory that holds other things and no cluster: `down` would have to know them apart.
    pub fn refuse_foreign(&self) -> Result<()> {
        let foreign = self.foreign();
        if self.settings_file().exists() || foreign.is_empty() {
            return Ok(());
        }
        bail!(
            "{} holds {} and no cluster: name an empty or a new folder with --dir",
            self.dir.display(),
            foreign[..foreign.len().min(3)].join(", ")
        )
    }

    /// Removes what a cluster keeps here, and the directory if nothing else is in it; gives what else is.
    pub fn remove(&self) -> Result<Vec<String>> {
        for name in NAMES.into_iter().flat_map(|name| [format!("{name}.new"), name.to_owned()]) {
            let path = self.dir.join(name);
            let removed = match path.symlink_metadata() {
                Ok(data) if data.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
                Err(_) => Ok(()),
            };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        let left = self.foreign();
        if left.is_empty() {
            std::fs::remove_dir(&self.dir).with_context(|| format!("removing {}", self.dir.display()))?;
        }
        Ok(left)
    }

    /// Writes the settings.
    pub fn save(&self, settings: &Settings) -> Result<()> {
        std::fs::create_dir_all(&self.dir).with_context(|| format!("creating {}", self.dir.display()))?;
        write_whole(&self.settings_file(), &serde_json::to_vec_pretty(settings)?, 0o644)
    }

    /// Reads the settings of the cluster that lies here, if one does.
    pub fn load(&self) -> Result<Option<Settings>> {
        let file = self.settings_file();
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let settings: Settings = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged; `cargo xtask down --dir {}` removes the cluster",
                file.display(),
                self.dir.display()
            )
        })?;
        let real = |dir: &Path| dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        if real(&settings.dir) != real(&self.dir) {
            bail!(
                "{} was copied or moved: it describes the cluster in {}, whose processes and mounts bear that name",
                file.display(),
                settings.dir.display()
            );
        }
        Ok(Some(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(dir: &Path) -> Layout {
        let layout = Layout::new(dir);
        let node = Node { name: "one".to_owned(), address: std::net::Ipv4Addr::LOCALHOST.into(), network: None };
        layout.save(&Settings::new(dir.to_owned(), "/programs".into(), node)).unwrap();
        layout
    }

    #[test]
    fn a_folder_of_somebody_elses_is_refused_and_never_emptied() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();
        let error = Layout::new(folder.path()).refuse_foreign().unwrap_err().to_string();
        assert!(error.contains("thesis.tex") && error.contains("--dir"), "{error}");
        let layout = cluster(folder.path());
        layout.refuse_foreign().unwrap();
        std::fs::create_dir_all(folder.path().join("nodes/one/kubelet")).unwrap();
        assert_eq!(layout.remove().unwrap(), ["thesis.tex"]);
        assert!(folder.path().join("thesis.tex").exists() && !folder.path().join("nodes").exists());
    }

    #[test]
    fn an_empty_folder_and_the_start_of_a_cluster_are_welcome() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        Layout::new(&dir).refuse_foreign().unwrap();
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("cluster.json.new"), "{").unwrap();
        Layout::new(&dir).refuse_foreign().unwrap();
        let layout = cluster(&dir);
        assert!(layout.remove().unwrap().is_empty() && !dir.exists());
    }

    #[test]
    fn a_copied_cluster_is_not_taken_for_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        cluster(&one);
        std::fs::create_dir(&two).unwrap();
        std::fs::copy(one.join("cluster.json"), two.join("cluster.json")).unwrap();
        assert!(Layout::new(&one).load().unwrap().is_some());
        let error = Layout::new(&two).load().unwrap_err().to_string();
        assert!(error.contains("copied") && error.contains("one"), "{error}");
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
