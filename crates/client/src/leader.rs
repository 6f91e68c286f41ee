//! Leader election through a Lease, as upstream's daemons do it.
//!
//! Every candidate looks at the Lease each retry period. It is free when nobody holds it, when its holder released it,
//! or when it has not changed for the holder's lease duration by the *observer's* clock, so clocks need not agree. The
//! leader renews it; when it cannot for the renew deadline, it must stop, which is before anybody else may begin.

use std::time::Duration;

use futures::future::BoxFuture;
use proto::coordination::v1::{Lease, LeaseSpec};
use proto::time::MicroTime;
use rand::Rng;
use tokio::time::Instant;

use crate::api::Api;
use crate::error::Error;

/// How an election is held.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who this candidate is: unique, and for people to read.
    pub identity: String,
    /// How long others wait for a leader that no longer renews.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// The pause between tries.
    pub retry_period: Duration,
    /// Annotations for the leader's Lease.
    pub annotations: Vec<(String, String)>,
}

impl Options {
    /// Upstream's durations: 15 s, 10 s, 2 s.
    pub fn new(namespace: &str, name: &str, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            annotations: Vec::new(),
        }
    }
}

/// `host_random`: what upstream's daemons call themselves.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{:08x}", host.trim(), rand::rng().random::<u32>())
}

/// Where the Lease is kept.
pub trait Leases: Send + Sync {
    /// Reads it; none where it does not exist.
    fn get(&self) -> BoxFuture<'_, Result<Option<Lease>, Error>>;
    /// Creates it; refused where it exists.
    fn create(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, Error>>;
    /// Replaces it; refused where it changed since.
    fn update(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, Error>>;
}

/// The Lease on the API server.
struct Served {
    api: Api<Lease>,
    namespace: String,
    name: String,
}

impl Leases for Served {
    fn get(&self) -> BoxFuture<'_, Result<Option<Lease>, Error>> {
        Box::pin(self.api.get_opt(&self.namespace, &self.name))
    }
    fn create(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, Error>> {
        Box::pin(async move { self.api.create(&lease).await })
    }
    fn update(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, Error>> {
        Box::pin(async move { self.api.update(&lease).await })
    }
}

/// One candidate.
pub struct Elector {
    leases: Box<dyn Leases>,
    options: Options,
    /// The Lease as last seen, and when it was first seen so.
    observed: Option<(Lease, Instant)>,
    /// When the attempt began that took the lead.
    led_since: Option<Instant>,
}

/// What to do about the Lease now.
#[derive(Debug, PartialEq)]
enum Step {
    /// Nobody has one: create it.
    Create(Lease),
    /// It is ours, or free: write it.
    Take(Lease),
    /// Another one leads.
    Wait,
}

impl Elector {
    /// A candidate for a Lease on the API server.
    pub fn new(api: Api<Lease>, options: Options) -> Self {
        let served = Served { api, namespace: options.namespace.clone(), name: options.name.clone() };
        Self::with_leases(Box::new(served), options)
    }

    /// A candidate for a Lease kept elsewhere.
    pub fn with_leases(leases: Box<dyn Leases>, options: Options) -> Self {
        Self { leases, options, observed: None, led_since: None }
    }

    /// Returns once this candidate leads.
    pub async fn acquire(&mut self) {
        tracing::info!(lease = self.options.name, identity = self.options.identity, "waiting to lead");
        loop {
            let began = Instant::now();
            match self.attempt().await {
                Ok(true) => {
                    self.led_since = Some(began);
                    tracing::info!(lease = self.options.name, identity = self.options.identity, "leading");
                    return;
                }
                Ok(false) => {}
                Err(error) if error.is_conflict() || error.is_already_exists() => {}
                Err(error) => tracing::warn!(lease = self.options.name, "cannot stand for election: {error}"),
            }
            let jitter = rand::rng().random_range(0.0..0.2);
            tokio::time::sleep(self.options.retry_period.mul_f64(1.0 + jitter)).await;
        }
    }

    /// Renews; returns once leadership is lost.
    pub async fn hold(&mut self) {
        let mut renewed = self.led_since.unwrap_or_else(Instant::now);
        loop {
            let deadline = renewed + self.options.renew_deadline;
            tokio::time::sleep_until((Instant::now() + self.options.retry_period).min(deadline)).await;
            // Others count from when they see the renewal, which is after this and may be long before the answer is here.
            let began = Instant::now();
            match tokio::time::timeout_at(deadline, self.attempt()).await {
                Ok(Ok(true)) => renewed = began,
                Ok(Ok(false)) => {
                    tracing::error!(lease = self.options.name, "another one leads");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(lease = self.options.name, "cannot renew: {error}"),
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                tracing::error!(lease = self.options.name, "lost the lead: not renewed in time");
                return;
            }
        }
    }

    /// Gives the Lease up, so that another one need not wait for it to expire.
    pub async fn release(&mut self) {
        let Some((mut lease, _)) = self.observed.clone() else { return };
        let spec = &mut lease.spec;
        if spec.holder_identity.as_deref() != Some(&self.options.identity) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(now());
        if let Err(error) = self.leases.update(lease).await {
            tracing::debug!(lease = self.options.name, "not released: {error}");
        }
    }

    /// One look, and one write where it is ours to take. True: this candidate leads.
    async fn attempt(&mut self) -> Result<bool, Error> {
        let found = self.leases.get().await?;
        let now_local = Instant::now();
        if let Some(lease) = &found
            && self.observed.as_ref().is_none_or(|(seen, _)| seen.spec != lease.spec)
        {
            self.observed = Some((lease.clone(), now_local));
        }
        let unchanged_for = self.observed.as_ref().map(|(_, since)| now_local - *since).unwrap_or_default();
        let written = match step(&self.options, found, unchanged_for, now()) {
            Step::Wait => return Ok(false),
            Step::Create(lease) => self.leases.create(lease).await?,
            Step::Take(lease) => self.leases.update(lease).await?,
        };
        self.observed = Some((written, now_local));
        Ok(true)
    }
}

/// Decides. `unchanged_for`: how long this candidate has seen the Lease as it is.
fn step(options: &Options, found: Option<Lease>, unchanged_for: Duration, now: MicroTime) -> Step {
    let created = found.is_none();
    let mut lease = found.unwrap_or_default();
    let spec = &mut lease.spec;
    let holder = spec.holder_identity.clone().unwrap_or_default();
    let ours = holder == options.identity;
    let duration = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0));
    if !ours && !holder.is_empty() && unchanged_for < duration {
        return Step::Wait;
    }
    fill(spec, options, ours, created, now);
    for (name, value) in &options.annotations {
        lease.metadata.annotations.insert(name.clone(), value.clone());
    }
    lease.metadata.namespace = options.namespace.clone();
    lease.metadata.name = options.name.clone();
    if created { Step::Create(lease) } else { Step::Take(lease) }
}

fn fill(spec: &mut LeaseSpec, options: &Options, ours: bool, created: bool, now: MicroTime) {
    let transitions = spec.lease_transitions.unwrap_or(0);
    spec.lease_transitions = Some(if ours || created { transitions } else { transitions + 1 });
    if !ours || spec.acquire_time.is_none() {
        spec.acquire_time = Some(now);
    }
    spec.holder_identity = Some(options.identity.clone());
    spec.lease_duration_seconds = Some(i32::try_from(options.lease_duration.as_secs()).unwrap_or(i32::MAX));
    spec.renew_time = Some(now);
}

fn now() -> MicroTime {
    MicroTime::from_system(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests;
