//! The member's metrics, under etcd's names; read from the member at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::member::Member;

/// Adds the member to a registry.
pub fn register(metrics: &daemon::metrics::Metrics, member: Arc<Member>) {
    metrics.with(|registry| registry.register_collector(Box::new(MemberMetrics { member })));
}

struct MemberMetrics {
    member: Arc<Member>,
}

impl fmt::Debug for MemberMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberMetrics")
    }
}

impl Collector for MemberMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let member = &self.member;
        let standing = member.standing();
        let (keys, revision, compacted, live, bytes, leases) = {
            let held = member.shared.held.read();
            let index = &held.state.index;
            let leases = held.state.lessor.iter().count();
            (index.len(), index.revision(), index.compacted(), index.live_bytes(), held.engine.bytes(), leases)
        };
        let (streams, watchers, behind) = member.shared.hub.counts();
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("etcd_server_has_leader", "Whether a leader is known", f64::from(standing.leader.is_some()))?;
        gauge("etcd_server_is_leader", "Whether this member leads", f64::from(member.is_leader()))?;
        gauge("etcd_server_proposals_committed_total", "Last entry of the log", standing.committed_index as f64)?;
        gauge("etcd_server_proposals_applied_total", "Last entry applied", standing.applied_index as f64)?;
        gauge("etcd_server_quota_backend_bytes", "Bytes that live data may take", member.limits.quota_bytes as f64)?;
        gauge("etcd_debugging_mvcc_keys_total", "Keys", keys as f64)?;
        gauge("etcd_debugging_mvcc_current_revision", "The store's revision", revision as f64)?;
        gauge("etcd_debugging_mvcc_compact_revision", "The compaction point", compacted as f64)?;
        gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams", streams as f64)?;
        gauge("etcd_debugging_mvcc_watcher_total", "Watchers", watchers as f64)?;
        gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind", behind as f64)?;
        gauge("etcd_debugging_lease_active_total", "Leases", leases as f64)?;
        gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of values on disk", bytes as f64)?;
        gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes that live data takes", live as f64)?;
        let used = crate::quota::ratio(live, member.limits.quota_bytes);
        gauge("keelson_store_quota_used_ratio", "Live data by quota: at 1 puts are refused", used)?;
        if let Some(archived) = member.shared.archive.archived() {
            let behind = standing.applied_index.saturating_sub(archived);
            gauge("keelson_store_archive_behind_entries", "Applied entries that are not archived", behind as f64)?;
        }
        let rejoins = f64::from(member.rejoin.is_active());
        gauge(
            "keelson_store_rejoining",
            "Whether the member gets everything from the others, its own being damaged",
            rejoins,
        )?;
        let damaged = f64::from(member.env.rot.what().is_some());
        gauge("keelson_store_damage_met", "Whether what was read was not what was written", damaged)?;
        gauge("keelson_store_wal_bytes", "Bytes of the write-ahead log", member.wal.bytes() as f64)
    }
}
