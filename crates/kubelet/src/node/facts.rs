//! What this machine is: read once from /proc and the like.

use std::fs;

/// Facts that the Node's status shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub cpus: u64,
    pub memory_kib: u64,
    pub disk_kib: u64,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

impl Facts {
    /// `root` is the kubelet's folder: its file system is what pods may fill.
    pub fn read(root: &std::path::Path) -> Self {
        let machine_id = line("/etc/machine-id");
        let uuid = line("/sys/class/dmi/id/product_uuid");
        let disk = nix::sys::statvfs::statvfs(root).ok();
        let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self {
            cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
            memory_kib: memory_kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            disk_kib: disk.map_or(0, |disk| disk.blocks() * disk.fragment_size() / 1024),
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
            machine_id,
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel: line("/proc/sys/kernel/osrelease"),
            os_image: pretty_name(&os).unwrap_or_else(|| "Linux".into()),
        }
    }
}

fn memory_kib(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn pretty_name(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernels_files() {
        assert_eq!(memory_kib("MemTotal:       24684096 kB\nMemFree: 1 kB\n"), 24_684_096);
        assert_eq!(pretty_name("ID=x\nPRETTY_NAME=\"Debian 12\"\n").as_deref(), Some("Debian 12"));
    }
}
