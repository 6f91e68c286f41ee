//! What the node is short of, by the thresholds of `--eviction-hard`. It is told in the Node's conditions, which keep new
//! pods away; pods that run are not evicted.

use std::path::PathBuf;

use super::object::Pressure;

/// Upstream's thresholds.
pub const DEFAULT: &str = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%";

/// The least that must be left of something: an amount, or a part of the whole in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Least {
    Amount(u64),
    Thousandths(u64),
}

impl Least {
    fn parse(text: &str) -> Option<Self> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().ok()?;
            return (0.0..=100.0).contains(&percent).then(|| Self::Thousandths((percent * 10.0).round() as u64));
        }
        let quantity: api::quantity::Amount = text.parse().ok()?;
        u64::try_from(quantity.value()).ok().map(Self::Amount)
    }

    fn is_missed(self, left: u64, whole: u64) -> bool {
        match self {
            Self::Amount(least) => left < least,
            // A file system that does not count (inodes, mostly) has no whole.
            Self::Thousandths(part) => u128::from(left) * 1000 < u128::from(whole) * u128::from(part),
        }
    }
}

/// When the node is short of something; what is not named is never short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    memory: Option<Least>,
    disk: Option<Least>,
    inodes: Option<Least>,
}

impl std::str::FromStr for Thresholds {
    type Err = String;

    /// "SIGNAL<AMOUNT,...". Signals about things that this kubelet does not watch are accepted and ignored.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut thresholds = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("{part:?} is not like \"memory.available<100Mi\" or \"nodefs.available<10%\"");
            let (signal, amount) = part.split_once('<').ok_or_else(wrong)?;
            let least = Some(Least::parse(amount).ok_or_else(wrong)?);
            match signal {
                "memory.available" => thresholds.memory = least,
                "nodefs.available" => thresholds.disk = least,
                "nodefs.inodesFree" => thresholds.inodes = least,
                "imagefs.available" | "imagefs.inodesFree" | "pid.available" => {}
                other => {
                    return Err(format!(
                        "{other:?} is no signal; there are memory.available, nodefs.available, nodefs.inodesFree"
                    ));
                }
            }
        }
        Ok(thresholds)
    }
}

/// Looks at the node.
#[derive(Clone, Debug)]
pub struct Gauge {
    pub thresholds: Thresholds,
    /// Where pods' data and logs are.
    pub dirs: Vec<PathBuf>,
}

impl Gauge {
    /// A handful of system calls. What cannot be read is not short.
    pub fn read(&self) -> Pressure {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = self.thresholds.memory.zip(memory(&meminfo));
        Pressure {
            memory: memory.is_some_and(|(least, (left, whole))| least.is_missed(left, whole)),
            disk: self.dirs.iter().any(|dir| self.is_full(dir)),
        }
    }

    fn is_full(&self, dir: &std::path::Path) -> bool {
        let Ok(disk) = nix::sys::statvfs::statvfs(dir) else { return false };
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        let short = |least: Option<Least>, left, whole| least.is_some_and(|least| least.is_missed(left, whole));
        short(self.thresholds.disk, bytes(disk.blocks_available()), bytes(disk.blocks()))
            || (disk.files() > 0 && short(self.thresholds.inodes, disk.files_available(), disk.files()))
    }
}

/// Bytes that are available, and all bytes.
fn memory(meminfo: &str) -> Option<(u64, u64)> {
    let bytes = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((bytes("MemAvailable:")?, bytes("MemTotal:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_an_amount_or_a_part() {
        let got: Thresholds = DEFAULT.parse().unwrap();
        assert_eq!(got.memory, Some(Least::Amount(100 << 20)));
        assert_eq!((got.disk, got.inodes), (Some(Least::Thousandths(100)), Some(Least::Thousandths(50))));
        assert!(Least::Thousandths(100).is_missed(9, 100) && !Least::Thousandths(100).is_missed(10, 100));
        for wrong in ["memory.available", "memory.available<x", "nodefs.available<101%", "cpu<1"] {
            assert!(wrong.parse::<Thresholds>().is_err(), "{wrong}");
        }
        assert_eq!("".parse(), Ok(Thresholds::default()));
    }

    #[test]
    fn a_full_file_system_is_pressure_until_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        sys::mount::tmpfs(&disk, Some(1 << 20), 0o755).expect("needs root (CAP_SYS_ADMIN)");
        let gauge = Gauge { thresholds: "nodefs.available<10%".parse().unwrap(), dirs: vec![disk.clone()] };
        assert!(!gauge.read().disk);
        std::fs::write(disk.join("x"), vec![0; 1000 << 10]).unwrap();
        assert!(gauge.read().disk);
        std::fs::remove_file(disk.join("x")).unwrap();
        assert!(!gauge.read().disk);
        sys::mount::unmount_all(&dir.path().canonicalize().unwrap()).unwrap();
    }

    #[test]
    fn available_memory_is_what_the_kernel_says() {
        assert_eq!(memory("MemTotal: 4 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\n"), Some((2048, 4096)));
        assert_eq!(memory(""), None);
    }
}
