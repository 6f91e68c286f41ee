//! Mounts for pods: tmpfs, binds, and taking away whatever is mounted below a directory.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};

use crate::{Result, at, at_errno};

/// Mounts a tmpfs. `size_bytes` None leaves the kernel's default (half of memory).
pub fn tmpfs(target: &Path, size_bytes: Option<u64>, mode: u32) -> Result<()> {
    std::fs::create_dir_all(target).map_err(at("make directory", target))?;
    let mut options = format!("mode={mode:o}");
    if let Some(size) = size_bytes {
        options.push_str(&format!(",size={size}"));
    }
    nix::mount::mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options.as_str()),
    )
    .map_err(at_errno("mount tmpfs at", target))
}

/// Mounts `source` at `target` too; the target must exist.
pub fn bind(source: &Path, target: &Path, read_only: bool) -> Result<()> {
    nix::mount::mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(at_errno("bind mount at", target))?;
    if read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        nix::mount::mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
            .map_err(at_errno("remount read-only", target))?;
    }
    Ok(())
}

/// Binds an open file (by its descriptor) at `target`, so that no name on the way can be swapped meanwhile.
pub fn bind_fd(fd: &impl std::os::fd::AsRawFd, target: &Path) -> Result<()> {
    let source = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    bind(&source, target, false)
}

/// Whether something of another device is mounted at the folder. A bind of the same file system does not show.
pub fn is_mount_point(dir: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).map_err(at("look at", path));
    Ok(device(dir)? != device(&dir.join(".."))?)
}

/// Every mount point at or below `dir`, the deepest first.
pub fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(at("read", "/proc/self/mountinfo"))?;
    let mut found = points(&table, dir);
    found.reverse();
    Ok(found)
}

/// The mount points in a mountinfo table at or below `dir`, in the order in which they were made.
fn points(table: &str, dir: &Path) -> Vec<PathBuf> {
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|path| path.starts_with(dir))
        .collect()
}

/// mountinfo writes space, tab, newline and backslash as octal escapes.
fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(code as char);
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Unmounts everything at or below `dir`.
pub fn unmount_all(dir: &Path) -> Result<()> {
    for point in below(dir)? {
        nix::mount::umount2(&point, MntFlags::MNT_DETACH).map_err(at_errno("unmount", point))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_below_a_directory_only_and_unescaped() {
        let table = "25 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     30 25 0:40 / /a/b rw - tmpfs t rw\n\
                     31 25 0:41 / /a/b\\040c rw - tmpfs t rw\n\
                     32 30 0:42 / /a/b/d rw - tmpfs t rw\n";
        assert_eq!(points(table, Path::new("/a/b")), [Path::new("/a/b"), Path::new("/a/b/d")]);
        assert_eq!(points(table, Path::new("/a/b c")), [Path::new("/a/b c")]);
    }

    #[test]
    fn a_tmpfs_and_a_bind_below_it_go_away_together() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (one, two) = (root.join("one"), root.join("one/two"));
        tmpfs(&one, Some(1 << 20), 0o755).expect("needs root (CAP_SYS_ADMIN)");
        std::fs::create_dir(&two).unwrap();
        bind(&one, &two, true).unwrap();
        assert!(std::fs::write(two.join("x"), "x").is_err());
        assert_eq!(below(&root).unwrap().len(), 2);
        assert!(is_mount_point(&one).unwrap() && !is_mount_point(&two).unwrap());
        unmount_all(&root).unwrap();
        assert!(below(&root).unwrap().is_empty());
    }
}
