//! Probes by gRPC and HTTPS: whom they ask, how, and what follows from a no.

use proto::core::v1::{GrpcAction, HttpHeader, Pod, Probe, ProbeHandler};
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;

use crate::hooks::get;
use crate::lab::{Lab, NODE_IP, eventually, on_lab};
use crate::site::Site;
use crate::{FOREVER, is_ready, pod, shell};

/// Every second, and one answer decides.
fn at_once(handler: ProbeHandler) -> Option<Probe> {
    Some(Probe { handler, period_seconds: 1, failure_threshold: 1, ..Probe::default() })
}

fn restarts(pod: &Pod) -> i64 {
    pod.status.container_statuses.first().map_or(0, |status| status.restart_count.into())
}

fn was_told(lab: &Lab, message: &str) -> bool {
    lab.map.events().iter().any(|event| event.reason == "Unhealthy" && event.message == message)
}

#[test]
fn a_grpc_probe_asks_the_named_service_and_a_no_restarts() {
    on_lab(async |lab: &Lab| {
        let listener = tokio::net::TcpListener::bind((NODE_IP, 0)).await.unwrap();
        let port = i32::from(listener.local_addr().unwrap().port());
        let (reporter, service) = tonic_health::server::health_reporter();
        // What the nameless service says must not matter.
        reporter.set_service_status("", ServingStatus::NotServing).await;
        reporter.set_service_status("app", ServingStatus::Serving).await;
        let server = tonic::transport::Server::builder().add_service(service);
        let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

        let ask = |service: &str| {
            let grpc = Some(GrpcAction { port, service: Some(service.into()) });
            at_once(ProbeHandler { grpc, ..ProbeHandler::default() })
        };
        let mut container = shell(FOREVER);
        (container.liveness_probe, container.readiness_probe) = (ask("app"), ask("late"));
        // On the node's network the probe reaches the server of this test.
        let mut pod = pod("asked", "Always", vec![container]);
        pod.spec.host_network = true;
        lab.create(&pod).await;
        let unknown = "Readiness probe failed: error: health rpc failed: ";
        eventually("the service that is not known is told of", async || {
            lab.map.events().iter().any(|event| event.message.starts_with(unknown))
        })
        .await;
        reporter.set_service_status("late", ServingStatus::Serving).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        assert_eq!(restarts(&running), 0);

        reporter.set_service_status("app", ServingStatus::NotServing).await;
        let no = "Liveness probe failed: service unhealthy (responded with \"NOT_SERVING\")";
        eventually("the no is told of", async || was_told(lab, no)).await;
        reporter.set_service_status("app", ServingStatus::Serving).await;
        lab.wait(&pod, "a restart", |pod| is_ready(pod) && restarts(pod) == 1).await;
        // Nobody listens: that is a no, too.
        server.abort();
        lab.wait(&pod, "another restart", |pod| restarts(pod) >= 2).await;
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn an_https_probe_takes_any_certificate_and_carries_its_headers() {
    on_lab(async |lab: &Lab| {
        let site = Site::start_tls(lab).await;
        let ask = |path: &str| {
            let mut action = get(site.port, path);
            action.scheme = "HTTPS".into();
            let header = |name: &str, value: &str| HttpHeader { name: name.into(), value: value.into() };
            action.http_headers = vec![header("X-Probe", "mine"), header("User-Agent", "other"), header("Host", "app")];
            at_once(ProbeHandler { http_get: Some(action), ..ProbeHandler::default() })
        };
        let mut container = shell(FOREVER);
        container.readiness_probe = ask("/ready");
        let good = pod("good", "Always", vec![container.clone()]);
        lab.create(&good).await;
        lab.wait(&good, "Ready", is_ready).await;
        let asked = site.asked("/ready").unwrap();
        let headers = ["x-probe", "user-agent", "host", "accept"].map(|name| asked.header(name));
        assert_eq!(headers, ["mine", "other", "app", "*/*"]);

        (container.readiness_probe, container.liveness_probe) = (None, ask("/500"));
        let bad = pod("bad", "Always", vec![container]);
        lab.create(&bad).await;
        lab.wait(&bad, "a restart", |pod| restarts(pod) >= 1).await;
        assert!(was_told(lab, "Liveness probe failed: HTTP probe failed with statuscode: 500"));
        for pod in [&good, &bad] {
            lab.delete(pod, 0).await;
            lab.wait_gone(pod).await;
        }
    });
}
