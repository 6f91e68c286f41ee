use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use client::informer::Key;

use super::*;
use crate::fake::FakeKernel;
use crate::table::Transaction;

/// A fake kernel that refuses the next few transactions, and counts those it takes.
#[derive(Clone, Default)]
struct Flaky {
    kernel: Arc<FakeKernel>,
    refusals: Arc<AtomicU32>,
    taken: Arc<AtomicU32>,
}

#[async_trait]
impl Kernel for Flaky {
    async fn apply(&self, steps: &Transaction) -> Result<(), KernelError> {
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(KernelError::Step { step: "any".into(), detail: "refused".into() });
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.kernel.apply(steps).await
    }

    async fn read(&self) -> Result<Found, KernelError> {
        self.kernel.read().await
    }

    fn set_node_ports(&mut self, _: NodePortAddresses) -> bool {
        false
    }
}

struct Rig {
    kernel: Flaky,
    services: mpsc::Sender<Change<core::Service>>,
    slices: mpsc::Sender<Change<discovery::EndpointSlice>>,
    _nodes: mpsc::Sender<Change<core::Node>>,
}

impl Rig {
    /// Starts the loop; its first lists are in when `listed` ends.
    fn start(period: Option<Duration>, listed: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::with_conntrack(Vec::new(), period, listed)
    }

    /// The same with a program that is run as `conntrack`.
    fn with_conntrack(
        conntrack: Vec<String>,
        period: Option<Duration>,
        listed: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let kernel = Flaky::default();
        let health = Health::new();
        let proxy = Proxy {
            state: State::default(),
            kernel: kernel.clone(),
            metrics: Metrics::register(&daemon::metrics::Metrics::new()),
            synced: health.flag("sync", Scope::Ready, "not yet"),
            fixed_node_ports: true,
            next_full: Some(Instant::now()),
            period,
            pause: RETRY_FIRST,
            conntrack,
            stale: Vec::new(),
            health_checks: HealthChecks::default(),
        };
        let (services, services_rx) = mpsc::channel(16);
        let (slices, slices_rx) = mpsc::channel(16);
        let (nodes, nodes_rx) = mpsc::channel(16);
        tokio::spawn(proxy.run(Changes { services: services_rx, slices: slices_rx, nodes: nodes_rx }, listed));
        Self { kernel, services, slices, _nodes: nodes }
    }

    async fn service(&self, name: &str, ip: &str) {
        let mut service = core::Service::default();
        service.metadata.namespace = "n".into();
        service.metadata.name = name.into();
        service.spec.cluster_ips = vec![ip.into()];
        service.spec.ports = vec![core::ServicePort { port: 80, protocol: "TCP".into(), ..Default::default() }];
        let change = Change { key: Key::new("n", name), old: None, new: Some(Arc::new(service)) };
        self.services.send(change).await.unwrap();
    }

    async fn until(&self, line: &str) {
        let shown = async {
            while !self.kernel.kernel.dump().contains(line) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(600), shown).await;
        assert!(waited.is_ok(), "no {line:?} in\n{}", self.kernel.kernel.dump());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_transaction_is_mended_by_a_full_sync() {
    let rig = Rig::start(None, std::future::ready(()));
    rig.service("a", "10.96.0.1").await;
    rig.until("10.96.0.1").await;
    rig.kernel.refusals.store(3, Ordering::SeqCst);
    rig.service("b", "10.96.0.2").await;
    rig.until("10.96.0.2").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_everything_was_listed() {
    let (listed, wait) = tokio::sync::oneshot::channel::<()>();
    let rig = Rig::start(None, async {
        let _sent = wait.await;
    });
    rig.service("a", "10.96.0.1").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.kernel.taken.load(Ordering::SeqCst), 0, "half a list would cut what an earlier proxy wrote");
    listed.send(()).unwrap();
    rig.until("10.96.0.1").await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_removed_comes_back_with_the_next_period() {
    let rig = Rig::start(Some(Duration::from_secs(30)), std::future::ready(()));
    rig.service("a", "10.96.0.1").await;
    rig.until("10.96.0.1").await;
    rig.kernel.kernel.apply_now(&vec![Op::DeleteTable(crate::table::Family::V4)]).unwrap();
    rig.until("10.96.0.1").await;
}

#[tokio::test(start_paused = true)]
async fn changes_that_came_together_share_a_transaction() {
    let rig = Rig::start(None, std::future::ready(()));
    rig.service("a", "10.96.0.1").await;
    rig.until("10.96.0.1").await;
    let before = rig.kernel.taken.load(Ordering::SeqCst);
    for index in 2..10 {
        rig.service(&format!("s{index}"), &format!("10.96.0.{index}")).await;
    }
    rig.until("10.96.0.9").await;
    assert_eq!(rig.kernel.taken.load(Ordering::SeqCst), before + 1);
    drop(rig.slices);
}

/// Time is not paused: a process runs.
#[tokio::test]
async fn flows_that_went_stale_in_a_refused_transaction_are_forgotten_with_the_next() {
    let asked = std::env::temp_dir().join(format!("keelson-conntrack-{}", std::process::id()));
    let script = format!("echo \"$@\" >> {}", asked.display());
    let program = ["sh", "-c", &script, "conntrack"].map(str::to_owned).to_vec();
    let rig = Rig::with_conntrack(program, None, std::future::ready(()));
    let mut service = core::Service::default();
    (service.metadata.namespace, service.metadata.name) = ("n".into(), "dns".into());
    service.spec.cluster_ips = vec!["10.96.0.10".into()];
    service.spec.ports = vec![core::ServicePort { port: 53, protocol: "UDP".into(), ..Default::default() }];
    let change = Change { key: Key::new("n", "dns"), old: None, new: Some(Arc::new(service)) };
    rig.services.send(change).await.unwrap();
    let slice = |ip: &str| {
        let mut slice = discovery::EndpointSlice { address_type: "IPv4".into(), ..Default::default() };
        (slice.metadata.namespace, slice.metadata.name) = ("n".into(), "dns-1".into());
        slice.metadata.labels.insert("kubernetes.io/service-name".into(), "dns".into());
        slice.endpoints = vec![discovery::Endpoint { addresses: vec![ip.into()], ..Default::default() }];
        slice.ports = vec![discovery::EndpointPort {
            name: Some(String::new()),
            port: Some(5353),
            protocol: Some("UDP".into()),
            ..Default::default()
        }];
        Some(Arc::new(slice))
    };
    let (old, new) = (slice("10.244.0.1"), slice("10.244.0.2"));
    let change = |old, new| Change { key: Key::new("n", "dns-1"), old, new };
    rig.slices.send(change(None, old.clone())).await.unwrap();
    rig.until("10.244.0.1").await;
    // The change itself is refused, and so are the mending and the making anew that follow.
    rig.kernel.refusals.store(3, Ordering::SeqCst);
    rig.slices.send(change(old, new)).await.unwrap();
    rig.until("10.244.0.2").await;
    let told = async {
        let about = "--orig-dst 10.96.0.10 --orig-port-dst 53 --dst-nat 10.244.0.1";
        while !std::fs::read_to_string(&asked).unwrap_or_default().contains(about) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), told).await.is_ok(), "the flow was kept");
    std::fs::remove_file(&asked).unwrap();
}
