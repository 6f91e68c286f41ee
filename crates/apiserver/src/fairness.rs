//! API priority and fairness: no client, and no group of them, keeps others from being served.
//!
//! Every request belongs to a FlowSchema (`classify`), and by it to a priority level ([`level`]) with a number of seats.
//! Where none is free it waits in a queue of its flow ([`queue_set`], `shuffle`) or is refused with 429. Levels lend each other idle
//! seats ([`borrow`]). `observe` hears of changed objects, [`maintain`] keeps those that every cluster has. The names and meanings
//! are upstream's; with `--enable-priority-and-fairness=false` requests are only counted (`plain`).
//!
//! A request that is not held up takes one lock for some hundred nanoseconds, twice.

pub mod bootstrap;
pub mod borrow;
mod classify;
pub mod config;
pub mod demand;
mod estimate;
pub mod level;
pub mod maintain;
pub mod metrics;
mod observe;
mod plain;
pub mod queue_set;
pub mod seats;
mod shuffle;
pub mod width;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::authenticate::User;
use crate::authorize::Attributes;
use crate::status::Failure;
use config::{Config, Flow, Objects};
pub use estimate::Work;
use metrics::FairnessMetrics;
use plain::Plain;
use queue_set::Ticket;
use seats::Refusal;

/// The longest that a request waits, as a part of what it may take in all; as upstream.
const WAIT_PART: u32 = 4;
/// How often seats are lent anew.
const LEND_INTERVAL: Duration = Duration::from_secs(10);

/// Flags.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `--enable-priority-and-fairness`.
    pub enabled: bool,
    /// `--max-requests-inflight`, `--max-mutating-requests-inflight`: together all seats.
    pub reading: u32,
    pub writing: u32,
    /// `--request-timeout`.
    pub request_timeout: Duration,
}

/// What requests pass.
#[derive(Debug)]
pub struct Fairness {
    seats: u32,
    wait_max: Duration,
    pub(in crate::fairness) config: ArcSwap<Config>,
    objects: Mutex<Objects>,
    plain: Option<Plain>,
    hasher: RandomState,
    ticks: Arc<Notify>,
    /// Something about the objects changed.
    changed: Notify,
    /// Bits of a fraction.
    fair_fraction: AtomicU64,
    /// What is counted.
    pub metrics: FairnessMetrics,
}

/// A request that was refused.
#[derive(Debug)]
pub struct Refused {
    /// Where it belonged.
    pub flow: Arc<Flow>,
    /// What its client is told.
    pub failure: Failure,
}

/// Seats that a request occupies; free when this is dropped.
#[derive(Debug)]
pub struct Seat {
    /// Where the request belongs.
    pub flow: Arc<Flow>,
    ticket: Option<Ticket>,
    began: Instant,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.flow.level.leave(ticket);
            self.flow.metrics.ended(self.began.elapsed().as_secs_f64());
        }
    }
}

impl Fairness {
    /// Knows the objects that every cluster has, until it hears of others.
    pub fn new(limits: Limits) -> Self {
        let (metrics, ticks) = (FairnessMetrics::default(), Arc::new(Notify::new()));
        let objects = Objects { schemas: named(bootstrap::flow_schemas()), levels: named(bootstrap::levels()) };
        let seats = limits.reading.saturating_add(limits.writing);
        let config = Config::new(&objects, None, seats, &metrics, &ticks);
        let plain = (!limits.enabled).then(|| Plain::new(limits.reading, limits.writing, &config, &metrics, &ticks));
        Self {
            seats,
            wait_max: limits.request_timeout / WAIT_PART,
            config: ArcSwap::from_pointee(config),
            objects: Mutex::new(objects),
            plain,
            hasher: RandomState::new(),
            ticks,
            changed: Notify::new(),
            fair_fraction: AtomicU64::default(),
            metrics,
        }
    }

    /// Lets a request in, at once or after a while.
    pub async fn enter(
        &self,
        user: &User,
        asked: &Attributes<'_>,
        until: Instant,
        work: Work<'_>,
    ) -> Result<Seat, Refused> {
        let flow = self.flow_of(user, asked);
        let hash = self.hasher.hash_one((&flow.name, classify::distinguisher(&flow.spec, user, asked)));
        let width = work.width(flow.level.nominal());
        let came = Instant::now();
        let until = until.min(came + self.wait_max);
        let (entered, waited_s) = {
            let mut waited = Waited { flow: &flow, counted: false };
            let entered = flow.level.enter(hash, width, until, || waited.begin()).await;
            (entered, if waited.counted { came.elapsed().as_secs_f64() } else { 0.0 })
        };
        match entered {
            Ok(ticket) => {
                flow.metrics.dispatched(waited_s, width.seats_max());
                Ok(Seat { flow, ticket: Some(ticket), began: came })
            }
            Err(why) => {
                flow.metrics.refused(why, waited_s);
                tracing::debug!(user = user.name, schema = flow.name, reason = why.name(), "refused by fairness");
                Err(Refused { failure: refusal(why), flow })
            }
        }
    }

    fn flow_of(&self, user: &User, asked: &Attributes<'_>) -> Arc<Flow> {
        match &self.plain {
            Some(plain) => Arc::clone(plain.flow_of(user, asked)),
            None => Arc::clone(self.config.load().flow_of(user, asked)),
        }
    }

    /// Changes the objects that are in use.
    fn with_objects(&self, change: impl FnOnce(&mut Objects)) {
        self.with_objects_if(true, change);
    }

    /// The same; `anew` false: what is in use does not depend on what changed.
    fn with_objects_if(&self, anew: bool, change: impl FnOnce(&mut Objects)) {
        let mut objects = self.objects.lock();
        change(&mut objects);
        if !anew {
            drop(objects);
            return self.changed.notify_one();
        }
        let before = self.config.load_full();
        let config = Config::new(&objects, Some(&before), self.seats, &self.metrics, &self.ticks);
        self.config.store(Arc::new(config));
        drop(objects);
        self.changed.notify_one();
    }

    /// Lends idle seats.
    fn lend(&self) {
        let config = self.config.load_full();
        let levels: Vec<_> = config.levels.values().collect();
        let learnt: Vec<_> = levels.iter().map(|level| level.learn()).collect();
        let (shares, fraction) = borrow::share(&learnt);
        for (level, share) in levels.into_iter().zip(shares) {
            level.take(share);
        }
        self.fair_fraction.store(fraction.to_bits(), Ordering::Relaxed);
    }

    fn fair_fraction(&self) -> f64 {
        f64::from_bits(self.fair_fraction.load(Ordering::Relaxed))
    }

    /// Frees seats whose time is over, and lends idle ones, until stopped.
    pub async fn keep(&self, stop: tokio_util::sync::CancellationToken) {
        let mut lend = tokio::time::interval(LEND_INTERVAL);
        lend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = self.config.load().levels.values().filter_map(|level| level.tick()).min();
            let pause = next.map_or(LEND_INTERVAL, |at| Duration::from_nanos(at.saturating_sub(level::now_ns())));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.ticks.notified() => {}
                _ = lend.tick() => self.lend(),
            }
        }
    }
}

/// Counts a request among those that wait, until it waits no more.
struct Waited<'a> {
    flow: &'a Flow,
    counted: bool,
}

impl Waited<'_> {
    fn begin(&mut self) {
        self.flow.metrics.waiting.inc();
        self.counted = true;
    }
}

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.flow.metrics.waiting.dec();
        }
    }
}

fn refusal(why: Refusal) -> Failure {
    let text = match why {
        Refusal::QueueFull => "its queue is full",
        Refusal::ConcurrencyLimit => "its priority level has no seat free",
        Refusal::TimeOut => "it waited as long as a request may",
        Refusal::Cancelled => "it was given up",
    };
    let message = format!("too many requests, please try again later: {text}");
    Failure::new(429, "TooManyRequests", message).retry_after(1)
}

fn named<T: proto::Object>(objects: Vec<T>) -> std::collections::BTreeMap<String, T> {
    objects.into_iter().map(|object| (object.metadata().name.clone(), object)).collect()
}

#[cfg(test)]
mod tests;
