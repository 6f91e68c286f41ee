//! The OCI runtime specification of a container, from plain values. Pure.

use std::path::PathBuf;

use serde_json::{Value, json};

/// Capabilities of a container that asks for nothing: what every container runtime grants.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Every capability there is, in the kernel's order of bits.
pub const ALL_CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The process of a container, or one that joins it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    pub terminal: bool,
    pub capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
}

/// Something of the host that the container sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
    /// "private", "rslave" or "rshared".
    pub propagation: &'static str,
}

/// A namespace of the container: its own, the host's, or a pinned one.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Namespace {
    #[default]
    Own,
    Host,
    Join(PathBuf),
}

/// What the container may use, in the kernel's units; None means no limit of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub cpu_shares: u64,
    pub cpu_quota_us: Option<i64>,
    pub memory_bytes: Option<i64>,
    /// Version 2 only: kill the whole group when memory runs out.
    pub unified: Vec<(String, String)>,
}

/// A container, told in plain values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    pub process: Process,
    /// None where the UTS namespace is the host's.
    pub hostname: Option<String>,
    pub read_only_root: bool,
    pub privileged: bool,
    /// `/proc` without masked paths.
    pub unmasked_proc: bool,
    pub mounts: Vec<Mount>,
    pub pid: Namespace,
    pub network: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub cgroup: String,
    pub cgroup_v2: bool,
    pub resources: Resources,
    pub annotations: Vec<(String, String)>,
    /// A seccomp profile in OCI's form.
    pub seccomp: Option<Value>,
    /// Devices of the host, for privileged containers: path, type, major, minor.
    pub devices: Vec<Device>,
}

/// A device node that the container gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub path: String,
    pub kind: &'static str,
    pub major: u64,
    pub minor: u64,
    pub mode: u32,
}

impl Process {
    /// As OCI writes it; also what an exec needs.
    pub fn to_oci(&self) -> Value {
        let env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut process = json!({
            "args": self.args,
            "env": env,
            "cwd": if self.cwd.is_empty() { "/" } else { &self.cwd },
            "terminal": self.terminal,
            "user": {"uid": self.uid, "gid": self.gid, "additionalGids": self.additional_gids},
            "noNewPrivileges": self.no_new_privileges,
            "capabilities": {
                "bounding": self.capabilities,
                "effective": self.capabilities,
                "permitted": self.capabilities,
            },
        });
        if let Some(score) = self.oom_score_adj {
            process["oomScoreAdj"] = json!(score);
        }
        process
    }
}

impl Process {
    /// Reads what [`Process::to_oci`] writes.
    pub fn from_oci(value: &Value) -> Self {
        let list = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        let env = list(&value["env"])
            .into_iter()
            .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self {
            args: list(&value["args"]),
            env: env.collect(),
            cwd: value["cwd"].as_str().unwrap_or("/").to_owned(),
            uid: number(&value["user"]["uid"]),
            gid: number(&value["user"]["gid"]),
            additional_gids: value["user"]["additionalGids"].as_array().into_iter().flatten().map(number).collect(),
            terminal: value["terminal"].as_bool().unwrap_or(false),
            capabilities: list(&value["capabilities"]["bounding"]),
            no_new_privileges: value["noNewPrivileges"].as_bool().unwrap_or(false),
            oom_score_adj: value["oomScoreAdj"].as_i64().and_then(|score| i32::try_from(score).ok()),
        }
    }
}

impl Container {
    /// The specification that runc reads.
    pub fn to_oci(&self) -> Value {
        let mut linux = json!({
            "cgroupsPath": self.cgroup,
            "namespaces": self.namespaces(),
            "resources": self.resources(),
        });
        if let Some(seccomp) = &self.seccomp {
            linux["seccomp"] = seccomp.clone();
        }
        if !self.privileged && !self.unmasked_proc {
            linux["maskedPaths"] = json!(MASKED);
            linux["readonlyPaths"] = json!(READ_ONLY);
        }
        if !self.devices.is_empty() {
            linux["devices"] = self.devices.iter().map(device).collect();
        }
        // A shared mount inside needs the root to take part in propagation.
        let propagation = |kind: &str| self.mounts.iter().any(|mount| mount.propagation == kind);
        if propagation("rshared") {
            linux["rootfsPropagation"] = json!("shared");
        } else if propagation("rslave") {
            linux["rootfsPropagation"] = json!("slave");
        }
        let annotations: serde_json::Map<String, Value> =
            self.annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let mut spec = json!({
            "ociVersion": "1.0.2",
            "process": self.process.to_oci(),
            "root": {"path": "rootfs", "readonly": self.read_only_root},
            "mounts": self.all_mounts(),
            "linux": linux,
            "annotations": annotations,
        });
        if let (Some(name), Namespace::Own) = (&self.hostname, &self.uts) {
            spec["hostname"] = json!(name);
        }
        spec
    }

    fn namespaces(&self) -> Value {
        let mut list = vec![json!({"type": "mount"})];
        if self.cgroup_v2 && !self.privileged {
            list.push(json!({"type": "cgroup"}));
        }
        let others = [("pid", &self.pid), ("network", &self.network), ("ipc", &self.ipc), ("uts", &self.uts)];
        for (kind, namespace) in others {
            match namespace {
                Namespace::Own => list.push(json!({"type": kind})),
                Namespace::Join(path) => list.push(json!({"type": kind, "path": path})),
                Namespace::Host => {}
            }
        }
        Value::Array(list)
    }

    fn resources(&self) -> Value {
        let mut resources = self.resources.to_oci();
        resources["devices"] = match self.privileged {
            true => json!([{"allow": true, "access": "rwm"}]),
            false => json!([{"allow": false, "access": "rwm"}]),
        };
        resources
    }

    fn all_mounts(&self) -> Value {
        let shown = |target: &str| self.mounts.iter().any(|mount| mount.target == target);
        let sys = if self.privileged { "rw" } else { "ro" };
        let defaults = [
            ("/proc", "proc", "proc", vec!["nosuid", "noexec", "nodev"]),
            ("/dev", "tmpfs", "tmpfs", vec!["nosuid", "strictatime", "mode=755", "size=65536k"]),
            (
                "/dev/pts",
                "devpts",
                "devpts",
                vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            ),
            ("/dev/mqueue", "mqueue", "mqueue", vec!["nosuid", "noexec", "nodev"]),
            ("/sys", "sysfs", "sysfs", vec!["nosuid", "noexec", "nodev", sys]),
            ("/sys/fs/cgroup", "cgroup", "cgroup", vec!["nosuid", "noexec", "nodev", "relatime", sys]),
        ];
        let mut list: Vec<Value> = defaults
            .into_iter()
            .filter(|(target, ..)| !shown(target))
            .map(|(target, kind, source, options)| {
                json!({"destination": target, "type": kind, "source": source, "options": options})
            })
            .collect();
        let mut binds: Vec<&Mount> = self.mounts.iter().collect();
        // A mount below another one comes after it.
        binds.sort_by_key(|mount| mount.target.trim_end_matches('/').matches('/').count());
        list.extend(binds.into_iter().map(|mount| {
            let access = if mount.read_only { "ro" } else { "rw" };
            let options = ["rbind", mount.propagation, access];
            json!({"destination": mount.target, "type": "bind", "source": mount.source, "options": options})
        }));
        Value::Array(list)
    }
}

impl Resources {
    /// As OCI writes them; also what an update of a running container sends.
    pub fn to_oci(&self) -> Value {
        let mut cpu = json!({"shares": self.cpu_shares.max(2)});
        if let Some(quota) = self.cpu_quota_us {
            cpu["quota"] = json!(quota);
            cpu["period"] = json!(sys::cgroup::CPU_PERIOD_US);
        }
        let mut resources = json!({"cpu": cpu});
        if let Some(bytes) = self.memory_bytes {
            resources["memory"] = json!({"limit": bytes});
        }
        if !self.unified.is_empty() {
            let map: serde_json::Map<String, Value> =
                self.unified.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            resources["unified"] = Value::Object(map);
        }
        resources
    }
}

fn device(device: &Device) -> Value {
    json!({
        "path": device.path, "type": device.kind, "major": device.major, "minor": device.minor,
        "fileMode": device.mode, "uid": 0, "gid": 0,
    })
}

/// The capabilities after additions and removals ("ALL" and names without the prefix are understood), limited to
/// those that this process could grant.
pub fn capabilities(add: &[String], drop: &[String], privileged: bool, grantable: &[String]) -> Vec<String> {
    let full = |name: &String| match name.to_uppercase() {
        name if name.starts_with("CAP_") => name,
        name => format!("CAP_{name}"),
    };
    let add: Vec<String> = add.iter().map(full).collect();
    let drop: Vec<String> = drop.iter().map(full).collect();
    let all = |list: &[String]| list.iter().any(|name| name == "CAP_ALL");
    ALL_CAPABILITIES
        .iter()
        .filter(|name| {
            let listed = |list: &[String]| list.iter().any(|other| other == *name);
            let base = privileged || all(&add) || (DEFAULT_CAPABILITIES.contains(name) && !all(&drop));
            privileged || listed(&add) || (base && !listed(&drop))
        })
        .map(|name| (*name).to_owned())
        .filter(|name| grantable.contains(name))
        .collect()
}

/// The names of the capabilities in a mask as `/proc/self/status` prints it.
pub fn capability_names(mask: u64) -> Vec<String> {
    let named = ALL_CAPABILITIES.iter().enumerate();
    named.filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(add: &[&str], drop: &[&str], has: &[&str], lacks: &[&str]) {
        let own = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let got = capabilities(&own(add), &own(drop), false, &own(&ALL_CAPABILITIES));
        for name in has {
            assert!(got.iter().any(|got| got == name), "{name} is missing of {got:?}");
        }
        for name in lacks {
            assert!(!got.iter().any(|got| got == name), "{name} is in {got:?}");
        }
    }

    #[test]
    fn added_capabilities_win_over_dropped_all() {
        check(&["NET_ADMIN"], &["ALL"], &["CAP_NET_ADMIN"], &["CAP_CHOWN"]);
        check(&["ALL"], &["net_raw"], &["CAP_SYS_ADMIN", "CAP_CHOWN"], &["CAP_NET_RAW"]);
        check(&[], &[], &["CAP_CHOWN"], &["CAP_SYS_ADMIN"]);
    }

    #[test]
    fn a_capability_that_this_process_lacks_is_not_asked_for() {
        let grantable = capability_names(0b1);
        assert_eq!(capabilities(&[], &[], true, &grantable), ["CAP_CHOWN"]);
    }

    #[test]
    fn a_process_reads_back_as_it_was_written() {
        let process = Process {
            args: vec!["a".into()],
            env: vec![("A".into(), "b=c".into())],
            cwd: "/x".into(),
            uid: 7,
            gid: 8,
            additional_gids: vec![9],
            terminal: true,
            capabilities: vec!["CAP_CHOWN".into()],
            no_new_privileges: true,
            oom_score_adj: Some(-5),
        };
        assert_eq!(Process::from_oci(&process.to_oci()), process);
    }

    #[test]
    fn host_namespaces_are_left_out_and_pinned_ones_joined() {
        let container =
            Container { network: Namespace::Join("/n".into()), pid: Namespace::Host, ..Container::default() };
        let spec = container.to_oci();
        let expect = json!([{"type": "mount"}, {"type": "network", "path": "/n"}, {"type": "ipc"}, {"type": "uts"}]);
        assert_eq!(spec["linux"]["namespaces"], expect);
    }

    #[test]
    fn a_mount_over_a_default_replaces_it_and_parents_come_first() {
        let mount = |target: &str| Mount {
            source: "/x".into(),
            target: target.into(),
            read_only: true,
            propagation: "rprivate",
        };
        let container =
            Container { mounts: vec![mount("/a/b"), mount("/a"), mount("/sys/fs/cgroup")], ..Container::default() };
        let spec = container.to_oci();
        let targets: Vec<&str> =
            spec["mounts"].as_array().unwrap().iter().map(|mount| mount["destination"].as_str().unwrap()).collect();
        assert_eq!(targets, ["/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/a", "/a/b", "/sys/fs/cgroup"]);
    }
}
