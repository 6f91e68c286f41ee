//! What the scheduler counts, under upstream's names.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Labels of `scheduler_schedule_attempts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Attempt {
    pub profile: String,
    pub result: &'static str,
}

/// Labels of `scheduler_pending_pods`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Waiting {
    pub queue: &'static str,
}

/// Names of the queues, in the order of `Queue::counts`.
const QUEUES: [&str; 4] = ["active", "backoff", "unschedulable", "gated"];

/// See the module.
#[derive(Clone)]
pub struct Metrics {
    profile: String,
    attempts: Family<Attempt, Counter>,
    pending: Family<Waiting, Gauge>,
    decision_s: Histogram,
    preemptions: Counter<u64, AtomicU64>,
}

impl Metrics {
    pub fn register(metrics: &daemon::metrics::Metrics, profile: &str) -> Self {
        let this = Self {
            profile: profile.to_owned(),
            attempts: Family::default(),
            pending: Family::default(),
            decision_s: Histogram::new(exponential_buckets(0.00001, 2.0, 20)),
            preemptions: Counter::default(),
        };
        metrics.with(|registry| {
            registry.register(
                "scheduler_schedule_attempts",
                "Attempts to schedule pods, by result",
                this.attempts.clone(),
            );
            registry.register("scheduler_pending_pods", "Waiting pods by queue", this.pending.clone());
            registry.register(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Time to decide for one pod",
                this.decision_s.clone(),
            );
            registry.register(
                "scheduler_preemption_attempts",
                "Pods for which others were evicted",
                this.preemptions.clone(),
            );
        });
        this
    }

    /// One decision: `scheduled`, `unschedulable` or `error`.
    pub fn attempt(&self, result: &'static str) {
        self.attempts.get_or_create(&Attempt { profile: self.profile.clone(), result }).inc();
    }

    pub fn decided(&self, seconds: f64) {
        self.decision_s.observe(seconds);
    }

    pub fn preempted(&self) {
        self.preemptions.inc();
    }

    pub fn waiting(&self, counts: [usize; 4]) {
        for (queue, count) in QUEUES.into_iter().zip(counts) {
            self.pending.get_or_create(&Waiting { queue }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
