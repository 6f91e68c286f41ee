//! The loads in turn on ours and on the peer's, and what came of them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::lease_client::LeaseClient;
use serde_json::json;
use tokio::net::TcpListener;

use test_bench::calls::{Figures, Load};
use test_bench::drive::{Make, drive};

use crate::loads::{self, KEYS};
use crate::servers::{Cluster, Product, connect, kv};
use crate::{Options, null};

/// Values of the keys that gets and ranges read.
const VALUE_BYTES: usize = 1024;
/// Puts in one transaction while the keys are laid down.
const LAID_AT_ONCE: u64 = 64;
/// Streams of the loads of watchers.
const WATCH_STREAMS: usize = 100;
/// Clients that write what watchers see.
const WRITERS: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Put(usize),
    Get {
        serializable: bool,
    },
    Range(i64),
    Update,
    Mixed,
    KeepAlive,
    /// Watchers, and whether all watch one prefix.
    Watch {
        watchers: usize,
        prefix: bool,
    },
}

pub struct Row {
    pub kind: Kind,
    pub clients: usize,
}

impl Row {
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Put(bytes) => format!("put-{bytes}"),
            Kind::Get { serializable: false } => "get-linearizable".into(),
            Kind::Get { serializable: true } => "get-serializable".into(),
            Kind::Range(keys) => format!("range-{keys}"),
            Kind::Update => "update".into(),
            Kind::Mixed => "mixed-80-20".into(),
            Kind::KeepAlive => "keep-alive".into(),
            Kind::Watch { watchers, prefix: true } => format!("watch-prefix-{watchers}"),
            Kind::Watch { watchers, prefix: false } => format!("watch-keys-{watchers}"),
        }
    }
}

/// Every load that the bench knows.
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |kind, clients: &[usize]| rows.extend(clients.iter().map(|clients| Row { kind, clients: *clients }));
    for bytes in [256, 1024, 8192] {
        add(Kind::Put(bytes), &[1, 10, 100, 1000]);
    }
    add(Kind::Update, &[1, 64, 256, 1000]);
    add(Kind::Get { serializable: false }, &[1, 100, 1000]);
    add(Kind::Get { serializable: true }, &[100, 1000]);
    add(Kind::Range(1000), &[10]);
    add(Kind::Range(10_000), &[4]);
    add(Kind::Mixed, &[100]);
    add(Kind::KeepAlive, &[100, 1000]);
    add(Kind::Watch { watchers: 1000, prefix: true }, &[WATCH_STREAMS]);
    add(Kind::Watch { watchers: 10_000, prefix: false }, &[WATCH_STREAMS]);
    rows
}

/// What one product did under one load.
#[derive(Default)]
struct Result1 {
    figures: Figures,
    seconds: f64,
    cpu_us: u64,
}

impl Result1 {
    fn rate(&self) -> f64 {
        self.figures.operations as f64 / self.seconds
    }

    fn cpu_per_operation(&self) -> f64 {
        self.cpu_us as f64 / self.figures.operations.max(1) as f64
    }

    fn ms(&self, share: f64) -> f64 {
        self.figures.latencies.value_at_quantile(share) as f64 / 1000.0
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "per_s": round(self.rate()), "p50_ms": self.ms(0.5), "p99_ms": self.ms(0.99), "max_ms": self.ms(1.0),
            "cpu_us_per_op": round(self.cpu_per_operation() * 100.0) / 100.0,
        })
    }
}

fn round(value: f64) -> f64 {
    value.round()
}

/// Runs the loads that the options name, on clusters of `members`.
pub async fn run(options: &Options, dir: &Path, members: usize) -> Result<()> {
    let rows: Vec<Row> = all().into_iter().filter(|row| options.wants(&row.name(), row.clients)).collect();
    let products = options.products();
    let mut results: Vec<Vec<Result1>> =
        rows.iter().map(|_| products.iter().map(|_| Result1::default()).collect()).collect();
    for _ in 0..options.rounds {
        for (at, product) in products.iter().enumerate() {
            let cluster = Cluster::start(product, dir, members).await?;
            lay(cluster.ports()[0], KEYS).await?;
            for (row, results) in rows.iter().zip(&mut results) {
                let one = measure(&cluster, row, options.span()).await;
                let one = one.with_context(|| {
                    format!("{}:{} on {}\n{}", row.name(), row.clients, product.name, cluster.log_tails())
                })?;
                let sum = &mut results[at];
                sum.figures.add(&one.figures);
                sum.seconds += one.seconds;
                sum.cpu_us += one.cpu_us;
            }
        }
    }
    for (row, results) in rows.iter().zip(&results) {
        let ceiling = ceiling(row, options.span()).await?;
        tell(row, members, &products, results, ceiling);
    }
    Ok(())
}

fn tell(row: &Row, members: usize, products: &[Product], results: &[Result1], ceiling: f64) {
    let mut line = json!({
        "bench": "store", "load": row.name(), "members": members, "clients": row.clients, "generator_per_s": round(ceiling),
    });
    for (product, result) in products.iter().zip(results) {
        line[product.name] = result.json();
    }
    if let [ours, peers] = results {
        line["ratio"] = json!(round(ours.rate() / peers.rate() * 100.0) / 100.0);
        line["p99_ratio"] = json!(round(ours.ms(0.99) / peers.ms(0.99) * 100.0) / 100.0);
        line["cpu_ratio"] = json!(round(ours.cpu_per_operation() / peers.cpu_per_operation() * 100.0) / 100.0);
    }
    println!("{line}");
}

/// Lays the keys down that are read.
pub async fn lay(port: u16, keys: u64) -> Result<()> {
    let mut client = kv(port).await?;
    let value = loads::value(VALUE_BYTES);
    for first in (0..keys).step_by(LAID_AT_ONCE as usize) {
        let put = |number| etcd::PutRequest { key: loads::key(number), value: value.clone(), ..Default::default() };
        let op = |number| etcd::RequestOp { request: Some(etcd::request_op::Request::RequestPut(put(number))) };
        let success = (first..(first + LAID_AT_ONCE).min(keys)).map(op).collect();
        client.txn(etcd::TxnRequest { success, ..Default::default() }).await?;
    }
    Ok(())
}

async fn measure(cluster: &Cluster, row: &Row, span: Duration) -> Result<Result1> {
    let ports = cluster.ports();
    let mut before = 0;
    let begin = |before: &mut u64| {
        *before = cluster.cpu_us()?;
        Ok(())
    };
    let figures = match row.kind {
        Kind::Watch { watchers, prefix } => {
            let each = watchers / WATCH_STREAMS;
            let watch = |_| -> Box<dyn Load> { Box::new(loads::Watch { each, prefix }) };
            let put = |seed| -> Box<dyn Load> { Box::new(loads::Put::new(seed, 128)) };
            let (seen, _) = tokio::try_join!(
                drive(&ports, WATCH_STREAMS, span, &watch, || begin(&mut before)),
                drive(&ports, WRITERS, span, &put, || Ok(())),
            )?;
            seen
        }
        _ => {
            let leases = match row.kind {
                Kind::KeepAlive => grant(ports[0], row.clients).await?,
                _ => Vec::new(),
            };
            let make = maker(row.kind, leases);
            drive(&ports, row.clients, span, &*make, || begin(&mut before)).await?
        }
    };
    Ok(Result1 { figures, seconds: span.as_secs_f64(), cpu_us: cluster.cpu_us()? - before })
}

fn maker(kind: Kind, leases: Vec<i64>) -> Box<dyn Fn(u64) -> Box<dyn Load> + Sync> {
    Box::new(move |seed| match kind {
        Kind::Put(bytes) => Box::new(loads::Put::new(seed, bytes)),
        Kind::Get { serializable } => Box::new(loads::Get::new(seed, serializable)),
        Kind::Range(keys) => Box::new(loads::Range { keys }),
        Kind::Update => Box::new(loads::Update::new(VALUE_BYTES)),
        Kind::Mixed => Box::new(loads::Mixed::new(seed, VALUE_BYTES)),
        Kind::KeepAlive => Box::new(loads::KeepAlive { leases: leases.clone() }),
        Kind::Watch { .. } => unreachable!("watchers have makers of their own"),
    })
}

async fn grant(port: u16, count: usize) -> Result<Vec<i64>> {
    let mut client = LeaseClient::new(connect(port).await?);
    let mut leases = Vec::new();
    for _ in 0..count {
        leases.push(client.lease_grant(etcd::LeaseGrantRequest { ttl: 600, id: 0 }).await?.into_inner().id);
    }
    Ok(leases)
}

/// What the generator reaches against a server that does nothing; watchers' answers are not asked for, so they have none.
async fn ceiling(row: &Row, span: Duration) -> Result<f64> {
    if matches!(row.kind, Kind::Watch { .. }) {
        return Ok(f64::NAN);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let stays = row.kind == Kind::KeepAlive;
    let server = tokio::spawn(null::serve(listener, answer(row.kind), stays));
    let make = maker(row.kind, (0..row.clients as i64).collect());
    let make: Make<'_> = &*make;
    let figures = drive(&[port], row.clients, span.min(Duration::from_secs(2)), make, || Ok(())).await?;
    server.abort();
    Ok(figures.operations as f64 / figures.took.as_secs_f64())
}

/// An answer of the size that a server's has.
fn answer(kind: Kind) -> Vec<u8> {
    let header =
        Some(etcd::ResponseHeader { cluster_id: 1 << 60, member_id: 1 << 60, revision: 100_000, raft_term: 2 });
    let kv = |number| proto::mvccpb::KeyValue {
        key: loads::key(number),
        value: Bytes::from(vec![b'x'; VALUE_BYTES]),
        create_revision: 100_000,
        mod_revision: 100_000,
        version: 1,
        lease: 0,
    };
    let range = |keys: i64| {
        let kvs = (0..keys as u64).map(kv).collect();
        etcd::RangeResponse { header, kvs, more: false, count: keys }.encode_to_vec()
    };
    match kind {
        Kind::Put(_) => etcd::PutResponse { header, ..Default::default() }.encode_to_vec(),
        Kind::Get { .. } | Kind::Mixed => range(1),
        Kind::Range(keys) => range(keys),
        Kind::Update => etcd::TxnResponse { header, succeeded: true, ..Default::default() }.encode_to_vec(),
        Kind::KeepAlive => etcd::LeaseKeepAliveResponse { header, id: 1 << 60, ttl: 600 }.encode_to_vec(),
        Kind::Watch { .. } => Vec::new(),
    }
}
