//! The folder of what does not outlive a boot: one tmpfs of the node, in which pods have folders of their own.
//!
//! Pins, pipes and sockets mean nothing after a boot, and secrets must not reach a disk. In memory they also cost
//! next to nothing to make, where a journaling file system works for each.

use crate::paths::Paths;

/// Mounts the folder unless it is. Only root gets in: a container sees what is mounted into it.
pub fn mount(paths: &Paths) -> sys::Result<()> {
    let dir = paths.run();
    if !dir.is_dir() || !sys::mount::is_mount_point(&dir)? {
        sys::mount::tmpfs(&dir, None, 0o700)?;
    }
    Ok(())
}
