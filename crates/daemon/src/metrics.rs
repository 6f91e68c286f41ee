//! The process's metrics registry and what every process reports of itself.
//!
//! Names are upstream's: `process_resident_memory_bytes`, `process_cpu_seconds_total`, `kubernetes_build_info`, ...

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Linux counts CPU time in hundredths of a second wherever it shows it to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A shared registry. Clones are the same registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// A registry with the metrics of the process and the build.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let build = Info::new(vec![
            ("major", crate::version::MAJOR.to_owned()),
            ("minor", crate::version::MINOR.to_owned()),
            ("git_version", crate::version::GIT_VERSION.to_owned()),
            ("keelson_version", crate::version::KEELSON.to_owned()),
            ("platform", crate::version::platform()),
        ]);
        registry.register("kubernetes_build", "Version of the API and of Keelson", build);
        Self { registry: Arc::new(Mutex::new(registry)) }
    }

    /// Registers metrics.
    pub fn with<R>(&self, register: impl FnOnce(&mut Registry) -> R) -> R {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The text of `/metrics`.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Reads /proc at each scrape.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("process_resident_memory_bytes", "Resident memory", kib(&status, "VmRSS:"))?;
        gauge("process_virtual_memory_bytes", "Virtual memory", kib(&status, "VmSize:"))?;
        gauge("process_threads", "Threads", number(&status, "Threads:"))?;
        let open = std::fs::read_dir("/proc/self/fd").map(|fds| fds.count()).unwrap_or_default();
        gauge("process_open_fds", "Open file descriptors", open as f64)?;
        gauge("process_max_fds", "Most file descriptors that may be open", max_fds())?;
        gauge("process_start_time_seconds", "Start of the process, Unix time", start_time(&stat))?;
        let cpu = ConstCounter::new(cpu_seconds(&stat));
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time spent", None, cpu.metric_type())?)
    }
}

/// A line's first number.
fn number(text: &str, key: &str) -> f64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|word| word.parse().ok())
        .unwrap_or_default()
}

fn kib(status: &str, key: &str) -> f64 {
    number(status, key) * 1024.0
}

fn max_fds() -> f64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    number(&limits, "Max open files")
}

/// Field `n` of /proc/self/stat, counted from 1; the second one may hold spaces and ends with the last `)`.
fn stat_field(stat: &str, n: usize) -> f64 {
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().nth(n.saturating_sub(3)).and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn cpu_seconds(stat: &str) -> f64 {
    (stat_field(stat, 14) + stat_field(stat, 15)) / TICKS_PER_SECOND
}

fn start_time(stat: &str) -> f64 {
    let boot = std::fs::read_to_string("/proc/stat").map(|text| number(&text, "btime")).unwrap_or_default();
    boot + stat_field(stat, 22) / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_reports_itself() {
        let text = Metrics::new().encode().expect("text");
        for name in ["process_resident_memory_bytes ", "process_cpu_seconds_total ", "kubernetes_build_info{"] {
            assert!(text.contains(name), "{name} in {text}");
        }
        assert!(number(&text, "process_resident_memory_bytes") > 1e5, "{text}");
        assert!(number(&text, "process_start_time_seconds") > 1.6e9, "{text}");
    }

    #[test]
    fn stat_fields_survive_a_program_name_with_spaces() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 99 1 1";
        assert_eq!(cpu_seconds(stat), 2.0);
        assert_eq!(stat_field(stat, 22), 99.0);
    }
}
