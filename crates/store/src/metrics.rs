//! The member's metrics, under etcd's names; read from the member at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::counts::Times;
use crate::member::Member;
use crate::serve::maintenance::ETCD_VERSION;

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

/// Names of gRPC's codes, as Go has them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Writes metrics, one after the other. Counters get their `_total` from the format.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric = ConstGauge::new(value);
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    fn count(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        metric.encode(self.0.encode_descriptor(name, help, None, metric.metric_type())?)
    }

    fn times(&mut self, name: &str, help: &str, times: &Times) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let (sum, count, buckets) = times.read();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    /// One metric with a value for each set of labels.
    fn family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'static str, String); N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            encode_labelled(&mut encoder, &labels, &ConstCounter::new(value))?;
        }
        Ok(())
    }

    /// A gauge that is 1 and says something in a label.
    fn told(&mut self, name: &str, help: &str, label: &'static str, value: String) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        encode_labelled(&mut encoder, &[(label, value)], &ConstGauge::new(1.0))
    }
}

fn encode_labelled(
    encoder: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_family(labels)?)
}

impl Collector for MemberMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page(encoder);
        self.server(&mut page)?;
        self.store(&mut page)?;
        self.leases(&mut page)?;
        self.disk(&mut page)?;
        self.peers(&mut page)?;
        self.calls(&mut page)
    }
}

impl MemberMetrics {
    fn server(&self, page: &mut Page<'_>) -> fmt::Result {
        let member = &self.member;
        let (standing, counts) = (member.standing(), &member.shared.counts);
        let learner = !standing.membership.voter_ids().any(|id| id == member.owner.member_id);
        page.gauge(
            "etcd_server_has_leader",
            "Whether a leader is known",
            f64::from(member.reached_leader().is_some()),
        )?;
        page.gauge("etcd_server_is_leader", "Whether this member leads", f64::from(member.is_leader()))?;
        page.gauge("etcd_server_is_learner", "Whether this member has no vote", f64::from(learner))?;
        page.told("etcd_server_id", "This member", "server_id", format!("{:x}", member.owner.member_id))?;
        let version = || ETCD_VERSION.to_owned();
        page.told("etcd_server_version", "The etcd that this behaves like", "server_version", version())?;
        let cluster = ETCD_VERSION.rsplit_once('.').map_or(ETCD_VERSION, |(cluster, _)| cluster).to_owned();
        page.told("etcd_cluster_version", "The cluster's version", "cluster_version", cluster)?;
        page.count("etcd_server_leader_changes_seen", "Leaders that were new here", counts.leader_changes.get())?;
        page.count("etcd_server_learner_promote_successes", "Learners promoted", counts.learners_promoted.get())?;
        let failed = counts.learners_not_promoted.get();
        page.count("etcd_server_learner_promote_failures", "Learners that were not promoted", failed)?;
        page.count("etcd_server_proposals_committed", "Last entry of the log", standing.committed_index)?;
        page.count("etcd_server_proposals_applied", "Last entry applied", standing.applied_index)?;
        let pending = counts.proposals_pending.get() as f64;
        page.gauge("etcd_server_proposals_pending", "Proposals that wait for their outcome", pending)?;
        page.count("etcd_server_proposals_failed", "Proposals without an outcome", counts.proposals_failed.get())?;
        page.count("etcd_server_read_indexes_failed", "Reads that could not be confirmed", counts.reads_failed.get())?;
        page.count("etcd_server_slow_read_indexes", "Reads confirmed late", counts.reads_slow.get())?;
        page.count("etcd_server_slow_apply", "Pieces of the log that took long to apply", counts.applies_slow.get())?;
        page.times("etcd_server_apply_duration_seconds", "Applying a piece of the log", &counts.applies)?;
        let quota = member.limits.quota_bytes as f64;
        page.gauge("etcd_server_quota_backend_bytes", "Bytes that live data may take", quota)?;
        let live = member.shared.held.read().state.index.live_bytes();
        let used = crate::quota::ratio(live, member.limits.quota_bytes);
        page.gauge("keelson_store_quota_used_ratio", "Live data by quota: at 1 puts are refused", used)?;
        if let Some(archived) = member.shared.archive.archived() {
            let behind = standing.applied_index.saturating_sub(archived) as f64;
            page.gauge("keelson_store_archive_behind_entries", "Applied entries that are not archived", behind)?;
        }
        Ok(())
    }

    fn store(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = &self.member.shared.counts;
        let (keys, revision, compacted, live, bytes, auth) = {
            let held = self.member.shared.held.read();
            let index = &held.state.index;
            let auth = held.state.auth.revision();
            (index.len(), index.revision(), index.compacted(), index.live_bytes(), held.engine.bytes(), auth)
        };
        let (streams, watchers, behind) = self.member.shared.hub.counts();
        page.count("etcd_mvcc_put", "Keys put", counts.puts.get())?;
        page.count("etcd_mvcc_delete", "Keys deleted", counts.deletes.get())?;
        page.count("etcd_mvcc_txn", "Transactions", counts.txns.get())?;
        page.count("etcd_mvcc_range", "Ranges read", counts.ranges.get())?;
        let put_bytes = counts.put_bytes.get() as f64;
        page.gauge("etcd_mvcc_total_put_size_in_bytes", "Bytes of keys and values put", put_bytes)?;
        page.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of values on disk", bytes as f64)?;
        page.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes that live data takes", live as f64)?;
        page.gauge("etcd_debugging_mvcc_keys_total", "Keys", keys as f64)?;
        page.gauge("etcd_debugging_mvcc_current_revision", "The store's revision", revision as f64)?;
        page.gauge("etcd_debugging_mvcc_compact_revision", "The compaction point", compacted as f64)?;
        page.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams", streams as f64)?;
        page.gauge("etcd_debugging_mvcc_watcher_total", "Watchers", watchers as f64)?;
        page.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind", behind as f64)?;
        page.count("etcd_debugging_mvcc_events", "Events told to watchers", counts.events.get())?;
        page.gauge("etcd_debugging_auth_revision", "The revision of users and roles", auth as f64)
    }

    fn leases(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = &self.member.shared.counts;
        let active = self.member.shared.held.read().state.lessor.iter().count();
        page.gauge("etcd_debugging_lease_active_total", "Leases", active as f64)?;
        page.count("etcd_debugging_lease_granted", "Leases granted", counts.leases_granted.get())?;
        page.count("etcd_debugging_lease_revoked", "Leases ended", counts.leases_revoked.get())?;
        page.count("etcd_debugging_lease_renewed", "Renewals by this member", counts.leases_renewed.get())?;
        page.count("etcd_debugging_server_lease_expired", "Leases that ran out", counts.leases_expired.get())
    }

    fn disk(&self, page: &mut Page<'_>) -> fmt::Result {
        let (member, counts) = (&self.member, &self.member.shared.counts);
        page.times("etcd_disk_wal_fsync_duration_seconds", "Syncs of the log", member.wal.syncs())?;
        page.gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log", member.wal.written() as f64)?;
        page.times("etcd_disk_backend_commit_duration_seconds", "Writes to the engine", &counts.commits)?;
        page.times("etcd_disk_backend_snapshot_duration_seconds", "Snapshots made ready", &counts.snapshots)?;
        let rejoins = f64::from(member.rejoin.is_active());
        page.gauge("keelson_store_rejoining", "Whether a damaged member gets everything from the others", rejoins)?;
        let damaged = f64::from(member.env.rot.what().is_some());
        page.gauge("keelson_store_damage_met", "Whether what was read was not what was written", damaged)?;
        page.gauge("keelson_store_wal_bytes", "Bytes of the write-ahead log", member.wal.bytes() as f64)
    }

    fn peers(&self, page: &mut Page<'_>) -> fmt::Result {
        let peers = self.member.transport.traffic().map(|traffic| traffic.all()).unwrap_or_default();
        let to = |member: u64| [("To", format!("{member:x}"))];
        let sent = peers.iter().map(|(member, peer)| (to(*member), peer.sent_bytes.get()));
        page.family("etcd_network_peer_sent_bytes", "Bytes of consensus sent", sent)?;
        let received =
            peers.iter().map(|(member, peer)| ([("From", format!("{member:x}"))], peer.received_bytes.get()));
        page.family("etcd_network_peer_received_bytes", "Bytes of consensus received", received)?;
        let failed = peers.iter().map(|(member, peer)| (to(*member), peer.sent_failures.get()));
        page.family("etcd_network_peer_sent_failures", "Calls to a member that failed", failed)?;
        let help = "Until a member answers";
        let name = "etcd_network_peer_round_trip_time_seconds";
        let mut encoder = page.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (member, peer) in &peers {
            let (sum, count, buckets) = peer.round_trips.read();
            encoder.encode_family(&to(*member))?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        let mut encoder =
            page.0.encode_descriptor("etcd_network_active_peers", "Members that answer", None, MetricType::Gauge)?;
        for (member, peer) in &peers {
            let local = format!("{:x}", self.member.owner.member_id);
            let labels = [("Local", local), ("Remote", format!("{member:x}"))];
            encode_labelled(&mut encoder, &labels, &ConstGauge::new(f64::from(peer.is_reached())))?;
        }
        Ok(())
    }

    fn calls(&self, page: &mut Page<'_>) -> fmt::Result {
        let calls = self.member.shared.counts.calls.all();
        let labels = |path: &str| {
            let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap_or_default();
            let kind = match method {
                "Watch" | "LeaseKeepAlive" => "bidi_stream",
                "Snapshot" | "Observe" => "server_stream",
                _ => "unary",
            };
            [("grpc_type", kind.to_owned()), ("grpc_service", service.to_owned()), ("grpc_method", method.to_owned())]
        };
        let started = calls.iter().map(|(path, call)| (labels(path), call.started()));
        page.family("grpc_server_started", "Calls begun", started)?;
        let handled = calls.iter().flat_map(|(path, call)| {
            call.handled().map(move |(code, count)| {
                let [kind, service, method] = labels(path);
                ([kind, service, method, ("grpc_code", CODES[code].to_owned())], count)
            })
        });
        page.family("grpc_server_handled", "Calls ended", handled)
    }
}
