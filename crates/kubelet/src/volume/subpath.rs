//! subPath: a part of a volume, never anything outside of it.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Makes the path inside of the volume (folders, where it does not exist) and returns it with every symlink resolved;
/// refuses one that leads out of the volume.
pub fn resolve(volume: &Path, sub: &str) -> io::Result<PathBuf> {
    let refuse = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("subPath {sub:?} {why}"));
    let parts: Vec<_> = Path::new(sub).components().collect();
    if parts.iter().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(refuse("must be relative and must not contain '..'"));
    }
    let root = volume.canonicalize()?;
    let mut current = root.clone();
    for part in parts {
        current.push(part);
        match fs::symlink_metadata(&current) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&current)?,
            Err(error) => return Err(error),
        }
        current = current.canonicalize()?;
        if !current.starts_with(&root) {
            return Err(refuse("leads out of the volume"));
        }
    }
    Ok(current)
}

/// Pins what `resolve` found: bound by descriptor, so a symlink that is swapped in later changes nothing. What was
/// bound there for an earlier run is let go: the volume may have changed since.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    let file = File::open(source)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if let Ok(real) = target.canonicalize() {
        sys::mount::unmount_all(&real).map_err(io::Error::other)?;
        match target.is_dir() {
            true => fs::remove_dir(target)?,
            false => fs::remove_file(target)?,
        }
    }
    if file.metadata()?.is_dir() {
        fs::create_dir_all(target)?;
    } else {
        File::create(target)?;
    }
    sys::mount::bind_fd(&file, target).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_gets_what_is_there_then() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two, target) = (dir.path().join("one"), dir.path().join("two"), dir.path().join("t/0"));
        fs::write(&one, "1").unwrap();
        bind(&one, &target).expect("needs root (CAP_SYS_ADMIN)");
        // As a volume's update does it: a new file, the old one deleted.
        fs::write(dir.path().join("fresh"), "2").unwrap();
        fs::rename(dir.path().join("fresh"), &one).unwrap();
        fs::create_dir(&two).unwrap();
        bind(&one, &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "2");
        bind(&two, &target).unwrap();
        assert!(target.is_dir());
        sys::mount::unmount_all(&dir.path().canonicalize().unwrap()).unwrap();
    }

    #[test]
    fn a_missing_path_is_made_and_a_way_out_refused() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        fs::create_dir(&volume).unwrap();
        assert!(resolve(&volume, "a/b").unwrap().ends_with("v/a/b"));
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        std::os::unix::fs::symlink("a", volume.join("in")).unwrap();
        assert!(resolve(&volume, "in/b").unwrap().ends_with("v/a/b"));
        for sub in ["out", "out/passwd", "../x", "/etc"] {
            assert!(resolve(&volume, sub).is_err(), "{sub}");
        }
    }
}
