//! Namespaces that live without a process: made on a thread of their own and pinned by bind mounts.
//!
//! A pinned namespace survives the process that made it; it is gone after a reboot, when its file is an ordinary
//! empty file again ([`is_pinned`] tells).

use std::fs::File;
use std::path::Path;
use std::thread;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::{Error, Result, at, at_errno, call};

/// The magic number of nsfs, the file system that namespace files live on.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Which namespaces a pod has of its own; the others are the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unshare {
    pub net: bool,
    pub ipc: bool,
    pub uts: bool,
    /// Set in the new UTS namespace.
    pub hostname: Option<String>,
    /// Path below `/proc/sys` (dots as slashes) and value, written inside the new namespaces.
    pub sysctls: Vec<(String, String)>,
}

/// Makes namespaces and pins each at `dir/net`, `dir/ipc`, `dir/uts`. `inside` runs in them before the thread ends.
pub fn create<R: Send>(dir: &Path, what: &Unshare, inside: impl FnOnce() -> R + Send) -> Result<R> {
    std::fs::create_dir_all(dir).map_err(at("make directory", dir))?;
    on_thread(|| {
        let mut flags = CloneFlags::empty();
        flags.set(CloneFlags::CLONE_NEWNET, what.net);
        flags.set(CloneFlags::CLONE_NEWIPC, what.ipc);
        flags.set(CloneFlags::CLONE_NEWUTS, what.uts);
        nix::sched::unshare(flags).map_err(call("unshare namespaces"))?;
        if let (true, Some(name)) = (what.uts, &what.hostname) {
            nix::unistd::sethostname(name).map_err(call("set hostname"))?;
        }
        for (key, value) in &what.sysctls {
            let path = Path::new("/proc/sys").join(key.replace('.', "/"));
            std::fs::write(&path, value).map_err(at("write sysctl", &path))?;
        }
        for (wanted, name) in [(what.net, "net"), (what.ipc, "ipc"), (what.uts, "uts")] {
            if wanted {
                pin(&Path::new("/proc/thread-self/ns").join(name), &dir.join(name))?;
            }
        }
        Ok(inside())
    })
}

fn pin(from: &Path, to: &Path) -> Result<()> {
    File::create(to).map_err(at("create", to))?;
    nix::mount::mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(at_errno("pin namespace at", to))
}

/// Whether the file is a pinned namespace, and not what a reboot left of it.
#[allow(clippy::unnecessary_cast)] // the type differs between targets; the magic fits all of them
pub fn is_pinned(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|fs| fs.filesystem_type().0 as i64 == NSFS_MAGIC)
}

/// Lets go of a pinned namespace and removes its file. Fine when it is gone already.
pub fn unpin(path: &Path) -> Result<()> {
    while is_pinned(path) {
        nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH).map_err(at_errno("unpin namespace", path))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Runs `inside` on a thread that has joined the network namespace at `path`.
pub fn in_network<R: Send>(path: &Path, inside: impl FnOnce() -> R + Send) -> Result<R> {
    let file = File::open(path).map_err(at("open network namespace", path))?;
    on_thread(move || {
        nix::sched::setns(&file, CloneFlags::CLONE_NEWNET).map_err(at_errno("join network namespace", path))?;
        Ok(inside())
    })
}

/// A thread of its own, because a namespace change cannot be undone on a runtime's worker.
fn on_thread<R: Send>(body: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("namespace".into())
            .stack_size(256 * 1024)
            .spawn_scoped(scope, body)
            .map_err(Error::Thread)?
            .join()
            .map_err(|_| Error::Panicked)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_namespace_outlives_its_maker_and_can_be_joined() {
        let dir = tempfile::tempdir().unwrap();
        let what = Unshare {
            net: true,
            ipc: true,
            uts: true,
            hostname: Some("pod-1".into()),
            sysctls: vec![("net.ipv4.ip_unprivileged_port_start".into(), "0".into())],
        };
        let inside = create(dir.path(), &what, || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap())
            .expect("needs root (CAP_SYS_ADMIN)");
        assert_eq!(inside.trim(), "pod-1");
        assert!(is_pinned(&dir.path().join("net")));
        let port = in_network(&dir.path().join("net"), || {
            std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap()
        });
        assert_eq!(port.unwrap().trim(), "0");
        for name in ["net", "ipc", "uts"] {
            unpin(&dir.path().join(name)).unwrap();
            unpin(&dir.path().join(name)).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_ordinary_file_is_not_pinned() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_pinned(file.path()));
    }
}
