//! A client of leases: grants one, hangs a key on it, renews it some times, and then lets it run out, or revokes it.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb as etcd;
use store::reply::Answer;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(3);
/// Longest time to live, in seconds; runs end some time after it.
pub const TTL_MAX: u64 = 3;
/// Keys that hang on leases begin so; the lease's number in hexadecimal follows.
pub const PREFIX: &str = "lease/";

pub fn key_text(lease: i64) -> String {
    format!("{PREFIX}{lease:016x}")
}

/// The lease on which a key hangs, by its name.
pub fn lease_of(key: &[u8]) -> Option<i64> {
    let hex = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    i64::from_str_radix(hex, 16).ok()
}

pub struct LeaseClient {
    pub world: Arc<World>,
    pub dice: Dice,
}

impl LeaseClient {
    pub async fn run(self) {
        let mut id = 0;
        while !self.world.is_calm() {
            id += 1;
            let ttl = 1 + self.dice.below(TTL_MAX);
            if self.grant(id, ttl).await {
                self.hold(id, ttl).await;
            }
            tokio::time::sleep(self.dice.millis(20, 400)).await;
        }
    }

    /// Runs a call on some member; none where it did not come back.
    async fn at_some<T: Send + 'static, F>(&self, run: impl FnOnce(Arc<store::member::Member>) -> F) -> Option<T>
    where
        F: Future<Output = Option<T>> + Send + 'static,
    {
        let live = self.world.net.live(1 + self.dice.below(self.world.size()))?;
        let doing = live.process.spawn(run(live.member.clone()));
        tokio::time::timeout(PATIENCE, doing).await.ok()?.ok()?
    }

    async fn grant(&self, id: i64, ttl: u64) -> bool {
        let begun = Instant::now();
        let req = etcd::LeaseGrantRequest { id, ttl: ttl as i64 };
        let granted = self.at_some(|member| async move { member.grant(req).await.ok() }).await;
        if !matches!(&granted, Some(Answer::LeaseGrant(rsp)) if rsp.ttl == ttl as i64) {
            return false;
        }
        self.world.leases.lock().granted(id, ttl, begun);
        let key = key_text(id).into();
        let put = etcd::PutRequest { key, value: "held".into(), lease: id, ..Default::default() };
        self.at_some(|member| async move { member.put(put).await.ok() }).await.is_some()
    }

    async fn hold(&self, id: i64, ttl: u64) {
        for _ in 0..self.dice.below(5) {
            tokio::time::sleep(self.dice.millis(100, ttl * 600)).await;
            let begun = Instant::now();
            match self.at_some(|member| async move { member.keep_alive(id).await.ok() }).await {
                Some(left) if left == ttl as i64 => self.world.leases.lock().renewed(id, begun),
                Some(0) => {
                    let verdict = self.world.leases.lock().gone(id, Instant::now());
                    self.world.watchdog.judge("leases", verdict);
                    return;
                }
                _ => {}
            }
        }
        if self.dice.one_in(3) {
            self.world.leases.lock().revoked(id);
            self.at_some(|member| async move { member.revoke(etcd::LeaseRevokeRequest { id }).await.ok() }).await;
        }
    }
}
