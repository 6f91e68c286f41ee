//! Durability: what was acknowledged stays. Judged at the end, when every member has come back and caught up.

use std::collections::BTreeMap;

use super::Verdict;
use crate::linear::{Do, Held, Key, Op};

/// What clients may rely on: the last acknowledged change of each key.
pub fn acknowledged(history: &[Op]) -> BTreeMap<Key, (i64, Held)> {
    let mut last: BTreeMap<Key, (i64, Held)> = BTreeMap::new();
    for op in history {
        let Some(answer) = &op.answer else { continue };
        for (part, seen) in op.call.parts(answer.succeeded).iter().zip(&answer.seen) {
            let held = match part {
                Do::Get(_) => continue,
                Do::Delete(_) if seen.is_none() => continue,
                Do::Put(_, value) => Some((*value, answer.revision)),
                Do::Delete(_) => None,
            };
            let known = last.entry(part.key()).or_insert((answer.revision, held));
            if known.0 <= answer.revision {
                *known = (answer.revision, held);
            }
        }
    }
    last
}

/// `finally`: what each key held on `member`, at `revision`. A change that nobody acknowledged may have come later.
pub fn check(history: &[Op], member: u64, revision: i64, finally: &BTreeMap<Key, (u64, i64)>) -> Verdict {
    for (key, (acknowledged, held)) in acknowledged(history) {
        if revision < acknowledged {
            return Err(format!("member {member} ends at revision {revision}, but {acknowledged} was acknowledged"));
        }
        let kept = match (held, finally.get(&key)) {
            (_, Some((_, later))) if *later > acknowledged => true,
            (Some(held), Some(found)) => held == *found,
            (None, None) => true,
            (Some(_), None) => deleted_later(history, key),
            (None, Some(_)) => false,
        };
        if !kept {
            let found = finally.get(&key);
            return Err(format!(
                "member {member}: key {key} became {held:?} at revision {acknowledged}, acknowledged; at the end it has {found:?}"
            ));
        }
    }
    Ok(())
}

/// Whether a deletion that was not answered may have removed the key.
fn deleted_later(history: &[Op], key: Key) -> bool {
    let open = history.iter().filter(|op| op.answer.is_none());
    open.flat_map(|op| &op.call.then).any(|part| *part == Do::Delete(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{Answer, Call};

    fn put(revision: i64) -> Op {
        let answer = Answer { succeeded: true, revision, seen: vec![None] };
        Op { client: 1, begun: 1, ended: Some(2), call: Call::put(1, 10), answer: Some(answer) }
    }

    #[test]
    fn a_lost_write_is_objected_to() {
        let history = [put(5)];
        assert_eq!(check(&history, 1, 5, &BTreeMap::from([(1, (10, 5))])), Ok(()));
        assert_eq!(check(&history, 1, 9, &BTreeMap::from([(1, (77, 9))])), Ok(()), "overwritten by somebody");
        assert!(check(&history, 1, 5, &BTreeMap::new()).is_err(), "gone");
        assert!(check(&history, 1, 5, &BTreeMap::from([(1, (9, 4))])).is_err(), "an older value");
        assert!(check(&history, 1, 4, &BTreeMap::new()).is_err(), "an older store");
    }
}
