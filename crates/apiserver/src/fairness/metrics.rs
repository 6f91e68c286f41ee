//! What is counted about fairness, under upstream's names.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;

use super::Fairness;
use super::level::Look;
use super::seats::Refusal;

/// Upstream's buckets, in seconds.
const SECONDS: [f64; 14] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0];
const SEATS: [f64; 6] = [1.0, 2.0, 4.0, 10.0, 20.0, 100.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFlow {
    priority_level: String,
    flow_schema: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWait {
    priority_level: String,
    flow_schema: String,
    execute: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    priority_level: String,
    flow_schema: String,
    reason: &'static str,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct FairnessMetrics {
    refused: Family<OfRefusal, Counter>,
    dispatched: Family<OfFlow, Counter>,
    waiting: Family<OfFlow, Gauge>,
    running: Family<OfFlow, Gauge>,
    waited: Family<OfWait, Histogram, fn() -> Histogram>,
    ran: Family<OfFlow, Histogram, fn() -> Histogram>,
    seats: Family<OfFlow, Histogram, fn() -> Histogram>,
}

/// What one schema counts, found once.
#[derive(Debug)]
pub(super) struct FlowMetrics {
    of: OfFlow,
    all: FairnessMetrics,
    dispatched: Counter,
    pub waiting: Gauge,
    pub running: Gauge,
    waited: Histogram,
    ran: Histogram,
    seats: Histogram,
}

impl Default for FairnessMetrics {
    fn default() -> Self {
        Self {
            refused: Family::default(),
            dispatched: Family::default(),
            waiting: Family::default(),
            running: Family::default(),
            waited: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            ran: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            seats: Family::new_with_constructor(|| Histogram::new(SEATS)),
        }
    }
}

impl FairnessMetrics {
    /// Shows them on the port.
    pub fn register(&self, metrics: &daemon::metrics::Metrics, fairness: &Arc<Fairness>) {
        metrics.with(|registry| {
            registry.register(
                "apiserver_flowcontrol_rejected_requests",
                "Requests that were refused, by reason",
                self.refused.clone(),
            );
            registry.register(
                "apiserver_flowcontrol_dispatched_requests",
                "Requests that were let run",
                self.dispatched.clone(),
            );
            registry.register(
                "apiserver_flowcontrol_current_inqueue_requests",
                "Requests that wait in queues",
                self.waiting.clone(),
            );
            registry.register(
                "apiserver_flowcontrol_current_executing_requests",
                "Requests that run, or watches that begin",
                self.running.clone(),
            );
            registry.register(
                "apiserver_flowcontrol_request_wait_duration_seconds",
                "Seconds that requests waited, whether they were let run then or not",
                self.waited.clone(),
            );
            registry.register(
                "apiserver_flowcontrol_request_execution_seconds",
                "Seconds that requests ran, or watches began",
                self.ran.clone(),
            );
            registry.register(
                "apiserver_flowcontrol_work_estimated_seats",
                "Seats that requests are expected to need, at the most",
                self.seats.clone(),
            );
            registry.register_collector(Box::new(Levels(Arc::downgrade(fairness))));
        });
    }

    pub(super) fn of_flow(&self, level: &str, schema: &str) -> FlowMetrics {
        let of = OfFlow { priority_level: level.to_owned(), flow_schema: schema.to_owned() };
        FlowMetrics {
            dispatched: self.dispatched.get_or_create(&of).clone(),
            waiting: self.waiting.get_or_create(&of).clone(),
            running: self.running.get_or_create(&of).clone(),
            waited: self.waited.get_or_create(&of.waited("true")).clone(),
            ran: self.ran.get_or_create(&of).clone(),
            seats: self.seats.get_or_create(&of).clone(),
            all: self.clone(),
            of,
        }
    }
}

impl OfFlow {
    fn waited(&self, execute: &'static str) -> OfWait {
        let Self { priority_level, flow_schema } = self.clone();
        OfWait { priority_level, flow_schema, execute }
    }
}

impl FlowMetrics {
    /// A request runs after it waited so long.
    pub fn dispatched(&self, waited_s: f64, seats: u32) {
        self.dispatched.inc();
        self.running.inc();
        self.waited.observe(waited_s);
        self.seats.observe(f64::from(seats));
    }

    /// A request was refused after it waited so long.
    pub fn refused(&self, why: Refusal, waited_s: f64) {
        let OfFlow { priority_level, flow_schema } = self.of.clone();
        self.all.refused.get_or_create(&OfRefusal { priority_level, flow_schema, reason: why.name() }).inc();
        self.all.waited.get_or_create(&self.of.waited("false")).observe(waited_s);
    }

    /// A request ended after it ran so long.
    pub fn ended(&self, ran_s: f64) {
        self.running.dec();
        self.ran.observe(ran_s);
    }
}

/// What levels show of themselves when they are asked.
#[derive(Debug)]
struct Levels(std::sync::Weak<Fairness>);

type Shown = fn(&Look) -> f64;

/// Name, help and value of each gauge.
const GAUGES: [(&str, &str, Shown); 13] = [
    ("nominal_limit_seats", "Seats by the level's shares", |look| f64::from(look.setting.bounds.nominal)),
    ("lower_limit_seats", "Seats that the level keeps", |look| f64::from(look.setting.bounds.lower)),
    ("upper_limit_seats", "Seats that the level has at most", |look| f64::from(look.setting.bounds.upper)),
    ("current_limit_seats", "Seats that the level has now", current),
    ("request_concurrency_limit", "Seats by the level's shares", |look| f64::from(look.setting.bounds.nominal)),
    ("current_executing_seats", "Seats in use", |look| f64::from(look.seats)),
    ("request_concurrency_in_use", "Seats in use", |look| f64::from(look.seats)),
    ("demand_seats_high_watermark", "Most seats asked for in the last period", |look| look.memory.seen.high),
    ("demand_seats_average", "Seats asked for in the last period, on average", |look| look.memory.seen.average),
    ("demand_seats_stdev", "Standard deviation of seats asked for", |look| look.memory.seen.deviation),
    ("demand_seats_smoothed", "Seats asked for, falling slowly", |look| look.memory.smoothed),
    ("target_seats", "Seats that the level would like to have", |look| look.target),
    ("priority_level_seat_utilization_ratio", "Part of the level's seats in use", |look| {
        f64::from(look.seats) / current(look).max(1.0)
    }),
];

/// Who holds nobody up has its nominal seats, whatever it uses.
fn current(look: &Look) -> f64 {
    f64::from(if look.setting.exempt { look.setting.bounds.nominal } else { look.limit })
}

impl Collector for Levels {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(fairness) = self.0.upgrade() else { return Ok(()) };
        let config = fairness.config.load();
        let looks: Vec<(&String, Look)> = config.levels.iter().map(|(name, level)| (name, level.look())).collect();
        let gauge = ConstGauge::new(0.0_f64);
        for (name, help, shown) in GAUGES {
            let name = format!("apiserver_flowcontrol_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
            for (level, look) in &looks {
                let label = [("priority_level", level.as_str())];
                ConstGauge::new(shown(look)).encode(family.encode_family(&label)?)?;
            }
        }
        let name = "apiserver_flowcontrol_seat_fair_frac";
        let family =
            encoder.encode_descriptor(name, "Part of its target that every level gets", None, gauge.metric_type())?;
        ConstGauge::new(fairness.fair_fraction()).encode(family)
    }
}
