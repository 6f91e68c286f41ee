//! The host's devices, for privileged containers.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::runtime::spec::Device;

/// What lives in /dev but is a world of its own in each container.
const SKIPPED: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"];

/// Every device node below /dev.
pub fn host() -> Vec<Device> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), &mut found);
    found
}

fn walk(dir: &Path, found: &mut Vec<Device>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(meta) = entry.metadata() else { continue };
        let kind = meta.file_type();
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            walk(&entry.path(), found);
        }
        // The console is the container's own.
        if (kind.is_char_device() || kind.is_block_device()) && name != "console" {
            let number = meta.rdev();
            found.push(Device {
                path: entry.path().to_string_lossy().into_owned(),
                kind: if kind.is_char_device() { "c" } else { "b" },
                major: nix::sys::stat::major(number),
                minor: nix::sys::stat::minor(number),
                mode: meta.mode() & 0o7777,
            });
        }
    }
}
