//! A load on any etcd v3 server: `load ENDPOINT put|get|serializable|txn CLIENTS SECONDS [VALUE_BYTES] [SERVER_PID]`.
//!
//! Prints operations a second, latencies, and the server's CPU per operation where its pid is given. A ratio beside a
//! peer in the same run means something; a figure alone does not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::{connect, get, put};
use tonic::transport::Channel;

const CONNECTIONS: usize = 8;
const KEYS: u64 = 10_000;

fn txn(key: &str, value: &str, known: i64) -> etcd::TxnRequest {
    use etcd::compare::{CompareResult, CompareTarget, TargetUnion};
    use etcd::request_op::Request;
    let op = |request| etcd::RequestOp { request: Some(request) };
    let compare = etcd::Compare {
        key: key.to_owned().into(),
        result: CompareResult::Equal as i32,
        target: CompareTarget::Mod as i32,
        target_union: Some(TargetUnion::ModRevision(known)),
        ..Default::default()
    };
    etcd::TxnRequest {
        compare: vec![compare],
        success: vec![op(Request::RequestPut(put(key, value)))],
        failure: vec![op(Request::RequestRange(get(key)))],
    }
}

async fn client(mut kv: KvClient<Channel>, kind: String, id: u64, value: String, end: Instant) -> Result<Vec<u32>> {
    let mut latencies = Vec::new();
    let mut known = 0;
    let mut count = id * 7919;
    while Instant::now() < end {
        count += 1;
        let key = format!("/registry/load/{:08}", count % KEYS);
        let start = Instant::now();
        match kind.as_str() {
            "put" => drop(kv.put(put(&key, &value)).await?),
            "get" => drop(kv.range(get(&key)).await?),
            "serializable" => drop(kv.range(etcd::RangeRequest { serializable: true, ..get(&key) }).await?),
            "txn" => {
                let rsp = kv.txn(txn(&format!("/registry/own/{id:06}"), &value, known)).await?.into_inner();
                known = match rsp.responses.first().and_then(|op| op.response.as_ref()) {
                    Some(etcd::response_op::Response::ResponseRange(range)) => {
                        range.kvs.first().map_or(0, |kv| kv.mod_revision)
                    }
                    _ => rsp.header.map_or(0, |header| header.revision),
                };
            }
            other => bail!("unknown load {other}"),
        }
        latencies.push(start.elapsed().as_micros() as u32);
    }
    Ok(latencies)
}

/// CPU time of a process, in microseconds.
fn cpu(pid: Option<&String>) -> u64 {
    let Some(stat) = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()) else { return 0 };
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks * 10_000
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, kind, clients, seconds, ..] = args.as_slice() else {
        bail!("load PORT put|get|serializable|txn CLIENTS SECONDS [VALUE_BYTES] [SERVER_PID]");
    };
    let value = "x".repeat(args.get(4).map_or(Ok(1024), |bytes| bytes.parse()).context("VALUE_BYTES")?);
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(connect(port.parse().context("PORT")?).await?);
    }
    let before = cpu(args.get(5));
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds.parse().context("SECONDS")?);
    let mut tasks = Vec::new();
    for id in 0..clients.parse::<u64>().context("CLIENTS")? {
        let kv = KvClient::new(channels[id as usize % CONNECTIONS].clone());
        tasks.push(tokio::spawn(client(kv, kind.clone(), id, value.clone(), end)));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let took = start.elapsed().as_secs_f64();
    let used = cpu(args.get(5)) - before;
    latencies.sort_unstable();
    let at = |share: f64| f64::from(latencies[((latencies.len() - 1) as f64 * share) as usize]) / 1000.0;
    println!(
        "{kind:>12} {clients:>5} clients: {:>8.0} /s  p50 {:.2} ms  p99 {:.2} ms  max {:.1} ms  server {:.0} us CPU/op",
        latencies.len() as f64 / took,
        at(0.5),
        at(0.99),
        at(1.0),
        used as f64 / latencies.len() as f64,
    );
    Ok(())
}
