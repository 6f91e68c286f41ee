//! What a cluster leaves on a machine besides its recorded processes: shims, containers, mounts, cgroups, links, tables.
//!
//! Found by marks that no other program bears (paths below the cluster's directory), so a crashed run is cleaned up
//! as thoroughly as an orderly one, and nobody else's things are touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};

use crate::containerd::{NAMESPACE, SHIM_SOCKETS};
use crate::flags;
use crate::layout::Layout;
use crate::namespace;
use crate::process;
use crate::settings::{Node, Settings};
use crate::wait;

/// The interfaces that the kubelet's embedded network makes on a node.
pub const INTERFACES: [&str; 2] = ["keelson", "kln"];
/// nftables tables of ours begin with this.
const TABLE_PREFIX: &str = "keelson";
/// How long the kernel may take to free a cgroup whose processes died.
const CGROUP_LIMIT: Duration = Duration::from_secs(5);

/// What was found and removed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Processes that no record names.
    pub processes: usize,
    /// Mounts.
    pub mounts: usize,
    /// Network interfaces.
    pub interfaces: usize,
    /// nftables tables.
    pub tables: usize,
    /// cgroups.
    pub cgroups: usize,
}

impl std::fmt::Display for Removed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "removed {} container processes, {} mounts, {} interfaces, {} nftables tables, {} cgroups",
            self.processes, self.mounts, self.interfaces, self.tables, self.cgroups
        )
    }
}

/// Processes of ours below the cluster's directory: shims, log writers, unrecorded daemons, and what they run.
pub fn processes(dir: &Path) -> Vec<i32> {
    let mark = format!("{}/", dir.display());
    let mut found = Vec::new();
    for (pid, args) in process::all() {
        let Some(program) = args.first().and_then(|program| program.rsplit('/').next()) else { continue };
        let ours = program.starts_with("keelson-") || program.starts_with("containerd");
        if ours && args.iter().skip(1).any(|arg| arg.contains(&mark)) {
            found.extend(process::descendants(pid));
            found.push(pid);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Mount points below `dir`, the latest first.
pub fn mounts(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> =
        table.lines().filter_map(mount_point).filter(|point| point.starts_with(dir)).collect();
    found.reverse();
    found
}

/// The kernel writes spaces and the like in octal.
fn mount_point(line: &str) -> Option<PathBuf> {
    let text = line.split(' ').nth(4)?;
    Some(PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")))
}

/// Removes everything but the files: what a reboot would remove, and what containers are made of.
pub fn remove(settings: &Settings, layout: &Layout) -> Result<Removed> {
    let mut removed = Removed::default();
    let found = processes(&settings.dir);
    removed.processes = found.len();
    process::kill_all(&found)?;
    for point in mounts(&settings.dir) {
        umount2(&point, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", point.display()))?;
        removed.mounts += 1;
    }
    for node in &settings.nodes {
        forget_containers(layout, node)?;
        removed.cgroups += remove_cgroups(&flags::cgroup_root(settings, node))?;
        if node.network.as_deref().is_none_or(|network| namespace::path(network).exists()) {
            removed.interfaces += remove_interfaces(node)?;
            removed.tables += remove_tables(node)?;
        }
    }
    Ok(removed)
}

/// Removes what runc and the shims keep outside containerd's state.
fn forget_containers(layout: &Layout, node: &Node) -> Result<()> {
    let files = layout.node(node);
    let tasks = files.containerd_state().join("io.containerd.runtime.v2.task").join(NAMESPACE);
    for entry in fs::read_dir(&tasks).into_iter().flatten() {
        let id = entry?.file_name().to_string_lossy().into_owned();
        let _ = fs::remove_dir_all(Path::new("/run/containerd/runc").join(NAMESPACE).join(&id));
        // One shim may serve several containers, so its socket is read from what containerd noted.
        let noted = fs::read_to_string(tasks.join(&id).join("address")).unwrap_or_default();
        if let Some(socket) = noted.trim().strip_prefix("unix://").filter(|socket| socket.starts_with(SHIM_SOCKETS)) {
            let _ = fs::remove_file(socket);
        }
    }
    match fs::remove_dir_all(files.containerd_state()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", files.containerd_state().display()))
        }
        _ => Ok(()),
    }
}

/// Removes a cgroup and all below it, in every hierarchy.
fn remove_cgroups(root: &str) -> Result<usize> {
    let name = root.trim_start_matches('/');
    let mut removed = 0;
    let mut places = vec![PathBuf::from("/sys/fs/cgroup").join(name)];
    for entry in fs::read_dir("/sys/fs/cgroup").into_iter().flatten() {
        places.push(entry?.path().join(name));
    }
    for place in places.into_iter().filter(|place| place.is_dir()) {
        removed += remove_cgroup(&place)?;
    }
    Ok(removed)
}

fn remove_cgroup(place: &Path) -> Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(place).into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += remove_cgroup(&entry.path())?;
        }
    }
    wait::until(&format!("the cgroup {} to be free", place.display()), CGROUP_LIMIT, || match fs::remove_dir(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(Some(())),
    })?;
    Ok(removed + 1)
}

fn remove_interfaces(node: &Node) -> Result<usize> {
    let network: Vec<&str> = node.network.iter().flat_map(|network| ["-n", network]).collect();
    let text = process::run("ip", network.iter().copied().chain(["-j", "link", "show"]))?;
    let links: serde_json::Value = serde_json::from_str(&text).context("reading what `ip -j link` wrote")?;
    let ours = |link: &serde_json::Value, field: &str| {
        let name = link.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
        INTERFACES.iter().any(|prefix| name.starts_with(prefix))
    };
    let links = links.as_array().into_iter().flatten();
    // Pods' ends are known by the bridge they are plugged into.
    let names = links
        .filter(|link| ours(link, "ifname") || ours(link, "master"))
        .filter_map(|link| link.get("ifname")?.as_str());
    let mut removed = 0;
    for name in names {
        // The other end of a pair goes with the first.
        if process::run("ip", network.iter().copied().chain(["link", "delete", name])).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

fn remove_tables(node: &Node) -> Result<usize> {
    let nft = |args: &[&str]| match &node.network {
        Some(network) => {
            let net = format!("--net={}", namespace::path(network).display());
            process::run("nsenter", [net.as_str(), "nft"].iter().chain(args).copied())
        }
        None => process::run("nft", args.iter().copied()),
    };
    let mut removed = 0;
    for line in nft(&["list", "tables"])?.lines() {
        if let ["table", family, name] = line.split_whitespace().collect::<Vec<_>>()[..]
            && name.starts_with(TABLE_PREFIX)
        {
            nft(&["delete", "table", family, name])?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_space_is_read() {
        let line = r"36 35 98:0 /a /mnt/a\040b rw,noatime master:1 - ext4 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/a b")));
    }

    #[test]
    fn nothing_of_another_program_counts_as_ours() {
        let folder = tempfile::tempdir().unwrap();
        assert!(processes(folder.path()).is_empty());
        assert!(mounts(folder.path()).is_empty());
    }
}
