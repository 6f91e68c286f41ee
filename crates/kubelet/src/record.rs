//! A pod's record on disk: what a restarted kubelet goes on from.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use proto::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::observed::ObservedPod;
use crate::paths::PodPaths;
use crate::pod::{DesiredPod, Ending};

/// A longer file is begun anew.
const RECORDS_BYTES_MAX: u64 = 256 << 10;

#[derive(Serialize, Deserialize)]
struct Record {
    ending: Option<Ending>,
    gone: bool,
    observed: ObservedPod,
}

/// Writes what is known. Not synced: after a power cut nothing of the pod runs, and the API has the rest.
pub fn save(paths: &PodPaths, desired: &DesiredPod, observed: &ObservedPod) -> io::Result<()> {
    let record = Record { ending: desired.ending.clone(), gone: desired.gone, observed: observed.clone() };
    append(&paths.record(), &serde_json::to_vec(&record)?)
}

/// One record more. The last whole line counts: a file of its own for each change costs more than all the rest of it.
fn append(path: &Path, record: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.len() > RECORDS_BYTES_MAX {
        return replace(path, record);
    }
    // A line that a kill cut short is ended first, so that it spoils nothing but itself.
    file.write_all(&[b"\n", record, b"\n"].concat())
}

/// The newest record that is whole.
fn newest(records: &[u8]) -> Option<Record> {
    records.rsplit(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice(line).ok())
}

/// Whether a newer object says what a restarted kubelet must know. Most changes are echoes of the status that this kubelet
/// wrote, and a file made anew for each is dear: a file system searches past the names that were removed of late.
pub fn differs(old: &Pod, new: &Pod) -> bool {
    let (mine, theirs) = (&old.metadata, &new.metadata);
    old.spec != new.spec
        || is_over(old) != is_over(new)
        || mine.labels != theirs.labels
        || mine.annotations != theirs.annotations
        || mine.finalizers != theirs.finalizers
        || mine.generation != theirs.generation
        || mine.deletion_timestamp != theirs.deletion_timestamp
        || mine.deletion_grace_period_seconds != theirs.deletion_grace_period_seconds
}

fn is_over(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
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
    let observed = match fs::read(paths.record()).ok().and_then(|bytes| newest(&bytes)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(gone: bool) -> Vec<u8> {
        let record = Record { ending: None, gone, observed: ObservedPod::default() };
        serde_json::to_vec(&record).unwrap()
    }

    #[test]
    fn an_echo_of_the_status_is_not_written() {
        let old = Pod::default();
        let mut new = old.clone();
        new.status.phase = "Running".into();
        new.metadata.resource_version = "7".into();
        assert!(!differs(&old, &new));
        new.status.phase = "Failed".into();
        assert!(differs(&old, &new));
        let mut new = old.clone();
        new.metadata.labels.insert("a".into(), "b".into());
        assert!(differs(&old, &new));
        let mut new = old.clone();
        new.spec.containers.push(Default::default());
        assert!(differs(&old, &new));
    }

    #[test]
    fn the_last_whole_record_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        append(&path, &record(false)).unwrap();
        append(&path, &record(true)).unwrap();
        assert!(newest(&fs::read(&path).unwrap()).unwrap().gone);
    }

    #[test]
    fn a_record_that_was_cut_short_spoils_neither_the_one_before_nor_the_one_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        append(&path, &record(true)).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&record(false)[..9]).unwrap();
        assert!(newest(&fs::read(&path).unwrap()).unwrap().gone);
        append(&path, &record(false)).unwrap();
        assert!(!newest(&fs::read(&path).unwrap()).unwrap().gone);
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        let one = record(true);
        let most = RECORDS_BYTES_MAX as usize / one.len() + 2;
        (0..most).for_each(|_| append(&path, &one).unwrap());
        assert!(fs::metadata(&path).unwrap().len() < RECORDS_BYTES_MAX);
        assert!(newest(&fs::read(&path).unwrap()).is_some());
    }
}
