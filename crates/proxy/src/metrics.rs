//! What the proxy counts, under upstream's names.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// See the module.
#[derive(Clone)]
pub struct Metrics {
    sync_s: Histogram,
    full_sync_s: Histogram,
    failures: Counter,
    services: Gauge,
    endpoints: Gauge,
}

impl Metrics {
    pub fn register(metrics: &daemon::metrics::Metrics) -> Self {
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let this = Self {
            sync_s: histogram(),
            full_sync_s: histogram(),
            failures: Counter::default(),
            services: Gauge::default(),
            endpoints: Gauge::default(),
        };
        metrics.with(|registry| {
            registry.register(
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "Time of one transaction",
                this.sync_s.clone(),
            );
            registry.register(
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "Time of a reconciliation",
                this.full_sync_s.clone(),
            );
            registry.register(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures",
                "Failed transactions",
                this.failures.clone(),
            );
            registry.register("keelson_proxy_services", "Services that are served", this.services.clone());
            registry.register("keelson_proxy_endpoints", "Endpoints in all slices", this.endpoints.clone());
        });
        this
    }

    pub fn synced(&self, full: bool, took: Duration) {
        let histogram = if full { &self.full_sync_s } else { &self.sync_s };
        histogram.observe(took.as_secs_f64());
    }

    pub fn failed(&self) {
        self.failures.inc();
    }

    pub fn counts(&self, (services, endpoints): (usize, usize)) {
        self.services.set(i64::try_from(services).unwrap_or(i64::MAX));
        self.endpoints.set(i64::try_from(endpoints).unwrap_or(i64::MAX));
    }
}
