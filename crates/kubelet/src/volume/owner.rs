//! fsGroup: who may read and write a volume.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Gives a tree to a group: readable and writable, and new files inherit the group.
pub fn give(dir: &Path, group: u32, only_on_mismatch: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(dir)?;
    let right = meta.gid() == group && meta.permissions().mode() & 0o2070 == 0o2070;
    if only_on_mismatch && right {
        return Ok(());
    }
    walk(dir, group)
}

fn walk(path: &Path, group: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.file_type().is_symlink() {
        return std::os::unix::fs::lchown(path, None, Some(group));
    }
    chown(path, None, Some(group))?;
    let mode = meta.permissions().mode();
    let wanted = if meta.is_dir() { mode | 0o2770 } else { mode | 0o660 };
    fs::set_permissions(path, fs::Permissions::from_mode(wanted))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            walk(&entry?.path(), group)?;
        }
    }
    Ok(())
}
