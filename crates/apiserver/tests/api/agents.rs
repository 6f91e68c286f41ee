//! Thousands of agents that list everything at once and do not read: the apiserver's memory stays bounded, and an
//! administrator is served.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::Client;
use client::config::{Credentials, Data};
use proto::core::v1::ConfigMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Barrier, Semaphore};

use crate::harness::{Cluster, Engine, config_map, until};
use crate::raw::Caller;

const AGENTS: usize = 2000;
const OBJECTS: usize = 2000;
const OBJECT_BYTES: usize = 8 << 10;
/// What answers may hold.
const BUDGET_BYTES: u64 = 32 << 20;
/// Beside that: connections, and what this build of the program takes.
const CONNECTION_BYTES: u64 = 100 << 10;
const SLACK_BYTES: u64 = 64 << 20;

/// The program, in a process of its own so that its memory can be told from this one's.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Program {
    fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("Linux tells it");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_do_not_read_fill_neither_memory_nor_the_administrators_lane() {
    let cluster = Cluster::start(Engine::Keelson);
    let port = crate::harness::free_port();
    let mut args = cluster.flags(port);
    args.extend([format!("--max-bytes-inflight={BUDGET_BYTES}"), "--bind-address=127.0.0.1".to_owned()]);
    let program = Command::new(env!("CARGO_BIN_EXE_keelson-apiserver")).args(&args).stderr(Stdio::null()).spawn();
    let program = Program(program.expect("cargo builds it for this test"));
    let address = ([127, 0, 0, 1], port).into();
    let admin = Caller::new(&cluster, address, "admin");
    until("the apiserver", || async { tokio::net::TcpStream::connect(address).await.ok() }).await;
    until("its first objects", || async { (admin.get("/readyz").await.code == 200).then_some(()) }).await;
    fill(&cluster, address).await;
    let begin = program.memory("VmRSS:");

    let (stalled, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let connecting = Arc::new(Semaphore::new(32));
    // All ask at once, when all are connected.
    let start = Arc::new(Barrier::new(AGENTS + 1));
    let mut agents = tokio::task::JoinSet::new();
    for at in 0..AGENTS {
        let (admin, connecting, start) = (admin.clone(), Arc::clone(&connecting), Arc::clone(&start));
        let (stalled, refused) = (Arc::clone(&stalled), Arc::clone(&refused));
        agents.spawn(async move {
            let turn = connecting.acquire_owned().await;
            let mut stream = admin.narrow(4096).await.expect("connected");
            drop(turn);
            start.wait().await;
            // Each agent is somebody else.
            let request = format!(
                "GET /api/v1/configmaps HTTP/1.1\r\nHost: l\r\nImpersonate-User: agent-{at}\r\nImpersonate-Group: agents\r\n\r\n"
            );
            if stream.write_all(request.as_bytes()).await.is_err() {
                return;
            }
            let mut head = [0; 12];
            if stream.read_exact(&mut head).await.is_ok() {
                let is_refused = head.ends_with(b"429");
                if is_refused { &refused } else { &stalled }.fetch_add(1, Ordering::Relaxed);
            }
            // Nothing more is read.
            std::future::pending::<()>().await;
        });
    }
    start.wait().await;
    let (mut slowest, mut highest) = (Duration::ZERO, 0);
    let over = Instant::now() + Duration::from_secs(20);
    while Instant::now() < over {
        let asked = Instant::now();
        assert_eq!(admin.get("/api/v1/namespaces/default/configmaps/m0").await.code, 200);
        slowest = slowest.max(asked.elapsed());
        highest = highest.max(program.memory("VmRSS:"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let grown = highest.saturating_sub(begin);
    let (stalled, refused) = (stalled.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    println!(
        "{AGENTS} agents: {stalled} stalled in an answer, {refused} refused; the apiserver grew by {} MiB to {} MiB; an \
         administrator waited {slowest:?} at most",
        grown >> 20,
        highest >> 20,
    );
    assert!(stalled > 0 && stalled + refused > AGENTS / 20, "{stalled} stalled, {refused} refused");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let bound = BUDGET_BYTES + AGENTS as u64 * CONNECTION_BYTES + SLACK_BYTES;
    assert!(grown < bound, "{grown} of {bound} bytes");
}

/// Objects to list, and who may list them.
async fn fill(cluster: &Cluster, address: std::net::SocketAddr) {
    use proto::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
    let file = |path| Data::File(path);
    let client = Client::new(client::Config {
        servers: vec![format!("https://{address}")],
        ca: Some(file(cluster.pki.authority(testkit::pki::Authority::Cluster))),
        server_name: None,
        insecure: false,
        credentials: Credentials::Certificate {
            cert: file(cluster.pki.certificate("admin")),
            key: file(cluster.pki.key("admin")),
        },
        namespace: "default".into(),
        user_agent: "test".into(),
    })
    .expect("a good configuration");
    let mut binding = ClusterRoleBinding::default();
    binding.metadata.name = "agents".into();
    binding.role_ref =
        RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "ClusterRole".into(), name: "agents".into() };
    binding.subjects = vec![Subject {
        kind: "Group".into(),
        api_group: "rbac.authorization.k8s.io".into(),
        name: "agents".into(),
        ..Default::default()
    }];
    let mut role = proto::rbac::v1::ClusterRole::default();
    role.metadata.name = "agents".into();
    role.rules = vec![proto::rbac::v1::PolicyRule {
        verbs: vec!["list".into()],
        api_groups: vec![String::new()],
        resources: vec!["configmaps".into()],
        ..Default::default()
    }];
    client.api::<proto::rbac::v1::ClusterRole>().create(&role).await.expect("created");
    client.api::<ClusterRoleBinding>().create(&binding).await.expect("created");
    let text = "y".repeat(OBJECT_BYTES);
    let maps = client.api::<ConfigMap>();
    let mut making = tokio::task::JoinSet::new();
    for at in 0..OBJECTS {
        let (maps, map) = (maps.clone(), config_map("default", &format!("m{at}"), &[("k", &text)]));
        if making.len() >= 32 {
            making.join_next().await;
        }
        making.spawn(async move { maps.create(&map).await.expect("created") });
    }
    while let Some(made) = making.join_next().await {
        made.expect("created");
    }
}
