//! Cgroups of pods, version 1 and 2 by the same calls.
//!
//! Paths are relative to the hierarchy ("kubepods/burstable/podUID"). Version 1 has a directory per controller, all of
//! which get the same path; version 2 has one. The runtime makes the containers' own groups below.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Result, at};

/// Where cgroups are mounted by every distribution.
pub const MOUNT: &str = "/sys/fs/cgroup";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// What a group may use; None leaves the setting alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Relative weight, in version 1's unit (2 to 262144; 1024 is one CPU).
    pub cpu_shares: Option<u64>,
    /// CPU time in microseconds per 100 ms; negative for no limit.
    pub cpu_quota_us: Option<i64>,
    /// Bytes; negative for no limit.
    pub memory_max: Option<i64>,
    pub pids_max: Option<i64>,
}

/// The CPU period that quotas refer to, in microseconds.
pub const CPU_PERIOD_US: u64 = 100_000;

/// The mounted hierarchies.
#[derive(Clone, Debug)]
pub struct Cgroups {
    root: PathBuf,
    version: Version,
}

impl Cgroups {
    /// The hierarchy at `/sys/fs/cgroup`.
    pub fn detect() -> Self {
        Self::at(Path::new(MOUNT))
    }

    /// The hierarchy mounted at `root`; version 2 is known by its list of controllers at the root.
    pub fn at(root: &Path) -> Self {
        let version = match root.join("cgroup.controllers").exists() {
            true => Version::V2,
            false => Version::V1,
        };
        Self { root: root.to_owned(), version }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Makes the group, and its parents, and sets its limits.
    pub fn apply(&self, path: &str, limits: &Limits) -> Result<()> {
        for (dir, file, value) in self.settings(path, limits) {
            self.make(&dir)?;
            let file = dir.join(file);
            fs::write(&file, value).map_err(at("write", &file))?;
        }
        Ok(())
    }

    /// Makes a group's directory. In version 2 the parents must hand their controllers down first.
    fn make(&self, dir: &Path) -> Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if self.version == Version::V1 {
            return fs::create_dir_all(dir).map_err(at("make cgroup", dir));
        }
        let below = dir.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let mut current = self.root.clone();
        for part in below {
            let control = current.join("cgroup.subtree_control");
            fs::write(&control, "+cpu +memory +pids").map_err(at("write", &control))?;
            current.push(part);
            match fs::create_dir(&current) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(at("make cgroup", &current)(error));
                }
                _ => {}
            }
        }
        // The containers' groups below need the controllers as well.
        let control = current.join("cgroup.subtree_control");
        fs::write(&control, "+cpu +memory +pids").map_err(at("write", &control))
    }

    /// Which file gets which value: (group's directory, file, value).
    fn settings(&self, path: &str, limits: &Limits) -> Vec<(PathBuf, &'static str, String)> {
        let dir = |controller: &str| match self.version {
            Version::V1 => self.root.join(controller).join(path.trim_start_matches('/')),
            Version::V2 => self.root.join(path.trim_start_matches('/')),
        };
        let v1 = self.version == Version::V1;
        let mut out = Vec::new();
        if let Some(shares) = limits.cpu_shares {
            out.push(match v1 {
                true => (dir("cpu"), "cpu.shares", shares.to_string()),
                false => (dir(""), "cpu.weight", weight(shares).to_string()),
            });
        }
        if let Some(quota) = limits.cpu_quota_us {
            match v1 {
                true => {
                    out.push((dir("cpu"), "cpu.cfs_period_us", CPU_PERIOD_US.to_string()));
                    out.push((dir("cpu"), "cpu.cfs_quota_us", quota.max(-1).to_string()));
                }
                false => out.push((dir(""), "cpu.max", format!("{} {CPU_PERIOD_US}", or_max(quota)))),
            }
        }
        if let Some(bytes) = limits.memory_max {
            out.push(match v1 {
                true => (dir("memory"), "memory.limit_in_bytes", bytes.max(-1).to_string()),
                false => (dir(""), "memory.max", or_max(bytes)),
            });
        }
        if let Some(pids) = limits.pids_max {
            out.push((dir("pids"), "pids.max", or_max(pids)));
        }
        out
    }

    /// Removes the group and what is below it in every controller. Groups with live processes stay.
    pub fn remove(&self, path: &str) -> Result<()> {
        for controller in self.controllers()? {
            remove_tree(&controller.join(path.trim_start_matches('/')))?;
        }
        Ok(())
    }

    fn controllers(&self) -> Result<Vec<PathBuf>> {
        if self.version == Version::V2 {
            return Ok(vec![self.root.clone()]);
        }
        let entries = fs::read_dir(&self.root).map_err(at("list", &self.root))?;
        Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_dir()).collect())
    }

    /// How many processes of the group the kernel killed for want of memory, where it says so.
    pub fn oom_kills(&self, path: &str) -> Option<u64> {
        let path = path.trim_start_matches('/');
        let file = match self.version {
            Version::V1 => self.root.join("memory").join(path).join("memory.oom_control"),
            Version::V2 => self.root.join(path).join("memory.events"),
        };
        keyed(&fs::read_to_string(file).ok()?, "oom_kill")
    }

    /// The memory that the group cannot do without, in bytes, where the kernel says so: not the pages of files that were
    /// not touched of late.
    pub fn memory_bytes(&self, path: &str) -> Option<i64> {
        let path = path.trim_start_matches('/');
        let (dir, used, idle) = match self.version {
            Version::V1 => (self.root.join("memory").join(path), "memory.usage_in_bytes", "total_inactive_file"),
            Version::V2 => (self.root.join(path), "memory.current", "inactive_file"),
        };
        let used: u64 = fs::read_to_string(dir.join(used)).ok()?.trim().parse().ok()?;
        let idle = keyed(&fs::read_to_string(dir.join("memory.stat")).ok()?, idle).unwrap_or(0);
        i64::try_from(used.saturating_sub(idle)).ok()
    }

    /// Ids of the processes in the group itself.
    pub fn processes(&self, path: &str) -> Vec<i32> {
        let path = path.trim_start_matches('/');
        let file = match self.version {
            Version::V1 => self.root.join("pids").join(path).join("cgroup.procs"),
            Version::V2 => self.root.join(path).join("cgroup.procs"),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

/// Version 2's weight (1 to 10000) for version 1's shares (2 to 262144): the curve through (2, 1), (1024, 100) and
/// (262144, 10000), on which a CPU weighs what a group that nobody set weighs. Upstream's since runc 1.3.2; earlier ones
/// give the containers' own groups, which are theirs to make, weights on a line.
pub fn weight(shares: u64) -> u64 {
    let Ok(shares @ 1..) = u32::try_from(shares.min(262_144)) else { return 0 };
    let log = f64::from(shares.max(2)).log2();
    let weight = 10_f64.powf((log * log + 125.0 * log - 126.0) / 612.0).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 10000")]
    let weight = weight as u64;
    weight
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

/// The number after `key` in a file of "key number" lines.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Removes a group from the leaves up; a busy group is left for the caller's next try.
fn remove_tree(dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(at("remove cgroup", dir)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &Path, limits: &Limits) -> Vec<String> {
        let cgroups = Cgroups::at(root);
        cgroups
            .settings("kubepods/podx", limits)
            .into_iter()
            .map(|(dir, file, value)| format!("{}/{file}={value}", dir.strip_prefix(root).unwrap().display()))
            .collect()
    }

    const SOME: Limits =
        Limits { cpu_shares: Some(1024), cpu_quota_us: Some(50_000), memory_max: Some(-1), pids_max: Some(100) };

    #[test]
    fn version_one_has_a_directory_per_controller() {
        let dir = tempfile::tempdir().unwrap();
        let expect = [
            "cpu/kubepods/podx/cpu.shares=1024",
            "cpu/kubepods/podx/cpu.cfs_period_us=100000",
            "cpu/kubepods/podx/cpu.cfs_quota_us=50000",
            "memory/kubepods/podx/memory.limit_in_bytes=-1",
            "pids/kubepods/podx/pids.max=100",
        ];
        assert_eq!(files(dir.path(), &SOME), expect);
    }

    #[test]
    fn version_two_has_one_directory_and_says_max() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpu memory pids").unwrap();
        let expect = [
            "kubepods/podx/cpu.weight=100",
            "kubepods/podx/cpu.max=50000 100000",
            "kubepods/podx/memory.max=max",
            "kubepods/podx/pids.max=100",
        ];
        assert_eq!(files(dir.path(), &SOME), expect);
    }

    #[test]
    fn memory_that_could_be_given_back_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "").unwrap();
        fs::create_dir(dir.path().join("p")).unwrap();
        fs::write(dir.path().join("p/memory.current"), "5000\n").unwrap();
        fs::write(dir.path().join("p/memory.stat"), "anon 900\ninactive_file 4000\n").unwrap();
        assert_eq!(Cgroups::at(dir.path()).memory_bytes("/p"), Some(1000));
        assert_eq!(Cgroups::at(dir.path()).memory_bytes("q"), None);
    }

    #[test]
    fn weights_keep_the_ends_of_the_range_and_one_cpu_is_the_default() {
        let pairs = [(0, 0), (1, 1), (2, 1), (102, 17), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)];
        for (shares, expect) in pairs {
            assert_eq!(weight(shares), expect, "{shares}");
        }
        assert_eq!(weight(u64::MAX), 10_000);
    }

    #[test]
    fn oom_kills_are_read_from_keyed_lines() {
        assert_eq!(keyed("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), Some(3));
        assert_eq!(keyed("low 0\n", "oom_kill"), None);
    }

    #[test]
    fn a_group_is_made_limited_and_removed_for_real() {
        let cgroups = Cgroups::detect();
        let name = format!("keelson-test-{}", std::process::id());
        let limits = Limits { cpu_shares: Some(100), memory_max: Some(64 << 20), ..Limits::default() };
        cgroups.apply(&format!("{name}/pod"), &limits).expect("needs root and cgroups at /sys/fs/cgroup");
        assert_eq!(cgroups.oom_kills(&format!("{name}/pod")), Some(0));
        cgroups.remove(&name).unwrap();
        assert_eq!(cgroups.oom_kills(&format!("{name}/pod")), None);
    }
}
