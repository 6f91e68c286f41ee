//! What a cluster leaves on a machine besides its recorded processes: shims, containers, mounts, cgroups, links, tables.
//!
//! Found by marks that no other program bears (paths below the cluster's directory, names made from it, and its claim on a
//! network), so a crashed run is cleaned up as thoroughly as an orderly one, and nobody else's things are touched. The
//! cluster's settings are not needed, so a directory whose `cluster.json` is damaged is cleaned up as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};

use crate::claim;
use crate::containerd::{NAMESPACE, SHIM_SOCKETS};
use crate::flags;
use crate::layout::{Layout, NodeLayout};
use crate::namespace;
use crate::process;
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
pub fn remove(layout: &Layout) -> Result<Removed> {
    let dir = layout.dir();
    let mut removed = Removed::default();
    let found = processes(dir);
    removed.processes = found.len();
    process::kill_all(&found)?;
    for point in mounts(dir) {
        umount2(&point, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", point.display()))?;
        removed.mounts += 1;
    }
    for node in layout.nodes() {
        forget_containers(&node)?;
    }
    removed.cgroups = remove_cgroups(&flags::cgroup_prefix(dir), &mut removed.processes)?;
    for network in claim::networks(dir) {
        let (interfaces, tables) = remove_network(network.as_deref())?;
        removed.interfaces += interfaces;
        removed.tables += tables;
    }
    claim::release(dir);
    Ok(removed)
}

/// Removes a node's links and tables from a network; gives how many of each. A namespace that is gone took them along.
pub fn remove_network(network: Option<&str>) -> Result<(usize, usize)> {
    if network.is_some_and(|network| !namespace::path(network).exists()) {
        return Ok((0, 0));
    }
    Ok((remove_interfaces(network)?, remove_tables(network)?))
}

/// Removes what runc and the shims keep outside containerd's state.
fn forget_containers(files: &NodeLayout) -> Result<()> {
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

/// Removes the cgroups whose names begin so, and all below them, in every hierarchy. What still runs in them is killed and
/// counted: containers whose shim died are known by nothing else.
fn remove_cgroups(prefix: &str, killed: &mut usize) -> Result<usize> {
    let mut removed = 0;
    for place in cgroups(prefix) {
        let left = members(&place);
        *killed += left.len();
        process::kill_all(&left)?;
        removed += remove_cgroup(&place)?;
    }
    Ok(removed)
}

/// The cgroups, in every hierarchy, whose names begin so.
pub fn cgroups(prefix: &str) -> Vec<PathBuf> {
    let folders = |place: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
    };
    // A hierarchy of v1 lies one folder deeper than the one of v2.
    let hierarchies = folders(Path::new("/sys/fs/cgroup"));
    let all = hierarchies.iter().flat_map(|place| folders(place)).chain(hierarchies.iter().cloned());
    all.filter(|place| place.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))).collect()
}

/// The processes in a cgroup and below it.
fn members(place: &Path) -> Vec<i32> {
    let text = fs::read_to_string(place.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(place).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(members(&entry.path()));
        }
    }
    found
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

fn remove_interfaces(network: Option<&str>) -> Result<usize> {
    let network: Vec<&str> = network.iter().flat_map(|network| ["-n", network]).collect();
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

fn remove_tables(network: Option<&str>) -> Result<usize> {
    let nft = |args: &[&str]| match network {
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
