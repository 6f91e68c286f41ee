//! A small file system of its own, to be filled. Needs root (mount).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// A file system in memory; unmounted when dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    pub fn mount(at: &Path, size: &str) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "keelson-test"]).arg(at).status()?;
        ensure!(mounted.success(), "mounting a tmpfs failed: this test needs root");
        Ok(Self(at.to_owned()))
    }

    /// Fills the file system up to `left` bytes; removing the file makes room again.
    pub fn fill(&self, left: u64) -> Result<PathBuf> {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path)?;
        while file.write(&[1; 4096]).is_ok() {}
        let size = file.metadata()?.len();
        file.set_len(size.saturating_sub(left))?;
        Ok(path)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
