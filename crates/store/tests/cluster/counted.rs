//! What goes wrong or late in a cluster is counted, on the page where it is looked for.

use std::time::Duration;

use proto::etcdserverpb as etcd;
use store::member::Member;
use store::refused::Refused;
use store::run::Tuning;
use tokio::time::sleep;

use crate::net::{Net, all_tuned, disks, put, simulate};

const FAILED_PROPOSALS: &str = "etcd_server_proposals_failed_total";
const FAILED_READS: &str = "etcd_server_read_indexes_failed_total";
const SLOW_READS: &str = "etcd_server_slow_read_indexes_total";

/// A page of the member's metrics, as it is served.
struct Page(daemon::metrics::Metrics);

impl Page {
    fn of(member: &std::sync::Arc<Member>) -> Self {
        let metrics = daemon::metrics::Metrics::new();
        store::metrics::register(&metrics, member.clone());
        Self(metrics)
    }

    fn value(&self, name: &str) -> u64 {
        let page = self.0.encode().expect("a page");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("there is no {name} in\n{page}")).parse().expect("a number")
    }

    fn values(&self) -> [u64; 3] {
        [FAILED_PROPOSALS, FAILED_READS, SLOW_READS].map(|name| self.value(name))
    }
}

async fn read(member: &Member) -> Result<i64, String> {
    let get = etcd::RangeRequest { key: "before".into(), ..Default::default() };
    member.range(&get).await.map(|rsp| rsp.count).map_err(|error| error.to_string())
}

/// Three members whose leader is the first of the answer; elections take long, so that a slow network costs no leader.
async fn led(net: &Net, seed: u64) -> Vec<std::sync::Arc<Member>> {
    let tuning = Tuning { heartbeat_ms: 2000, election_ms: 10_000, ..Default::default() };
    let mut members = all_tuned(net, &disks(3), seed, &tuning).await;
    while members[0].linearize().await.is_err() {}
    members[0].put(put("before".into(), "x".into())).await.expect("a write");
    members.sort_by_key(|member| !member.is_leader());
    members
}

#[test]
fn a_leader_that_is_cut_off_counts_what_it_cannot_have_logged_or_confirmed() {
    for seed in 1..=3 {
        simulate(seed, async |net| {
            let members = led(&net, seed).await;
            let leader = &members[0];
            let page = Page::of(leader);
            let before = page.values();
            assert_eq!(before[0], 0, "seed {seed}: nothing failed yet");
            leader.put(put("a".into(), "x".into())).await.expect("a write");
            assert_eq!(read(leader).await, Ok(1), "seed {seed}");
            assert_eq!(page.values(), before, "seed {seed}: what goes well is not counted");

            net.cut.lock().unwrap().insert(leader.owner.member_id);
            let refused = leader.put(put("b".into(), "x".into())).await.expect_err("no quorum");
            assert_eq!(refused, Refused::Timeout, "seed {seed}");
            let [proposals, reads, slow] = page.values();
            assert_eq!((proposals, slow), (1, before[2]), "seed {seed}");
            read(leader).await.expect_err("no quorum");
            assert_eq!(page.values(), [1, reads + 1, slow], "seed {seed}");
            // A follower that hears of no leader fails as well, and counts it itself.
            let page = Page::of(&members[1]);
            let before = page.value(FAILED_PROPOSALS);
            net.cut.lock().unwrap().extend(1..=3);
            sleep(Duration::from_secs(30)).await;
            members[1].put(put("c".into(), "x".into())).await.expect_err("no leader");
            assert_eq!(page.value(FAILED_PROPOSALS), before + 1, "seed {seed}");
        });
    }
}

#[test]
fn a_read_that_a_slow_network_confirms_late_is_counted() {
    for seed in 1..=3 {
        simulate(seed, async |net| {
            for member in led(&net, seed).await {
                let page = Page::of(&member);
                let [_, failed, slow] = page.values();
                assert_eq!(read(&member).await, Ok(1), "seed {seed}");
                assert_eq!(page.values()[2], slow, "seed {seed}: a quick one is not");
                *net.slow.lock().unwrap() = 600;
                assert_eq!(read(&member).await, Ok(1), "seed {seed}");
                *net.slow.lock().unwrap() = 0;
                assert_eq!(page.values()[1..], [failed, slow + 1], "seed {seed}: late, and well");
            }
        });
    }
}
