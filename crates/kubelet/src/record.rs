//! A pod's record on disk: what a restarted kubelet goes on from.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use proto::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::observed::ObservedPod;
use crate::paths::PodPaths;
use crate::pod::{DesiredPod, Ending};

#[derive(Serialize, Deserialize)]
struct Record {
    ending: Option<Ending>,
    gone: bool,
    observed: ObservedPod,
}

/// Writes what is known. Not synced: after a power cut nothing of the pod runs, and the API has the rest.
pub fn save(paths: &PodPaths, desired: &DesiredPod, observed: &ObservedPod) -> io::Result<()> {
    let record = Record { ending: desired.ending.clone(), gone: desired.gone, observed: observed.clone() };
    replace(&paths.record(), &serde_json::to_vec(&record)?)
}

/// Writes the object itself.
pub fn save_object(paths: &PodPaths, pod: &Pod) -> io::Result<()> {
    fs::create_dir_all(&paths.dir)?;
    replace(&paths.object(), &pod.encode_to_vec())
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)?;
    fs::rename(&fresh, path)
}

/// Reads a pod back; None when the folder holds no whole record.
pub fn load(paths: &PodPaths) -> Option<(DesiredPod, ObservedPod)> {
    let pod = Pod::decode(fs::read(paths.object()).ok()?.as_slice()).ok()?;
    let mut desired = DesiredPod::new(Arc::new(pod));
    let observed = match fs::read(paths.record()).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok()) {
        Some(record) => {
            desired.ending = record.ending;
            desired.gone = record.gone;
            record.observed
        }
        None => ObservedPod::default(),
    };
    Some((desired, observed))
}

/// The uids of the pods that have a folder.
pub fn list(pods: &Path) -> Vec<String> {
    let entries = fs::read_dir(pods).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
