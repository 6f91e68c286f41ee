//! Processes that outlive the program that starts them: started in a session of their own, recorded by id and start
//! time, so that a later run finds them again and never touches another process that got the same id.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::packages;
use crate::pki::write_whole;
use crate::wait;

/// How long a process that was killed may stay: it may wait for its disk.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Names the record and the log.
    pub name: String,
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment added to ours.
    pub environment: Vec<(String, String)>,
    /// The named network namespace to start in; ours if none.
    pub network: Option<String>,
}

/// A started process, as written to its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The spec's name.
    pub name: String,
    /// The process id.
    pub pid: i32,
    /// Clock ticks from boot to start: with the id and the boot it names one process for ever.
    start_ticks: u64,
    boot: String,
    /// What was started; another command line means it must be restarted.
    command: Vec<String>,
    /// What was added to its environment; another one means it must be restarted.
    #[serde(default)]
    environment: Vec<(String, String)>,
    /// Size and change time of the program: a rebuilt program is restarted.
    program: (u64, i64, i64),
}

/// What [`Processes::start`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It ran already with the same command line and program.
    Already,
    /// It was not there.
    New,
    /// It ran with another command line or an older program.
    Again,
}

/// The processes of one cluster: a folder of records and one of logs.
#[derive(Debug, Clone)]
pub struct Processes {
    records: PathBuf,
    logs: PathBuf,
}

impl Processes {
    /// Works on the two folders, which need not exist yet.
    pub fn new(records: impl Into<PathBuf>, logs: impl Into<PathBuf>) -> Self {
        Self { records: records.into(), logs: logs.into() }
    }

    /// The file that a process writes its log to.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts a process unless the same one runs.
    pub fn start(&self, spec: &Spec, grace: Duration) -> Result<Started> {
        let command = command_line(spec);
        let program = stamp(&spec.program).with_context(|| format!("{} is not there", spec.program.display()))?;
        let before = self.record(&spec.name).filter(Record::is_alive);
        if let Some(record) = &before {
            if record.command == command && record.program == program && record.environment == spec.environment {
                return Ok(Started::Already);
            }
            self.stop(&spec.name, grace)?;
        }
        self.spawn(spec, command, program)?;
        Ok(if before.is_some() { Started::Again } else { Started::New })
    }

    fn spawn(&self, spec: &Spec, command: Vec<String>, program: (u64, i64, i64)) -> Result<()> {
        for folder in [&self.records, &self.logs] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let log = self.log(&spec.name);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .env("PATH", packages::path())
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir("/")
            .spawn()
            .with_context(|| format!("starting {}", spec.name))?;
        let pid = i32::try_from(child.id()).context("process ids are small")?;
        let record = Record {
            name: spec.name.clone(),
            pid,
            start_ticks: stat(pid).map_or(0, |stat| stat.start_ticks),
            boot: boot(),
            command,
            environment: spec.environment.clone(),
            program,
        };
        write_whole(&self.record_file(&spec.name), &serde_json::to_vec_pretty(&record)?, 0o644)?;
        // Whoever starts a process and lives on (a test) must collect it, or a dead one keeps its id.
        std::thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait())?;
        Ok(())
    }

    /// Ends a process: politely, then after `grace` by force. No record means nothing to do.
    pub fn stop(&self, name: &str, grace: Duration) -> Result<bool> {
        let Some(record) = self.record(name) else { return Ok(false) };
        let lived = record.end(grace)?;
        fs::remove_file(self.record_file(name)).with_context(|| format!("forgetting {name}"))?;
        Ok(lived)
    }

    /// Sends a signal to a recorded process.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let record = self.record(name).filter(Record::is_alive).with_context(|| format!("{name} does not run"))?;
        Ok(kill(Pid::from_raw(record.pid), signal)?)
    }

    /// The record of a name, whether its process lives or not.
    pub fn record(&self, name: &str) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.record_file(name)).ok()?).ok()
    }

    /// All records, by name.
    pub fn records(&self) -> Vec<Record> {
        let Ok(entries) = fs::read_dir(&self.records) else { return Vec::new() };
        let mut records: Vec<Record> =
            entries.filter_map(|entry| serde_json::from_slice(&fs::read(entry.ok()?.path()).ok()?).ok()).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    }

    /// The last lines of a process's log.
    pub fn tail(&self, name: &str, lines: usize) -> String {
        let text = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn record_file(&self, name: &str) -> PathBuf {
        self.records.join(format!("{name}.json"))
    }
}

impl Record {
    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        self.boot == boot()
            && stat(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_dead())
    }

    fn end(&self, grace: Duration) -> Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        let pid = Pid::from_raw(self.pid);
        // A gone process is what was asked for, so a failed signal only matters if the process stays.
        let _ = kill(pid, Signal::SIGTERM);
        if wait::until(&self.name, grace, || Ok((!self.is_alive()).then_some(()))).is_ok() {
            return Ok(true);
        }
        let _ = kill(pid, Signal::SIGKILL);
        wait::until(&format!("{} to die", self.name), KILL_LIMIT, || Ok((!self.is_alive()).then_some(())))?;
        Ok(true)
    }
}

/// One row of the process table.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    /// The parent's id.
    pub parent: i32,
    /// CPU time it used, in clock ticks.
    pub cpu_ticks: f64,
    start_ticks: u64,
    state: char,
    threads: usize,
}

impl Stat {
    /// Whether nothing of it runs: its first thread may end before the others, which hold its files and ports till then.
    fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// Reads the process table's row of `pid`.
pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether a process runs; one that died and was not collected by its parent does not.
pub fn runs(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !stat.is_dead())
}

/// The name in parentheses may hold anything, so fields are counted from the last one closed.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        cpu_ticks: fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// Every process id, with its arguments.
pub fn all() -> Vec<(i32, Vec<String>)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            Some((pid, line.split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect()))
        })
        .collect()
}

/// The processes below `pid`, not itself.
pub fn descendants(pid: i32) -> Vec<i32> {
    let table: Vec<(i32, i32)> = all().into_iter().filter_map(|(pid, _)| Some((pid, stat(pid)?.parent))).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(table.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    found.split_off(1)
}

/// Kills processes and waits until none of them runs.
pub fn kill_all(pids: &[i32]) -> Result<()> {
    for pid in pids {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    wait::until("killed processes to end", KILL_LIMIT, || {
        Ok(pids.iter().all(|pid| stat(*pid).is_none_or(Stat::is_dead)).then_some(()))
    })
}

fn command_line(spec: &Spec) -> Vec<String> {
    let mut line = Vec::new();
    if let Some(network) = &spec.network {
        line.extend(["nsenter".to_owned(), format!("--net={}", crate::namespace::path(network).display())]);
    }
    // A leader of its own session: signals of the terminal that started it do not reach it.
    line.push("setsid".to_owned());
    line.push(spec.program.display().to_string());
    line.extend(spec.args.iter().cloned());
    line
}

fn stamp(program: &Path) -> Result<(u64, i64, i64)> {
    let data = fs::metadata(program)?;
    Ok((data.len(), data.mtime(), data.mtime_nsec()))
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Runs a program to its end and gives what it wrote; an error carries what it complained about.
pub fn run<I, S>(program: &str, args: I) -> Result<String>
where
    I: IntoIterator<Item = S>,
    S: Into<OsString>,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let shown = args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let output = Command::new(program)
        .args(&args)
        .env("PATH", packages::path())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {program} {shown}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {shown}: {}: {}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn sleeper(seconds: &str) -> Spec {
        Spec {
            name: "sleeper".to_owned(),
            program: PathBuf::from("/bin/sleep"),
            args: vec![seconds.to_owned()],
            environment: Vec::new(),
            network: None,
        }
    }

    fn processes(folder: &Path) -> Processes {
        Processes::new(folder.join("run"), folder.join("log"))
    }

    #[test]
    fn the_same_command_is_started_once_and_another_one_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let processes = processes(folder.path());
        assert_eq!(processes.start(&sleeper("1000"), GRACE).unwrap(), Started::New);
        let first = processes.record("sleeper").unwrap();
        assert_eq!(processes.start(&sleeper("1000"), GRACE).unwrap(), Started::Already);
        assert_eq!(processes.start(&sleeper("2000"), GRACE).unwrap(), Started::Again);
        let louder = Spec { environment: vec![("RUST_LOG".to_owned(), "debug".to_owned())], ..sleeper("2000") };
        assert_eq!(processes.start(&louder, GRACE).unwrap(), Started::Again);
        assert_eq!(processes.start(&louder, GRACE).unwrap(), Started::Already);
        assert!(!first.is_alive());
        assert!(processes.stop("sleeper", GRACE).unwrap());
        assert!(!processes.stop("sleeper", GRACE).unwrap());
    }

    #[test]
    fn a_reused_process_id_is_never_killed() {
        let folder = tempfile::tempdir().unwrap();
        let processes = processes(folder.path());
        processes.start(&sleeper("1000"), GRACE).unwrap();
        let real = processes.record("sleeper").unwrap();
        let stale = Record { start_ticks: real.start_ticks.saturating_sub(1), ..real.clone() };
        fs::write(processes.record_file("sleeper"), serde_json::to_vec(&stale).unwrap()).unwrap();
        assert!(!processes.stop("sleeper", GRACE).unwrap());
        assert!(real.is_alive());
        assert!(real.end(GRACE).unwrap());
    }

    #[test]
    fn a_process_is_dead_when_its_last_thread_is() {
        let row = |state: &str, threads: usize| {
            let text = format!("7 (a ) b) {state} 1 7 7 0 -1 4 0 0 0 0 25 17 0 0 20 0 {threads} 0 4242 0 0");
            parse_stat(&text).unwrap()
        };
        assert!(row("Z", 1).is_dead());
        assert!(!row("Z", 2).is_dead(), "its other threads still hold its ports");
        assert!(!row("S", 1).is_dead());
        assert_eq!((row("S", 1).cpu_ticks, row("S", 1).start_ticks), (42.0, 4242));
    }

    #[test]
    fn a_process_that_ignores_the_request_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let processes = processes(folder.path());
        let spec = Spec {
            program: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), "trap '' TERM; echo ready; while :; do sleep 0.1; done".to_owned()],
            ..sleeper("")
        };
        processes.start(&spec, GRACE).unwrap();
        wait::until("the trap", GRACE, || Ok(processes.tail("sleeper", 1).contains("ready").then_some(()))).unwrap();
        let record = processes.record("sleeper").unwrap();
        assert!(processes.stop("sleeper", Duration::from_millis(200)).unwrap());
        assert!(!record.is_alive());
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_is_read_over() {
        let stat = parse_stat("7 (a) b (c)) S 3 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0").unwrap();
        assert_eq!((stat.parent, stat.start_ticks, stat.state), (3, 4242, 'S'));
    }
}
