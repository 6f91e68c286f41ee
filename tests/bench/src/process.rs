//! What a process has used, as /proc tells it, and ports to give to processes.

use std::fs;
use std::net::TcpListener;

use anyhow::{Context, Result};

/// The lines at the end of a log that a failure shows.
const LOG_TAIL_LINES: usize = 12;

/// Ports of loopback that nobody listens on.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until all are known, or one would be given twice.
    let held = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// CPU time of a process so far, in microseconds: /proc/PID/stat counts it in hundredths of a second.
pub fn cpu_us(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Ok((ticks(11) + ticks(12)) * 10_000)
}

/// Memory that is a process' share, in bytes.
pub fn pss(pid: u32) -> Result<u64> {
    line_of(pid, "smaps_rollup", "Pss:")
}

/// Memory that a process has now, in bytes.
pub fn rss(pid: u32) -> Result<u64> {
    line_of(pid, "status", "VmRSS:")
}

/// The most memory that a process had since [`forget_peak`], in bytes.
pub fn peak(pid: u32) -> Result<u64> {
    line_of(pid, "status", "VmHWM:")
}

/// Begins the peak anew at what the process has now.
pub fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").with_context(|| format!("the peak of process {pid}"))
}

fn line_of(pid: u32, file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib: u64 = line.with_context(|| format!("no {name} in {file}"))?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// The last lines of a log.
pub fn tail(log: &std::path::Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(LOG_TAIL_LINES).collect();
    let lines: Vec<&str> = lines.into_iter().rev().collect();
    format!("{}:\n{}\n", log.display(), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_peak_above_it() {
        let pid = std::process::id();
        forget_peak(pid).unwrap();
        let (rss, peak) = (rss(pid).unwrap(), peak(pid).unwrap());
        assert!(rss > 0 && peak > 0 && pss(pid).unwrap() > 0, "{rss} {peak}");
    }

    #[test]
    fn ports_are_not_given_twice() {
        let mut ports = free_ports(8).unwrap();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
