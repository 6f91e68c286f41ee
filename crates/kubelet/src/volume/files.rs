//! Files of a volume that change all at once: written beside, then switched to by one rename of a symlink.
//!
//! As upstream lays them out: `..data` points at a folder named by its time, each name at the top points into `..data`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path};

/// A file's content and mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub bytes: Vec<u8>,
    pub mode: u32,
    /// Whose file it is; None: root's.
    pub owner: Option<u32>,
}

/// Files by their path in the volume.
pub type Files = BTreeMap<String, Entry>;

const DATA: &str = "..data";

/// Makes the volume hold exactly these files. Returns whether anything changed.
pub fn write(dir: &Path, files: &Files, group: Option<u32>) -> io::Result<bool> {
    for path in files.keys() {
        check(path)?;
    }
    let data = dir.join(DATA);
    if fs::read_link(&data).is_ok() && holds(&data, files) {
        return Ok(false);
    }
    let fresh_name = format!("..{}", crate::time::rfc3339_nanos(crate::time::now()).replace(['-', ':', 'T', 'Z'], "_"));
    let fresh = dir.join(&fresh_name);
    if let Err(error) = fill(&fresh, files, group) {
        // A full disk, most likely: half a volume would only fill it more.
        let _ = fs::remove_dir_all(&fresh);
        return Err(error);
    }
    let switch = dir.join("..data_tmp");
    let _ = fs::remove_file(&switch);
    symlink(&fresh_name, &switch)?;
    fs::rename(&switch, &data)?;
    let tops: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for top in &tops {
        let link = dir.join(top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(top), &link)?;
        }
    }
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let stale = !name.starts_with("..") && !tops.contains(name.as_str());
        if stale && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
        // What was shown before, and what a kubelet that was killed left half made.
        if name.starts_with("..") && name != fresh_name && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(true)
}

/// Writes the files into a folder of their own.
fn fill(fresh: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(fresh)?;
    fs::set_permissions(fresh, fs::Permissions::from_mode(0o755))?;
    for (path, entry) in files {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &entry.bytes)?;
        // A group that owns the volume may read it, whatever the mode says.
        let mode = if group.is_some() { entry.mode | 0o440 } else { entry.mode };
        chown(&target, entry.owner, group)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn check(path: &str) -> io::Result<()> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if inside && !path.is_empty() && !path.starts_with("..") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {path:?} in a volume")))
}

/// Whether the folder holds exactly these files.
fn holds(data: &Path, files: &Files) -> bool {
    fn count(dir: &Path) -> usize {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
    }
    count(data) == files.len()
        && files.iter().all(|(path, entry)| fs::read(data.join(path)).is_ok_and(|bytes| bytes == entry.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        let entry = |text: &str| Entry { bytes: text.into(), mode: 0o640, owner: None };
        list.iter().map(|(path, text)| ((*path).to_owned(), entry(text))).collect()
    }

    #[test]
    fn files_change_all_at_once_and_stale_names_go() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(dir.path(), &files(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert!(!write(dir.path(), &files(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        let open = fs::File::open(dir.path().join("..data")).unwrap();
        assert!(write(dir.path(), &files(&[("a", "3"), ("c", "4")]), None).unwrap());
        drop(open);
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "3");
        assert!(!dir.path().join("d").exists());
        let hidden = fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_str().unwrap().starts_with("..2"));
        assert_eq!(hidden.count(), 1);
    }

    #[test]
    fn what_a_killed_kubelet_left_behind_goes_with_the_next_change() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &files(&[("a", "1")]), None).unwrap();
        fs::create_dir(dir.path().join("..1999_half_made")).unwrap();
        // Even what was shown before may be gone.
        fs::remove_dir_all(dir.path().join(fs::read_link(dir.path().join("..data")).unwrap())).unwrap();
        assert!(write(dir.path(), &files(&[("a", "2")]), None).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "2");
        assert!(!dir.path().join("..1999_half_made").exists());
    }

    #[test]
    fn a_file_belongs_to_its_owner() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry { bytes: b"t".to_vec(), mode: 0o600, owner: Some(1000) };
        write(dir.path(), &Files::from([("token".to_owned(), entry)]), None).expect("needs root");
        let meta = fs::metadata(dir.path().join("token")).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (1000, 0o600));
    }

    #[test]
    fn a_path_that_leaves_the_volume_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "a/../../x", "/x", "..x", ""] {
            assert!(write(dir.path(), &files(&[(path, "")]), None).is_err(), "{path}");
        }
    }
}
