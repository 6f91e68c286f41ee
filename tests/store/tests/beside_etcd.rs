//! The same random requests to the store, to Debian's etcd 3.4 and to PyPI's 3.5.1: answers, revisions, refusals and the
//! events of watchers are the same, but for what docs/store-deviations.md lists.
//!
//! `BESIDE_SEED=17` and `BESIDE_REQUESTS=5000` in the environment ask for another seed, and for others than CI's.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use test_store::beside::run::Run;
use test_store::beside::tally::Tally;
use test_store::beside::trio::{OPS_MAX, Trio, folder};

/// Each has servers of its own.
const SEEDS: std::ops::Range<u64> = 0..4;
/// Of each seed.
const REQUESTS: u64 = 5200;

/// What has to be asked, and to be refused, for the test to be worth its time.
const METHODS: usize = 41;
const REFUSALS: &[&str] = &[
    "etcdserver: key is not provided",
    "etcdserver: key not found",
    "etcdserver: value is provided",
    "etcdserver: lease is provided",
    "etcdserver: too many operations in txn request",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: invalid sort option",
    "etcdserver: request is too large",
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: mvcc: required revision is a future revision",
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: corrupt cluster",
    "etcdserver: requested lease not found",
    "etcdserver: lease already exists",
    "etcdserver: too large lease TTL",
    "etcdserver: member not found",
    "etcdserver: Peer URLs already exists",
    "etcdserver: given member URLs are invalid",
    "etcdserver: too many learner members in cluster",
    "etcdserver: can only promote a learner member",
    "etcdserver: can only promote a learner member which is in sync with leader",
    "etcdserver: re-configuration failed due to not enough started members",
    "etcdserver: bad leader transferee",
    "mvcc: duplicate watch ID provided on the WatchStream",
    "mvcc: watcher range is empty",
];

fn number(name: &str) -> Result<Option<u64>> {
    let text = std::env::var(name).ok();
    text.map(|text| text.parse().with_context(|| format!("{name}={text} is no number"))).transpose()
}

fn check_worth(all: &Tally) -> Result<()> {
    ensure!(all.requests() >= 20_000, "only {} requests", all.requests());
    ensure!(all.asked.len() >= METHODS, "only {} methods: {:?}", all.asked.len(), all.asked);
    ensure!(all.events >= 5_000 && all.fragments > 0, "{} events, {} fragments", all.events, all.fragments);
    let missing: Vec<_> = REFUSALS.iter().filter(|text| !all.refused.contains_key(**text)).collect();
    ensure!(missing.is_empty(), "nothing was refused like this: {missing:?}");
    ensure!(all.idle().is_empty(), "these deviations did not happen; are they still any? {:?}", all.idle());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_requests_are_answered_as_etcd_answers_them() -> Result<()> {
    let started = std::time::Instant::now();
    let (first, requests) = (number("BESIDE_SEED")?, number("BESIDE_REQUESTS")?.unwrap_or(REQUESTS));
    let seeds = first.map_or(SEEDS, |first| first..first + 1);
    let folder = folder()?;
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut running = tokio::task::JoinSet::new();
    for seed in seeds {
        let folder = folder.path().join(seed.to_string());
        running.spawn(async move {
            std::fs::create_dir_all(&folder)?;
            let mut trio = Trio::start(&folder, kept).await?;
            Run::begin(seed, OPS_MAX, &mut trio).await?.run(requests).await
        });
    }
    let mut all = Tally::default();
    while let Some(tally) = running.join_next().await {
        all.add(tally??);
    }
    println!("{all}in {:?}", started.elapsed());
    if first.is_none() { check_worth(&all) } else { Ok(()) }
}
