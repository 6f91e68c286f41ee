//! What is counted about requests, under upstream's names.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use proto::keelson::api::v1::ResourceRef;

use crate::registry::Registry;
use crate::status::Result;

/// Upstream's buckets, in seconds.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// Which requests are counted together. Only names from the table of resources occur, so that nobody can make series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct About {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    component: &'static str,
    dry_run: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    #[prometheus(flatten)]
    about: About,
    code: i32,
}

/// The metrics of requests.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    total: Family<Outcome, Counter>,
    duration: Family<About, Histogram, fn() -> Histogram>,
    long_running: Family<About, Gauge<i64, AtomicI64>>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            total: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            long_running: Family::default(),
        }
    }
}

impl RequestMetrics {
    /// Shows them on the port.
    pub fn register(&self, metrics: &daemon::metrics::Metrics) {
        metrics.with(|registry| {
            let help = "Requests by verb, resource, scope and HTTP code";
            registry.register("apiserver_request", help, self.total.clone());
            let help = "Seconds from a request to its answer; of watches and streams, to their beginning";
            registry.register("apiserver_request_duration_seconds", help, self.duration.clone());
            let help = "Watches and streams that run";
            registry.register("apiserver_longrunning_requests", help, self.long_running.clone());
        });
    }

    /// A request begins. `verb` as upstream's metrics have it: GET, LIST, WATCH, POST, PUT, ...
    pub fn begin(
        &self,
        registry: &Registry,
        verb: &'static str,
        named: Option<&ResourceRef>,
        dry_run: bool,
    ) -> Request {
        let mut about =
            About { verb, component: "apiserver", dry_run: if dry_run { "All" } else { "" }, ..About::default() };
        let found = named.and_then(|named| {
            let resource = registry.served(&named.group, &named.version, &named.resource).ok()?;
            Some((named, resource.row))
        });
        if let Some((named, row)) = found {
            (about.group, about.version, about.resource) = (row.group, row.version, row.plural);
            about.subresource = row.subresource(&named.subresource).map_or("", |subresource| subresource.name);
            about.scope = match (named.name.as_str(), named.namespace.as_str(), verb) {
                ("", _, "POST") => "resource",
                ("", "", _) => "cluster",
                ("", ..) => "namespace",
                _ => "resource",
            };
        }
        Request { metrics: self.clone(), about, begin: Instant::now() }
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Request {
    metrics: RequestMetrics,
    about: About,
    begin: Instant,
}

impl Request {
    /// It ended, or what it began runs.
    pub fn end<T>(&self, outcome: Result<T>) -> Result<T> {
        self.ended(match &outcome {
            Ok(_) if self.about.verb == "POST" => 201,
            Ok(_) => 200,
            Err(failure) => failure.code(),
        });
        outcome
    }

    /// It ended with an HTTP code.
    pub fn ended(&self, code: i32) {
        let outcome = Outcome { about: self.about.clone(), code };
        self.metrics.total.get_or_create(&outcome).inc();
        self.metrics.duration.get_or_create(&self.about).observe(self.begin.elapsed().as_secs_f64());
    }

    /// What it began runs until this is dropped.
    pub fn runs(&self) -> Running {
        let gauge = self.metrics.long_running.get_or_create(&self.about).clone();
        gauge.inc();
        Running { gauge: Arc::new(gauge) }
    }
}

/// A watch or stream that runs.
#[derive(Debug)]
pub struct Running {
    gauge: Arc<Gauge<i64, AtomicI64>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Failure;

    #[test]
    fn requests_are_counted_under_upstreams_names() {
        let (registry, metrics, shown) = (Registry::new(), RequestMetrics::default(), daemon::metrics::Metrics::new());
        metrics.register(&shown);
        let pod = |name: &str| ResourceRef {
            version: "v1".into(),
            resource: "pods".into(),
            namespace: "default".into(),
            name: name.into(),
            ..Default::default()
        };
        let get = metrics.begin(&registry, "GET", Some(&pod("p")), false);
        let _ = get.end::<()>(Err(Failure::not_found("", "pods", "p")));
        let watch = metrics.begin(&registry, "WATCH", Some(&pod("")), false);
        let running = watch.runs();
        let _ = watch.end(Ok(()));
        let invented = ResourceRef { resource: "no-such-thing".into(), ..Default::default() };
        metrics.begin(&registry, "GET", Some(&invented), false).ended(404);
        let text = shown.encode().expect("text");
        let line = |begin: &str, parts: &[&str]| {
            let found =
                text.lines().find(|line| line.starts_with(begin) && parts.iter().all(|part| line.contains(part)));
            found.unwrap_or_else(|| panic!("{begin} {parts:?} is not in {text}")).to_owned()
        };
        let parts = ["verb=\"GET\"", "resource=\"pods\"", "scope=\"resource\"", "code=\"404\"", "version=\"v1\""];
        assert!(line("apiserver_request_total{", &parts).ends_with(" 1"));
        line("apiserver_request_duration_seconds_bucket{", &["le=\"0.005\"", "verb=\"WATCH\"", "scope=\"namespace\""]);
        assert!(line("apiserver_longrunning_requests{", &["verb=\"WATCH\""]).ends_with(" 1"));
        assert!(!text.contains("no-such-thing"), "callers cannot make series");
        drop(running);
        let text = shown.encode().expect("text");
        let gauge = text.lines().find(|line| line.starts_with("apiserver_longrunning_requests{"));
        assert!(gauge.is_some_and(|line| line.ends_with(" 0")), "{gauge:?}");
    }
}
