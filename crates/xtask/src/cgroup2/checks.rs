//! The checks: what pods ask for is what the kernel was told, what it enforces, and what goes away with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testkit::cluster::Cluster;
use testkit::flags;
use testkit::keelctl::Keelctl;
use testkit::settings::Daemon;
use testkit::wait;

use super::inside;
use super::report::Report;

/// The pods.
const PODS: &str = include_str!("pods.yaml");
/// Where version 2 is mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// The group below which the kubelet keeps its pods, from the mount: what it is given as --cgroup-root. All groups here are
/// named from there.
static ROOT: LazyLock<String> = LazyLock::new(|| {
    let settings = inside::settings();
    flags::cgroup_root(&settings, settings.first_node())
});
/// How long a step may take on a machine that is emulated on a busy one.
const LIMIT: Duration = Duration::from_secs(300);

/// A setting of a group: of a pod's, or of a container's in it.
struct Setting {
    pod: &'static str,
    container: Option<&'static str>,
    file: &'static str,
    /// Any of these.
    values: &'static [&'static str],
}

const fn of_pod(pod: &'static str, file: &'static str, values: &'static [&'static str]) -> Setting {
    Setting { pod, container: None, file, values }
}

const fn of(
    pod: &'static str,
    container: &'static str,
    file: &'static str,
    values: &'static [&'static str],
) -> Setting {
    Setting { pod, container: Some(container), file, values }
}

/// Each pod's class, and where its group lies.
const CLASSES: [(&str, &str, &str); 6] = [
    ("guaranteed", "Guaranteed", "kubepods"),
    ("burstable", "Burstable", "kubepods/burstable"),
    ("open", "Burstable", "kubepods/burstable"),
    ("volume", "Burstable", "kubepods/burstable"),
    ("hungry", "Burstable", "kubepods/burstable"),
    ("besteffort", "BestEffort", "kubepods/besteffort"),
];

/// What the manifest means to the kernel. A container's weight is the runtime's to choose: runc 1.3.2 and later take the
/// formula that pods have, earlier ones a linear one.
const SETTINGS: [Setting; 25] = [
    of_pod("guaranteed", "cpu.weight", &["17"]),
    of_pod("guaranteed", "cpu.max", &["10000 100000"]),
    of_pod("guaranteed", "memory.max", &["33554432"]),
    of("guaranteed", "main", "cpu.weight", &["17", "4"]),
    of("guaranteed", "main", "cpu.max", &["10000 100000"]),
    of("guaranteed", "main", "memory.max", &["33554432"]),
    of("guaranteed", "main", "memory.oom.group", &["1"]),
    of_pod("burstable", "cpu.weight", &["80"]),
    of_pod("burstable", "cpu.max", &["150000 100000"]),
    of_pod("burstable", "memory.max", &["100663296"]),
    of("burstable", "main", "cpu.weight", &["59", "20"]),
    of("burstable", "main", "cpu.max", &["100000 100000"]),
    of("burstable", "main", "memory.max", &["67108864"]),
    of("burstable", "side", "cpu.weight", &["35", "10"]),
    of("burstable", "side", "cpu.max", &["50000 100000"]),
    of("burstable", "side", "memory.max", &["33554432"]),
    of_pod("open", "cpu.weight", &["35"]),
    of_pod("open", "cpu.max", &["max 100000"]),
    of_pod("open", "memory.max", &["max"]),
    of("open", "side", "memory.max", &["33554432"]),
    of_pod("besteffort", "cpu.weight", &["1"]),
    of_pod("besteffort", "memory.max", &["max"]),
    of("besteffort", "main", "cpu.weight", &["1"]),
    of("besteffort", "main", "memory.max", &["max"]),
    of("besteffort", "main", "pids.max", &["max"]),
];

/// Makes every check; an error means that the rest was not worth trying.
pub fn run(cluster: &Cluster, report: &mut Report) -> Result<()> {
    report.check("version 2 is what is mounted, with the controllers that pods need", mounted());
    let keelctl = cluster.keelctl();
    wait::until("the default service account", LIMIT, || keelctl.run(&["get", "serviceaccount", "default"]).map(Some))?;
    keelctl.apply(PODS)?;
    let pods = CLASSES.map(|(name, ..)| name).into_iter().filter(|name| *name != "hungry");
    for name in pods {
        report.say(&format!("waiting for pod {name}"));
        wait::until(&format!("pod {name} to be ready"), LIMIT, || Pod::get(&keelctl, name)?.is_ready())?;
    }
    for (name, class, parent) in CLASSES {
        report.check(format_args!("pod {name} is {class}, in {parent}"), in_class(&keelctl, name, class, parent));
    }
    for setting in &SETTINGS {
        let what = format!("{} of {} {}", setting.file, setting.pod, setting.container.unwrap_or("(pod)"));
        report.check(format_args!("{what} is {}", setting.values.join(" or ")), setting.check(&keelctl));
    }
    tree(&keelctl, report);
    enforced(&keelctl, report);
    starved(&keelctl, report);
    restarted(cluster, &keelctl, report);
    removed(&keelctl, report);
    Ok(())
}

/// The groups above the pods.
fn tree(keelctl: &Keelctl, report: &mut Report) {
    for (group, weight) in [("kubepods", "174"), ("kubepods/burstable", "100"), ("kubepods/besteffort", "1")] {
        report.check(format_args!("cpu.weight of {group} is {weight}"), equal(group, "cpu.weight", &[weight]));
    }
    let all = allocatable(keelctl).and_then(|bytes| equal("kubepods", "memory.max", &[&bytes.to_string()]));
    report.check("memory.max of kubepods is what the node may give", all);
}

/// What the kernel does with the settings.
fn enforced(keelctl: &Keelctl, report: &mut Report) {
    let throttled = wait::until("a throttled period", LIMIT, || {
        let group = Pod::get(keelctl, "guaranteed")?.group(Some("main"))?;
        Ok((keyed(&read(&group, "cpu.stat")?, "nr_throttled")? > 0).then_some(()))
    });
    report.check("a container that wants more CPU than its limit is throttled", throttled);
    let members = Pod::get(keelctl, "burstable").and_then(|pod| {
        let group = pod.group(Some("main"))?;
        let pid = read(&group, "cgroup.procs")?;
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).context("reading the process's groups")?;
        ensure!(groups.trim() == format!("0::{}/{group}", *ROOT), "it is in {groups}");
        Ok(())
    });
    report.check("a container's process is in the container's group", members);
    let own = keelctl.run(&[
        "exec",
        "burstable",
        "-c",
        "main",
        "--",
        "cat",
        "/proc/self/cgroup",
        "/sys/fs/cgroup/memory.max",
    ]);
    let own = own.and_then(|text| {
        ensure!(text == "0::/\n67108864\n", "it sees {text:?}");
        Ok(())
    });
    report.check("a container sees its own group as the root", own);
    let shared = wait::until("the file to count", LIMIT, || {
        let bytes = keyed(&read(&Pod::get(keelctl, "volume")?.group(Some("main"))?, "memory.stat")?, "shmem")?;
        ensure!(bytes >= 8 << 20, "shmem is {bytes}");
        Ok(Some(()))
    });
    report.check("a file in an emptyDir in memory counts as the container's memory", shared);
}

/// Out of memory.
fn starved(keelctl: &Keelctl, report: &mut Report) {
    let last = wait::until("the container to run again", LIMIT, || {
        let pod = Pod::get(keelctl, "hungry")?;
        let status = pod.status("main")?;
        Ok(status.pointer("/lastState/terminated").cloned())
    });
    let killed = last.and_then(|last| {
        ensure!(last["reason"] == "OOMKilled" && last["exitCode"] == 137, "its last state is {last}");
        Ok(())
    });
    report.check("a container that outgrows its limit is OOMKilled, all of it, with 137", killed);
    let again = wait::until("a restart", LIMIT, || {
        let count = Pod::get(keelctl, "hungry")?.status("main")?["restartCount"].as_u64().unwrap_or(0);
        Ok((count > 0).then_some(()))
    });
    report.check("and started again", again);
}

/// A kubelet that starts again finds the groups, and disturbs none.
fn restarted(cluster: &Cluster, keelctl: &Keelctl, report: &mut Report) {
    let node = cluster.settings.first_node();
    let same = Pod::get(keelctl, "burstable").and_then(|before| {
        let group = before.group(Some("main"))?;
        let process = read(&group, "cgroup.procs")?;
        cluster.stop_one(Daemon::Kubelet, node)?;
        cluster.start_one(Daemon::Kubelet, node)?;
        keelctl.run(&["delete", "pod", "open", "--wait=false"])?;
        wait::until("the weight of kubepods/burstable", LIMIT, || {
            equal("kubepods/burstable", "cpu.weight", &["80"]).map(Some)
        })?;
        ensure!(read(&group, "cgroup.procs")? == process, "the process is another one");
        equal(&group, "memory.max", &["67108864"])
    });
    report
        .check("after a kubelet's restart containers run on, and a deleted pod's weight is taken off its class", same);
}

/// Pods that are gone leave nothing.
fn removed(keelctl: &Keelctl, report: &mut Report) {
    let gone = keelctl.run(&["delete", "pods", "--all", "--wait=false"]).and_then(|_| {
        wait::until("all pods to be gone", LIMIT, || {
            let pods = keelctl.json(&["get", "pods"])?;
            let left = pods["items"].as_array().map_or(0, Vec::len);
            ensure!(left == 0, "{left} pods are left");
            Ok(Some(()))
        })
    });
    report.check("every pod is deleted", gone);
    let expect = ["kubepods/besteffort", "kubepods/burstable"];
    let left = groups_below("kubepods").and_then(|left| {
        ensure!(left == expect, "there are {}", left.join(", "));
        Ok(())
    });
    report.check("deleted pods leave no group behind", left);
    report.check("what is left of the burstable class weighs 1", equal("kubepods/burstable", "cpu.weight", &["1"]));
}

fn mounted() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("reading /proc/mounts")?;
    ensure!(!mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup")), "version 1 is mounted");
    let controllers =
        fs::read_to_string(Path::new(MOUNT).join("cgroup.controllers")).context("reading the controllers")?;
    for wanted in ["cpu", "memory", "pids"] {
        ensure!(
            controllers.split_whitespace().any(|controller| controller == wanted),
            "{wanted} is not in {controllers:?}"
        );
    }
    Ok(())
}

fn in_class(keelctl: &Keelctl, name: &str, class: &str, parent: &str) -> Result<()> {
    let pod = Pod::get(keelctl, name)?;
    let said = &pod.0["status"]["qosClass"];
    ensure!(said == class, "its class is {said}");
    let group = pod.group(None)?;
    ensure!(group == format!("{parent}/pod{}", pod.uid()), "its group is {group}");
    Ok(())
}

impl Setting {
    fn check(&self, keelctl: &Keelctl) -> Result<()> {
        equal(&Pod::get(keelctl, self.pod)?.group(self.container)?, self.file, self.values)
    }
}

/// A pod, as the server gives it.
struct Pod(Value);

impl Pod {
    fn get(keelctl: &Keelctl, name: &str) -> Result<Self> {
        keelctl.json(&["get", "pod", name]).map(Self)
    }

    fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    fn is_ready(&self) -> Result<Option<()>> {
        let conditions = self.0["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        ensure!(ready, "its status is {}", self.0["status"]);
        Ok(Some(()))
    }

    fn status(&self, container: &str) -> Result<&Value> {
        let mut all = self.0["status"]["containerStatuses"].as_array().into_iter().flatten();
        all.find(|status| status["name"] == container).with_context(|| format!("no status of container {container}"))
    }

    /// The group that the kernel has for the pod, or for a container that runs: found, not computed.
    fn group(&self, container: Option<&str>) -> Result<String> {
        let name = format!("pod{}", self.uid());
        let groups = groups_below("kubepods")?;
        let Some(group) = groups.iter().find(|group| group.ends_with(&name)) else {
            bail!("no group is called {name}")
        };
        let Some(container) = container else { return Ok(group.clone()) };
        let id = self.status(container)?["containerID"].as_str().unwrap_or_default();
        let id = id.rsplit('/').next().unwrap_or_default();
        let group = format!("{group}/{id}");
        ensure!(!id.is_empty() && groups.contains(&group), "container {container} has no group {group}");
        Ok(group)
    }
}

/// A group's setting must be one of the values.
fn equal(group: &str, file: &str, values: &[&str]) -> Result<()> {
    let found = read(group, file)?;
    ensure!(values.contains(&found.as_str()), "{file} of {group} is {found}, not {}", values.join(" or "));
    Ok(())
}

fn folder(group: &str) -> PathBuf {
    PathBuf::from(format!("{MOUNT}{}/{group}", *ROOT))
}

fn read(group: &str, file: &str) -> Result<String> {
    let path = folder(group).join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.trim_end().to_owned())
}

/// The number after `key` in a file of "key number" lines.
fn keyed(text: &str, key: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {key} in {text:?}"))?.parse()?)
}

/// Every group below one, sorted.
fn groups_below(group: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![group.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = self::folder(&folder);
        for entry in fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let below = format!("{folder}/{}", entry.file_name().to_string_lossy());
                folders.push(below.clone());
                found.push(below);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The memory that the node may give, in bytes, as far as the kernel can set it: in whole pages.
fn allocatable(keelctl: &Keelctl) -> Result<u64> {
    let node = keelctl.json(&["get", "nodes"])?;
    let text =
        node.pointer("/items/0/status/allocatable/memory").and_then(Value::as_str).context("no allocatable memory")?;
    bytes(text).with_context(|| format!("allocatable memory is {text}"))
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.strip_suffix("Ki").map_or((text, 1), |number| (number, 1024));
    Some(number.parse::<u64>().ok()? * unit / 4096 * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_whole_pages() {
        assert_eq!(
            (bytes("8Ki"), bytes("8193"), bytes("9Ki"), bytes("1Gi")),
            (Some(8192), Some(8192), Some(8192), None)
        );
    }

    #[test]
    fn every_pod_that_is_checked_is_in_the_manifest() {
        for (name, ..) in CLASSES {
            assert!(PODS.contains(&format!("metadata: {{name: {name}}}")), "{name}");
        }
        assert!(SETTINGS.iter().all(|setting| CLASSES.iter().any(|(name, ..)| *name == setting.pod)));
    }
}
