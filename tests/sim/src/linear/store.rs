//! The store that a history is compared with: some keys, one call at a time.

use super::{Answer, Call, Do, Held, Key, Value};

/// The revision of a key's last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rev {
    At(i64),
    /// A call without an answer wrote it, after this revision.
    After(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cell {
    key: Key,
    value: Value,
    rev: Rev,
}

/// What the keys hold, sorted, and the last revision that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    cells: Vec<Cell>,
    last: i64,
}

impl Store {
    /// The store after a call with this answer; none where it would have answered otherwise.
    pub fn answered(&self, call: &Call, answer: &Answer) -> Option<Self> {
        let mut next = self.clone();
        if !next.compare(call, answer.succeeded) || answer.revision < self.last {
            return None;
        }
        let parts = call.parts(answer.succeeded);
        if parts.len() != answer.seen.len() {
            return None;
        }
        let mut wrote = false;
        for (part, seen) in parts.iter().zip(&answer.seen) {
            wrote |= next.part(*part, *seen, answer.revision)?;
        }
        if wrote && answer.revision <= self.last {
            return None;
        }
        next.last = answer.revision;
        Some(next)
    }

    /// The store after a call that nobody has the answer of, where it changed anything.
    pub fn unanswered(&self, call: &Call) -> Option<Self> {
        let mut next = self.clone();
        let then = next.compare(call, true);
        if !then {
            next = self.clone();
        }
        for part in call.parts(then) {
            match *part {
                Do::Get(_) => {}
                Do::Put(key, value) => next.set(key, value, Rev::After(self.last)),
                Do::Delete(key) => next.cells.retain(|cell| cell.key != key),
            }
        }
        (next != *self).then_some(next)
    }

    fn cell(&mut self, key: Key) -> Option<&mut Cell> {
        self.cells.iter_mut().find(|cell| cell.key == key)
    }

    fn set(&mut self, key: Key, value: Value, rev: Rev) {
        let cell = Cell { key, value, rev };
        match self.cells.binary_search_by_key(&key, |cell| cell.key) {
            Ok(at) => self.cells[at] = cell,
            Err(at) => self.cells.insert(at, cell),
        }
    }

    /// Whether the comparisons can come out as `wanted`; a revision that was not known is, once it compared equal.
    fn compare(&mut self, call: &Call, wanted: bool) -> bool {
        let mut all = true;
        let mut open = false;
        for (key, revision) in &call.compare {
            match self.cell(*key) {
                None => all &= *revision == 0,
                Some(Cell { rev: Rev::At(rev), .. }) => all &= rev == revision,
                Some(Cell { rev: Rev::After(after), .. }) if revision <= after => all = false,
                Some(cell) => {
                    open = true;
                    if wanted {
                        cell.rev = Rev::At(*revision);
                    }
                }
            }
        }
        all == wanted || (open && !wanted)
    }

    /// Does a part that saw `seen`; gives whether it wrote, none where it would have seen something else.
    fn part(&mut self, part: Do, seen: Held, revision: i64) -> Option<bool> {
        match part {
            Do::Put(key, value) => {
                self.set(key, value, Rev::At(revision));
                Some(true)
            }
            Do::Get(key) => self.see(key, seen, revision).then_some(false),
            Do::Delete(key) => {
                let saw = self.see(key, seen, revision);
                self.cells.retain(|cell| cell.key != key);
                saw.then_some(seen.is_some())
            }
        }
    }

    fn see(&mut self, key: Key, seen: Held, revision: i64) -> bool {
        match (self.cell(key), seen) {
            (None, None) => true,
            (Some(cell), Some((value, rev))) => {
                let fits = match cell.rev {
                    Rev::At(at) => at == rev,
                    Rev::After(after) => rev > after && rev <= revision,
                };
                cell.rev = Rev::At(rev);
                fits && cell.value == value
            }
            _ => false,
        }
    }
}
