//! What revisions say: the store counts its changes, so answers tell their own order.
//!
//! An answer that came before another call began must not have a later revision; a change has a revision of its own; and a
//! reader at a revision sees the last change up to it. This judge needs no search, sees all keys at once, and finds what
//! the search cannot where keys are apart.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Do, Held, Key, NotLinearizable, Op};

/// What is known to have been written: by key, the revision and what the key held then.
type Writes = BTreeMap<Key, BTreeMap<i64, Held>>;

fn wrong<T>(text: String) -> Result<T, NotLinearizable> {
    Err(NotLinearizable::Revision(text))
}

pub fn check(history: &[Op]) -> Result<(), NotLinearizable> {
    let mut answered: Vec<(&Op, &Answer)> =
        history.iter().filter_map(|op| op.answer.as_ref().map(|answer| (op, answer))).collect();
    in_time(&answered)?;
    answered.sort_by_key(|(_, answer)| answer.revision);
    let writes = writes(&answered)?;
    let deletions = unanswered_deletions(history);
    answered.iter().try_for_each(|(op, answer)| reads(op, answer, &writes, &deletions))
}

/// Revisions never go back from an answer to a call that begins after it, and go on where that one writes.
fn in_time(answered: &[(&Op, &Answer)]) -> Result<(), NotLinearizable> {
    let mut begins: Vec<&(&Op, &Answer)> = answered.iter().collect();
    begins.sort_by_key(|(op, _)| op.begun);
    let mut ends: Vec<&(&Op, &Answer)> = answered.iter().collect();
    ends.sort_by_key(|(op, _)| op.ended);
    let mut ended = ends.into_iter().peekable();
    let mut newest: Option<&(&Op, &Answer)> = None;
    for next in begins {
        while let Some(before) = ended.next_if(|(op, _)| op.ended < Some(next.0.begun)) {
            if newest.is_none_or(|newest| newest.1.revision < before.1.revision) {
                newest = Some(before);
            }
        }
        let Some(before) = newest else { continue };
        let least = before.1.revision + i64::from(next.0.wrote());
        if next.1.revision < least {
            return wrong(format!("{} came after {}, at an earlier revision", next.0, before.0));
        }
    }
    Ok(())
}

fn writes(answered: &[(&Op, &Answer)]) -> Result<Writes, NotLinearizable> {
    let mut writes = Writes::new();
    let mut last: Option<(&Op, i64)> = None;
    for (op, answer) in answered.iter().filter(|(op, _)| op.wrote()) {
        if let Some((before, _)) = last.filter(|(_, revision)| *revision == answer.revision) {
            return wrong(format!("{op} and {before} wrote at one revision"));
        }
        last = Some((op, answer.revision));
        for part in op.call.parts(answer.succeeded).iter().filter(|part| part.is_write()) {
            let held = match part {
                Do::Put(_, value) => Some((*value, answer.revision)),
                _ => None,
            };
            writes.entry(part.key()).or_default().insert(answer.revision, held);
        }
    }
    for (op, answer) in answered {
        for (part, seen) in op.call.parts(answer.succeeded).iter().zip(&answer.seen) {
            let Some((_, revision)) = seen else { continue };
            let known = writes.entry(part.key()).or_default().entry(*revision).or_insert(*seen);
            if known != seen {
                return wrong(format!("{op} saw {seen:?}, but at that revision the key became {known:?}"));
            }
        }
    }
    Ok(writes)
}

/// A reader sees the last change that is known, or one that is not: then no known one may lie between.
fn reads(op: &Op, answer: &Answer, writes: &Writes, deletions: &BTreeSet<Key>) -> Result<(), NotLinearizable> {
    for (part, seen) in op.call.parts(answer.succeeded).iter().zip(&answer.seen) {
        let upto = match part {
            Do::Put(..) => continue,
            Do::Get(_) => answer.revision,
            // What a deletion removes was there before its revision.
            Do::Delete(_) => answer.revision - i64::from(seen.is_some()),
        };
        let known = writes.get(&part.key()).and_then(|known| known.range(..=upto).next_back());
        let Some((revision, held)) = known else { continue };
        let stale = match seen {
            Some((_, seen)) => seen < revision || *seen > upto,
            None => held.is_some() && !deletions.contains(&part.key()),
        };
        if stale {
            return wrong(format!("{op} saw {seen:?}, but the key became {held:?} at revision {revision}"));
        }
    }
    Ok(())
}

/// Keys that may be gone without anybody having been told; the search is the judge of those.
fn unanswered_deletions(history: &[Op]) -> BTreeSet<Key> {
    let open = history.iter().filter(|op| op.answer.is_none());
    let parts = open.flat_map(|op| op.call.then.iter().chain(&op.call.otherwise));
    parts.filter(|part| matches!(part, Do::Delete(_))).map(|part| part.key()).collect()
}
