//! Clients that put keys, at a rate or as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::tally::Tally;
use crate::command::store::remote::Service;
use crate::error::Exit;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// As a shell has it for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

pub struct Plan {
    pub prefix: String,
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub count: u64,
    /// None: as fast as they are answered.
    pub writes_per_second: Option<u64>,
    /// None: until all is written.
    pub lasts: Option<Duration>,
}

pub struct Written {
    pub tally: Tally,
    /// By Ctrl-C.
    pub interrupted: bool,
}

pub fn interrupted() -> anyhow::Error {
    Exit { code: INTERRUPTED, message: "interrupted: what was written is deleted".to_owned() }.into()
}

struct Shared {
    plan: Plan,
    start: Instant,
    next: AtomicU64,
    answered: AtomicU64,
    stop: CancellationToken,
}

/// Writes by one client for each service.
pub async fn write(services: Vec<Service>, plan: Plan) -> Written {
    let stop = CancellationToken::new();
    let shared =
        Arc::new(Shared { plan, start: Instant::now(), next: 0.into(), answered: 0.into(), stop: stop.clone() });
    let mut clients = JoinSet::new();
    for service in services {
        clients.spawn(client(KvClient::new(service), shared.clone()));
    }
    let mut progress = Progress::new();
    let mut tally = Tally::default();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                Some(Ok(of)) => tally.add(of),
                Some(Err(panicked)) => tally.failed(panicked.to_string()),
                None => break,
            },
            // The calls that are under way end first: what they write is to be deleted.
            _ = &mut interrupt, if !stop.is_cancelled() => stop.cancel(),
            _ = ticks.tick() => shared.show(&mut progress),
        }
    }
    shared.show(&mut progress);
    progress.end();
    tally.lasted = shared.start.elapsed();
    if let Some(lasts) = shared.plan.lasts {
        tally.lasted = tally.lasted.max(lasts);
    }
    Written { tally, interrupted: stop.is_cancelled() }
}

impl Shared {
    fn show(&self, progress: &mut Progress) {
        match self.plan.lasts {
            Some(lasts) => progress.show(self.start.elapsed().min(lasts).as_secs(), lasts.as_secs(), "s"),
            None => progress.show(self.answered.load(Ordering::Relaxed), self.plan.count, ""),
        }
    }

    /// Waits until the next write is due; its number, none when there are no more.
    async fn turn(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.plan.count || self.stop.is_cancelled() {
            return None;
        }
        if let Some(rate) = self.plan.writes_per_second {
            let due = self.start + Duration::from_secs_f64(number as f64 / rate as f64);
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.stop.cancelled() => return None,
            }
        }
        // Whoever is behind does not go on for ever.
        let over = self.plan.lasts.is_some_and(|lasts| self.start.elapsed() > lasts);
        (!over).then_some(number)
    }
}

async fn client(mut kv: KvClient<Service>, shared: Arc<Shared>) -> Tally {
    let mut tally = Tally::default();
    let value = bytes::Bytes::from(vec![b'v'; shared.plan.value_bytes]);
    while let Some(number) = shared.turn().await {
        let key = key(&shared.plan.prefix, number, shared.plan.key_bytes).into();
        let start = Instant::now();
        match kv.put(etcd::PutRequest { key, value: value.clone(), ..Default::default() }).await {
            Ok(_) => tally.done(start.elapsed()),
            Err(status) => tally.failed(status.message().to_owned()),
        }
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    tally
}

/// Keys come in no order, spread over all beginnings.
fn key(prefix: &str, number: u64, bytes: usize) -> String {
    // An odd factor: no two numbers give one product.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{prefix}{spread:016x}{:0<1$}", "", bytes.saturating_sub(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_as_long_as_they_should_be() {
        let keys: std::collections::BTreeSet<String> = (0..5000).map(|number| key("/p/", number, 256)).collect();
        assert_eq!(keys.len(), 5000);
        assert!(keys.iter().all(|key| key.len() == 259 && key.starts_with("/p/")));
        let halves = keys.iter().filter(|key| key.as_bytes()[3] < b'8').count();
        assert!((2000..3000).contains(&halves), "{halves}");
    }
}
