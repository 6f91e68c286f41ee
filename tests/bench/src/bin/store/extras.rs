//! What loads do not show: the disk's own floor, memory, restarts, pauses, the death of a leader.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use test_bench::calls::{Figures, Load};
use test_bench::drive::drive;

use crate::Options;
use crate::loads;
use crate::rounds::lay;
use crate::servers::{Cluster, connect, kv};

/// A put of 1 KiB and what surrounds it in a log.
const COMMIT_BYTES: usize = 1152;
/// Puts that share a sync under load.
const GROUP: usize = 64;
const FLOOR_SPAN: Duration = Duration::from_secs(3);
/// Leaders killed one after the other, each in a cluster of its own.
const FAILOVERS: usize = 5;
/// Clients of the measurement of pauses: few, so that latency is the disk's and not a queue's.
const PAUSE_CLIENTS: usize = 8;

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10_000.0
}

/// How fast this disk syncs, by one commit and by groups.
pub fn floor(dir: &Path) -> Result<()> {
    for group in [1, GROUP] {
        let path = dir.join("floor");
        let file = File::options().create(true).truncate(true).write(true).open(&path)?;
        let block = vec![7; COMMIT_BYTES * group];
        file.set_len(1 << 30)?;
        file.sync_all()?;
        let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
        let start = Instant::now();
        let mut offset = 0;
        while start.elapsed() < FLOOR_SPAN {
            let began = Instant::now();
            file.write_all_at(&block, offset % (1 << 30))?;
            file.sync_data()?;
            offset += block.len() as u64;
            latencies.saturating_record(began.elapsed().as_micros() as u64);
        }
        let syncs = latencies.len() as f64 / start.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({
                "bench": "store-floor", "commits_a_sync": group, "syncs_per_s": syncs.round(),
                "commits_per_s": (syncs * group as f64).round(),
                "p50_ms": latencies.value_at_quantile(0.5) as f64 / 1000.0,
                "p99_ms": latencies.value_at_quantile(0.99) as f64 / 1000.0,
            })
        );
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Memory with many keys, and how long a restart takes with them.
pub async fn memory(options: &Options, dir: &Path) -> Result<()> {
    let mut line = json!({"bench": "store-memory", "keys": options.keys, "value_bytes": 1024});
    let mut all = Vec::new();
    for product in options.products() {
        let mut cluster = Cluster::start(&product, dir, 1).await?;
        let start = Instant::now();
        lay(cluster.ports()[0], options.keys).await?;
        let laid = start.elapsed();
        let pss = cluster.pss()?;
        let restart = cluster.restart(0).await?;
        let after = cluster.pss()?;
        line[product.name] = json!({
            "laid_s": seconds(laid), "pss_mib": pss >> 20, "restart_s": seconds(restart), "pss_after_restart_mib": after >> 20,
        });
        all.push((pss, restart));
    }
    if let [(ours, restart), (peers, theirs)] = all[..] {
        line["pss_ratio"] = json!((ours as f64 / peers as f64 * 100.0).round() / 100.0);
        line["restart_ratio"] = json!((restart.as_secs_f64() / theirs.as_secs_f64() * 100.0).round() / 100.0);
    }
    println!("{line}");
    Ok(())
}

async fn puts(cluster: &Cluster, span: Duration) -> Result<Figures> {
    let make = |seed| -> Box<dyn Load> { Box::new(loads::Put::new(seed, 1024)) };
    drive(&cluster.ports(), PAUSE_CLIENTS, span, &make, || Ok(())).await
}

/// The worst put while nothing else happens, and while compactions, snapshots and changes of segments do.
pub async fn pauses(options: &Options, dir: &Path) -> Result<()> {
    let mut line = json!({"bench": "store-pauses", "clients": PAUSE_CLIENTS});
    for product in options.products() {
        let cluster = Cluster::start(&product, dir, 1).await?;
        let port = cluster.ports()[0];
        lay(port, loads::KEYS).await?;
        let quiet = puts(&cluster, options.span()).await?;
        // Enough for a change of segments in what follows.
        lay(port, loads::KEYS * 4).await?;
        let busy = tokio::select! {
            busy = puts(&cluster, options.span()) => busy?,
            ended = disturb(port) => anyhow::bail!("the chores ended: {ended:?}"),
        };
        let worst = |figures: &Figures| figures.latencies.max() as f64 / 1000.0;
        line[product.name] = json!({
            "quiet_max_ms": worst(&quiet), "busy_max_ms": worst(&busy), "above_ms": worst(&busy) - worst(&quiet),
            "quiet_per_s": quiet.operations as f64 / quiet.took.as_secs_f64(),
            "busy_per_s": busy.operations as f64 / busy.took.as_secs_f64(),
        });
    }
    println!("{line}");
    Ok(())
}

/// Compacts, reads a snapshot, and again.
async fn disturb(port: u16) -> Result<()> {
    let mut client = kv(port).await?;
    let mut maintenance = MaintenanceClient::new(connect(port).await?);
    loop {
        let range = etcd::RangeRequest { key: loads::key(0), ..Default::default() };
        let header = client.range(range).await?.into_inner().header.context("an answer has a header")?;
        client.compact(etcd::CompactionRequest { revision: header.revision, physical: true }).await?;
        match maintenance.snapshot(etcd::SnapshotRequest {}).await {
            Ok(rsp) => {
                let mut chunks = rsp.into_inner();
                while chunks.message().await?.is_some() {}
            }
            Err(status) if status.code() == tonic::Code::Unimplemented => {}
            Err(status) => return Err(status.into()),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// From the death of three members' leader until a write is acknowledged.
pub async fn failover(options: &Options, dir: &Path) -> Result<()> {
    let mut line = json!({"bench": "store-failover", "members": 3, "rounds": FAILOVERS});
    for product in options.products() {
        let mut spans = Vec::new();
        for _ in 0..FAILOVERS {
            let mut cluster = Cluster::start(&product, dir, 3).await?;
            let leader = cluster.leader().await?;
            let mut ports = cluster.ports();
            ports.remove(leader);
            cluster.kill(leader)?;
            spans.push(first_write(&ports).await?.as_secs_f64());
        }
        spans.sort_by(f64::total_cmp);
        line[product.name] = json!({"median_s": spans[spans.len() / 2], "worst_s": spans.last()});
    }
    println!("{}", Value::to_string(&line));
    Ok(())
}

/// Asks every survivor again and again, without waiting for answers, until one write is acknowledged.
async fn first_write(ports: &[u16]) -> Result<Duration> {
    let start = Instant::now();
    let (tx, mut rx) = mpsc::channel(1);
    let mut clients = Vec::new();
    for port in ports {
        clients.push(kv(*port).await?);
    }
    loop {
        for client in &clients {
            let (mut client, tx) = (client.clone(), tx.clone());
            tokio::spawn(async move {
                let put = etcd::PutRequest { key: loads::key(1), value: loads::value(1), ..Default::default() };
                if client.put(put).await.is_ok() {
                    // The first one counts; for the others nobody waits.
                    let _told = tx.try_send(());
                }
            });
        }
        if tokio::time::timeout(Duration::from_millis(20), rx.recv()).await.is_ok() {
            return Ok(start.elapsed());
        }
    }
}
