//! Many runs, on several threads; each run has one thread to itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::run::{Report, run};
use crate::world::Settings;

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    pub seeds: u64,
    pub answered: u64,
    pub refused: u64,
    pub unknown: u64,
    pub terms: u64,
    pub snapshots: u64,
    pub rejoins: u64,
    pub leases: u64,
    pub events: u64,
    pub faults: BTreeMap<&'static str, u64>,
    pub violations: u64,
    /// Those that violated something.
    pub failed: Vec<Report>,
}

impl Sum {
    pub fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.answered += report.answered;
        self.refused += report.refused;
        self.unknown += report.unknown;
        self.terms += report.terms;
        self.snapshots += report.snapshots;
        self.rejoins += report.rejoins;
        self.leases += report.leases;
        self.events += report.events;
        for (fault, count) in &report.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.violations += report.violations.len() as u64;
        if !report.violations.is_empty() {
            self.failed.push(report);
        }
    }
}

/// The line of counts.
impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let injected: u64 = self.faults.values().sum();
        let kinds: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let (answered, refused, unknown) = (self.answered, self.refused, self.unknown);
        write!(
            f,
            "{} seeds, {injected} faults injected ({}), {} operations ({answered} answered, {refused} refused, {unknown} \
             unknown), {} elections, {} snapshots sent, {} members anew, {} leases, {} watched revisions, {} violations",
            self.seeds,
            kinds.join(", "),
            answered + refused + unknown,
            self.terms,
            self.snapshots,
            self.rejoins,
            self.leases,
            self.events,
            self.violations
        )
    }
}

/// Runs seeds `first..first + count` and tells each report as it comes; stops early when `enough` says so.
pub fn run_many(
    first: u64,
    count: u64,
    settings: impl Fn(u64) -> Settings + Sync,
    enough: impl Fn(&Report) -> bool + Sync,
) -> Sum {
    let next = AtomicU64::new(first);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let report = run(settings(seed));
                    if enough(&report) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    sum.lock().add(report);
                }
            });
        }
    });
    let mut sum = sum.into_inner();
    sum.failed.sort_by_key(|report| report.seed);
    sum
}
