//! JSON lines: one for each load, product and round.

use serde_json::json;

use crate::load::Measured;
use crate::sizes::Sizes;

/// Whose figures these are.
pub struct Report {
    pub product: &'static str,
    pub round: usize,
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Report {
    /// A load of calls or events.
    pub fn load(&self, name: &str, measured: &Measured) {
        let Measured { figures, span, cpu, peak } = measured;
        let each = |micros: u64| round(micros as f64 / figures.operations.max(1) as f64);
        let ms = |quantile| figures.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        let line = json!({
            "bench": "api", "load": name, "product": self.product, "round": self.round,
            "per_s": round(figures.operations as f64 / span.as_secs_f64()), "p50_ms": ms(0.5), "p99_ms": ms(0.99),
            "cpu_us": each(cpu.apiserver), "store_cpu_us": each(cpu.store), "generator_cpu_us": each(cpu.generator),
            "peak_mib": peak >> 20,
        });
        println!("{line}");
    }

    /// A single figure.
    pub fn figure(&self, name: &str, unit: &str, value: f64) {
        let line = json!({
            "bench": "api", "load": name, "product": self.product, "round": self.round, "unit": unit, "value": round(value),
        });
        println!("{line}");
    }

    /// How large the pod is.
    pub fn sizes(&self, sizes: &Sizes) {
        for (name, bytes) in [("sent", sizes.sent), ("json", sizes.json), ("stored", sizes.stored)] {
            self.figure(&format!("pod-{name}"), "bytes", bytes as f64);
        }
    }
}
