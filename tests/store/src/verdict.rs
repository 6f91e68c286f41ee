//! The verdict over a history and the members that it left: they agree, nothing acknowledged is lost, and the history is
//! that of one store which does one call at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use test_sim::linear::{self, Call, Do, Op, Value};

use crate::clients::{LEDGER, SHARED, channel};
use crate::recorder::{Recorder, name};
use crate::world::DEADLINE;
use crate::{Member, connect_to, recorder};

/// Clients of the verdict's own reads.
const READERS: u32 = 100;

/// Judges; gives a line that says what was seen.
pub async fn give(members: &[&Member], recorder: &Recorder) -> Result<String> {
    let revision = agree(members).await?;
    let kept = ledger(members, recorder).await?;
    for (at, member) in members.iter().enumerate() {
        let mut kv = KvClient::new(channel(&member.spec.client_url())?);
        for key in 0..SHARED {
            let read = recorder.call(READERS + at as u32, &mut kv, at, Call::get(key)).await?;
            read.with_context(|| format!("{} does not serve a read at the end", member.spec.name))?;
        }
    }
    let entries = recorder.entries();
    let history: Vec<Op> = entries.iter().map(|entry| entry.op.clone()).collect();
    let start = Instant::now();
    linear::check(&history)?;
    let took = start.elapsed();
    notices_a_lie(history)?;
    let answered = entries.iter().filter(|entry| entry.op.answer.is_some()).count();
    Ok(format!(
        "{} calls, {answered} answered, {kept} in the ledger, the last revision {revision}; judged in {took:?}",
        entries.len()
    ))
}

/// All members have the same history up to the last revision.
pub async fn agree(members: &[&Member]) -> Result<i64> {
    let start = Instant::now();
    loop {
        let mut told = Vec::new();
        for member in members {
            told.push(hash(member).await);
        }
        if let Ok(first) = &told[0]
            && told.iter().all(|other| other.as_ref().is_ok_and(|other| other == first))
        {
            return Ok(first.0);
        }
        ensure!(start.elapsed() < DEADLINE, "the members do not agree on revision and hash: {told:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A member's revision, and the hash of all that led there.
async fn hash(member: &Member) -> Result<(i64, u32)> {
    member.ready().await?;
    let mut maintenance = MaintenanceClient::new(connect_to(&member.spec.client_url()).await?);
    let rsp = maintenance.hash_kv(etcd::HashKvRequest { revision: 0 }).await?.into_inner();
    Ok((rsp.header.context("a header")?.revision, rsp.hash))
}

/// Whatever was acknowledged of the ledger lies in every member's own state, and nothing that nobody wrote. Gives how many.
async fn ledger(members: &[&Member], recorder: &Recorder) -> Result<usize> {
    let mut tried: BTreeMap<Bytes, (Value, bool)> = BTreeMap::new();
    for entry in recorder.entries() {
        if let [Do::Put(key, value)] = entry.op.call.then[..]
            && key >= LEDGER
        {
            tried.insert(recorder::name(key), (value, entry.op.answer.is_some()));
        }
    }
    for member in members {
        let mut kv = KvClient::new(connect_to(&member.spec.client_url()).await?);
        // The member's own state, without asking the others.
        let (key, range_end) = (name(LEDGER), Bytes::from_static(b"l"));
        let all = etcd::RangeRequest { key, range_end, serializable: true, ..Default::default() };
        let found: BTreeMap<Bytes, Bytes> =
            kv.range(all).await?.into_inner().kvs.into_iter().map(|kv| (kv.key, kv.value)).collect();
        for (key, (value, acknowledged)) in &tried {
            let there = found.get(key).map(|value| value.as_ref());
            ensure!(
                there == Some(value.to_string().as_bytes()) || (there.is_none() && !acknowledged),
                "{}: {key:?} has {there:?}; {value} was put there, acknowledged: {acknowledged}",
                member.spec.name
            );
        }
        let unknown = found.keys().find(|key| !tried.contains_key(*key));
        ensure!(unknown.is_none(), "{}: nobody put {unknown:?}", member.spec.name);
    }
    Ok(tried.values().filter(|(_, acknowledged)| *acknowledged).count())
}

/// The judge of this very history sees a stale read in it.
fn notices_a_lie(mut history: Vec<Op>) -> Result<()> {
    let puts: BTreeMap<u16, Vec<(Value, i64)>> = history.iter().fold(BTreeMap::new(), |mut puts, op| {
        if let ([Do::Put(key, value)], Some(answer), true) = (&op.call.then[..], &op.answer, op.call.compare.is_empty())
        {
            puts.entry(*key).or_default().push((*value, answer.revision));
        }
        puts
    });
    let stale = history.iter_mut().rev().find_map(|op| {
        let ([Do::Get(key)], Some(answer)) = (&op.call.then[..], op.answer.as_mut()) else { return None };
        let first = puts.get(key)?.first()?;
        let told = answer.seen.first_mut()?;
        (*told != Some(*first)).then(|| *told = Some(*first))
    });
    ensure!(stale.is_some(), "no read of the history can be made stale: the load did too little");
    ensure!(linear::check(&history).is_err(), "the judge does not see a stale read");
    Ok(())
}
