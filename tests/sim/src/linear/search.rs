//! The search for an order: depth first, the earliest calls first, and nothing twice.

use std::collections::{BTreeSet, HashSet};

use super::store::Store;
use super::{Answer, Do, NotLinearizable, Op, Value};

/// Steps after which it is given up.
const STEPS_MAX: u64 = 2_000_000;
/// Calls of an order that an error shows.
const SHOWN: usize = 12;

/// Calls that have been given a place: all before `from`, and those in `bits` behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Placed {
    from: usize,
    bits: BTreeSet<usize>,
}

impl Placed {
    fn has(&self, at: usize) -> bool {
        at < self.from || self.bits.contains(&at)
    }

    fn with(&self, at: usize) -> Self {
        let mut next = self.clone();
        next.bits.insert(at);
        while next.bits.remove(&next.from) {
            next.from += 1;
        }
        next
    }
}

/// A place in the search: what is placed, the store then, and the candidates that are still to be tried.
struct Frame {
    placed: Placed,
    store: Store,
    candidates: Vec<usize>,
}

/// Whether some order of `ops`, sorted by their beginning, gives their answers.
pub fn check(ops: &[&Op]) -> Result<(), NotLinearizable> {
    let ops = &needed(ops)[..];
    let answered = ops.iter().filter(|op| op.answer.is_some()).count();
    let mut tried: HashSet<(Placed, Store)> = HashSet::new();
    let mut order: Vec<usize> = Vec::new();
    // The longest order, and what could have followed it.
    let mut longest: (Vec<usize>, Vec<usize>) = Default::default();
    let first = Frame { placed: Placed::default(), store: Store::default(), candidates: Vec::new() };
    let mut stack = vec![Frame { candidates: candidates(ops, &first.placed), ..first }];
    let mut steps = 0;
    loop {
        let done = order.iter().filter(|at| ops[**at].answer.is_some()).count();
        if done == answered {
            return Ok(());
        }
        let Some(frame) = stack.last_mut() else { return Err(stuck(ops, &longest)) };
        if order.len() > longest.0.len() || longest.1.is_empty() {
            longest = (order.clone(), frame.candidates.clone());
        }
        let Some(at) = frame.candidates.pop() else {
            stack.pop();
            order.pop();
            continue;
        };
        steps += 1;
        if steps > STEPS_MAX {
            return Err(NotLinearizable::TooWide(STEPS_MAX));
        }
        let next = match &ops[at].answer {
            Some(answer) => frame.store.answered(&ops[at].call, answer),
            None => frame.store.unanswered(&ops[at].call),
        };
        let Some(store) = next else { continue };
        let placed = frame.placed.with(at);
        if tried.insert((placed.clone(), store.clone())) {
            order.push(at);
            stack.push(Frame { candidates: candidates(ops, &placed), placed, store });
        }
    }
}

/// The calls that can be next: none that is not placed has ended before they began. The last one is tried first: answered
/// ones before the others, the earliest end first.
fn candidates(ops: &[&Op], placed: &Placed) -> Vec<usize> {
    let open = || (placed.from..ops.len()).filter(|at| !placed.has(*at));
    let end = open().filter_map(|at| ops[at].ended).min().unwrap_or(u64::MAX);
    let mut found: Vec<usize> = open().take_while(|at| ops[*at].begun <= end).collect();
    found.sort_by_key(|at| std::cmp::Reverse((ops[*at].ended.unwrap_or(u64::MAX), ops[*at].begun)));
    found
}

/// Leaves out calls without an answer whose writes nobody saw: an order with them gives the same answers without them. Every
/// value is written once, and whoever overwrites a value unseen does not learn that it was there. Deletions stay.
fn needed<'a>(ops: &[&'a Op]) -> Vec<&'a Op> {
    let mut seen: BTreeSet<Value> = BTreeSet::new();
    for answer in ops.iter().filter_map(|op| op.answer.as_ref()) {
        let Answer { seen: held, .. } = answer;
        seen.extend(held.iter().flatten().map(|(value, _)| *value));
    }
    let matters = |op: &&&Op| {
        let parts = op.call.then.iter().chain(&op.call.otherwise);
        op.answer.is_some()
            || parts.into_iter().any(|part| match part {
                Do::Get(_) => false,
                Do::Put(_, value) => seen.contains(value),
                Do::Delete(_) => true,
            })
    };
    ops.iter().filter(matters).copied().collect()
}

fn stuck(ops: &[&Op], (order, candidates): &(Vec<usize>, Vec<usize>)) -> NotLinearizable {
    let show = |places: &[usize]| {
        let lines: Vec<String> = places.iter().map(|at| format!("\n    {}", ops[*at])).collect();
        lines.concat()
    };
    let skipped = order.len().saturating_sub(SHOWN);
    let order = format!("(after {skipped} calls){}", show(&order[skipped..]));
    NotLinearizable::NoOrder { order, stuck: show(candidates) }
}
