//! What the daemon tells of itself: health checks and metrics with upstream's names.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use daemon::health::{Flag, Health, Scope};
use daemon::metrics::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::{Controller, wiring};
use crate::flags::Flags;

/// Health, metrics, and the queues that they speak of.
pub struct Status {
    pub health: Health,
    pub metrics: Metrics,
    pub controllers: Arc<Vec<Arc<Controller>>>,
    /// Whether the informers have what they follow; a candidate that does not lead follows nothing, and is ready.
    pub synced: Flag,
    leading: Arc<AtomicBool>,
}

impl Status {
    /// Makes the controllers that the flags choose, and registers what is told of them.
    pub fn new(flags: &Flags) -> Self {
        let controllers = wiring::controllers(flags);
        let leading = Arc::new(AtomicBool::new(false));
        let metrics = Metrics::new();
        let name = flags.leader_elect_resource_name.clone();
        let told = Told { controllers: controllers.clone(), leading: leading.clone(), name };
        metrics.with(|registry| registry.register_collector(Box::new(told)));
        let health = Health::new();
        let synced = health.flag("informers", Scope::Ready, "not synced yet");
        synced.ok();
        Self { health, metrics, controllers, synced, leading }
    }

    /// This process is the one that works, and sees everything.
    pub fn working(&self) {
        self.synced.ok();
        self.leading.store(true, Ordering::Relaxed);
    }

    /// Another one may work.
    pub fn idle(&self) {
        self.synced.ok();
        self.leading.store(false, Ordering::Relaxed);
    }
}

/// Read at each scrape.
struct Told {
    controllers: Arc<Vec<Arc<Controller>>>,
    leading: Arc<AtomicBool>,
    name: String,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let master = ConstGauge::new(i64::from(self.leading.load(Ordering::Relaxed)));
        let help = "1 while this process leads";
        let mut family =
            encoder.encode_descriptor("leader_election_master_status", help, None, master.metric_type())?;
        master.encode(family.encode_family(&[("name", self.name.as_str())])?)?;
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut depth =
            encoder.encode_descriptor("workqueue_depth", "Keys that wait, delayed ones included", None, kind)?;
        for controller in self.controllers.iter() {
            let waiting = ConstGauge::new(i64::try_from(controller.queue.len()).unwrap_or(i64::MAX));
            waiting.encode(depth.encode_family(&[("name", controller.name)])?)?;
        }
        Ok(())
    }
}
