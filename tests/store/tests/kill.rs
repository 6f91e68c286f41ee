//! kill -9 under load, ten times in a row: nothing acknowledged is lost, and no transaction is there by half.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use proto::etcdserverpb::kv_client::KvClient;
use test_store::{Member, connect, number, put_both, specs};

const CLIENTS: usize = 16;
const ROUNDS: u64 = 10;

/// What one client has tried, and what it was told is done.
#[derive(Default)]
struct Progress {
    tried: AtomicU64,
    acknowledged: AtomicU64,
}

fn keys(client: usize) -> (String, String) {
    (format!("left/{client:02}"), format!("right/{client:02}"))
}

/// Counts up in two keys at once, until the member is gone.
async fn count(port: u16, client: usize, progress: Arc<Progress>) {
    let Ok(channel) = connect(port).await else { return };
    let mut kv = KvClient::new(channel);
    let (left, right) = keys(client);
    loop {
        let next = progress.tried.load(Ordering::SeqCst) + 1;
        progress.tried.store(next, Ordering::SeqCst);
        if kv.txn(put_both(&left, &right, &next.to_string())).await.is_err() {
            return;
        }
        progress.acknowledged.store(next, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_under_load_lose_nothing_acknowledged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let progress: Vec<Arc<Progress>> = (0..CLIENTS).map(|_| Arc::default()).collect();
    for round in 0..=ROUNDS {
        let member = Member::start(&spec)?;
        member.ready().await?;
        let mut kv = KvClient::new(connect(spec.client).await?);
        for (client, progress) in progress.iter().enumerate() {
            let (left, right) = keys(client);
            let (left, right) = (number(&mut kv, &left).await?, number(&mut kv, &right).await?);
            let acknowledged = progress.acknowledged.load(Ordering::SeqCst);
            let tried = progress.tried.load(Ordering::SeqCst);
            ensure!(left == right, "round {round}, client {client}: half a transaction: {left} and {right}");
            ensure!(
                (acknowledged..=tried).contains(&left),
                "round {round}, client {client}: found {left}, acknowledged {acknowledged}, tried {tried}"
            );
            progress.tried.store(left, Ordering::SeqCst);
            progress.acknowledged.store(left, Ordering::SeqCst);
        }
        let counting: Vec<_> = progress
            .iter()
            .enumerate()
            .map(|(client, progress)| tokio::spawn(count(spec.client, client, progress.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(400 + 130 * (round * 7 % 5))).await;
        member.kill()?;
        for task in counting {
            task.await?;
        }
    }
    let written: u64 = progress.iter().map(|progress| progress.acknowledged.load(Ordering::SeqCst)).sum();
    ensure!(written > 1000, "the load was a load: {written} transactions");
    println!("{written} transactions acknowledged over {ROUNDS} kills");
    Ok(())
}
