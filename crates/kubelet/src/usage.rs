//! Measures what a pod has on the node's disk: its volumes and logs file by file, root file systems by containerd.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proto::core::v1::Pod;

use crate::eviction::{Usage, is_on_disk};
use crate::node_context::Node;
use crate::pod::members;
use crate::volume::prepare::location;

/// What `stat` counts blocks in, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// Measures the pod. `runs` are its containers that run, with their ids. What cannot be read is not there.
pub async fn measure(node: &Node, pod: &Pod, runs: &BTreeMap<String, String>) -> Usage {
    let (volumes, logs) = folders(node, pod);
    let walked = tokio::task::spawn_blocking(move || (sizes(volumes), sizes(logs))).await;
    let (volumes, mut containers) = walked.unwrap_or_default();
    for (name, id) in runs {
        match node.containerd.layer_bytes(id).await {
            Ok(bytes) => *containers.entry(name.clone()).or_default() += bytes,
            Err(error) => tracing::debug!(container = name, %error, "a root file system is not measured"),
        }
    }
    Usage { volumes, containers }
}

type Folders = Vec<(String, PathBuf)>;

/// The folders of volumes and of logs.
fn folders(node: &Node, pod: &Pod) -> (Folders, Folders) {
    let (meta, paths) = (&pod.metadata, node.paths.pod(&pod.metadata.uid));
    let logs = node.paths.pod_logs(&meta.namespace, &meta.name, &meta.uid);
    let volumes = pod.spec.volumes.iter().filter(|volume| is_on_disk(volume));
    (
        volumes.map(|volume| (volume.name.clone(), location(&paths, volume))).collect(),
        members(pod).map(|member| (member.container.name.clone(), logs.join(&member.container.name))).collect(),
    )
}

fn sizes(folders: Folders) -> BTreeMap<String, u64> {
    folders.into_iter().map(|(name, folder)| (name, disk_bytes(&folder))).collect()
}

/// What the folder and all below it take on their disk: holes are not counted, a file of several names once, nothing of
/// another file system, and no symlink is followed.
fn disk_bytes(folder: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(folder) else { return 0 };
    let mut bytes = 0_u64;
    let mut linked = HashSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != top.dev() || (!meta.is_dir() && meta.nlink() > 1 && !linked.insert(meta.ino())) {
                continue;
            }
            bytes = bytes.saturating_add(meta.blocks().saturating_mul(BLOCK_BYTES));
            if meta.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of whole pages, which every file system gives whole blocks.
    const PART: u64 = 64 << 10;

    fn write(path: &Path) {
        fs::write(path, vec![7; PART as usize]).unwrap();
        fs::File::open(path).unwrap().sync_all().unwrap();
    }

    #[test]
    fn files_count_by_what_they_take_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let empty = disk_bytes(dir.path());
        fs::create_dir(dir.path().join("below")).unwrap();
        let before = disk_bytes(dir.path());
        assert!(empty <= before && before < PART);
        write(&dir.path().join("below/one"));
        let one = disk_bytes(dir.path());
        assert!((PART..2 * PART).contains(&(one - before)), "{one} after {before}");
        fs::hard_link(dir.path().join("below/one"), dir.path().join("two")).unwrap();
        assert_eq!(disk_bytes(dir.path()), one);
        fs::File::create(dir.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        assert!(disk_bytes(dir.path()) < one + PART);
    }

    #[test]
    fn symlinks_lead_nowhere() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(&other.path().join("large"));
        std::os::unix::fs::symlink(other.path(), dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(other.path().join("large"), dir.path().join("file")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("circle")).unwrap();
        assert!(disk_bytes(dir.path()) < PART);
    }

    #[test]
    fn what_is_not_there_takes_nothing() {
        assert_eq!(disk_bytes(Path::new("/nowhere/at/all")), 0);
    }
}
