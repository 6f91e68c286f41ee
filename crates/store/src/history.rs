//! Changes of the past, read back from the index and the engine for watchers that are far behind.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use crate::mvcc::{Event, Version};
use crate::shared::Shared;
use crate::watcher::{Change, Spec};

/// The changes that `spec` wants from revision `from` up to `upto`, at most about `events_max` events, whole revisions;
/// and the revision to go on from.
pub fn fetch(shared: &Shared, spec: &Spec, from: i64, upto: i64, events_max: usize) -> io::Result<(Vec<Change>, i64)> {
    type Row = (Bytes, Version, Option<Version>);
    let mut rows: BTreeMap<(i64, u32), Row> = BTreeMap::new();
    let mut cut: Option<i64> = None;
    let view = {
        let held = shared.held.read();
        for (key, history) in held.state.index.histories(&spec.interval()) {
            let versions = history.versions();
            for (at, version) in versions.iter().enumerate() {
                if version.main < from || version.main > upto || cut.is_some_and(|cut| version.main >= cut) {
                    continue;
                }
                let prev = before(&versions[..at], version);
                rows.insert((version.main, version.sub), (Bytes::copy_from_slice(key), *version, prev));
                // Only the oldest are wanted now: forget whole revisions from the end.
                while rows.len() > 2 * events_max {
                    let Some((&(main, _), _)) = rows.last_key_value() else { break };
                    if rows.first_key_value().is_some_and(|(&(first, _), _)| first == main) {
                        break;
                    }
                    rows.retain(|(other, _), _| *other < main);
                    cut = Some(main);
                }
            }
        }
        held.engine.view()
    };
    let mut changes: Vec<Change> = Vec::new();
    for ((main, _), (key, version, prev)) in rows {
        let value = if version.is_tombstone() { Bytes::new() } else { view.read(version.loc)? };
        let event = Event::new(key, version, value, prev);
        match changes.last_mut() {
            Some(change) if change.revision == main => change.events.push(event),
            _ => changes.push(Change { revision: main, events: vec![event] }),
        }
    }
    Ok((changes, cut.unwrap_or(upto + 1)))
}

/// What the key was before the transaction that made `version`; nothing where that made it anew.
fn before(older: &[Version], version: &Version) -> Option<Version> {
    let prev = older.iter().rev().find(|older| older.main < version.main)?;
    (!prev.is_tombstone() && version.version != 1).then_some(*prev)
}
