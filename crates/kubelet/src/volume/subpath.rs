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

/// Pins what `resolve` found: bound by descriptor, so a symlink that is swapped in later changes nothing.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    let file = File::open(source)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
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
