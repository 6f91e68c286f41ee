//! What clients did and saw, in the order in which it happened.

use std::collections::BTreeMap;

use crate::invariant::watch::Change;
use crate::linear::{Answer, Call, Do, Key, Op};

#[derive(Default)]
pub struct History {
    moment: u64,
    pub ops: Vec<Op>,
    /// Calls that were refused without having done anything.
    pub refused: u64,
    next_value: u64,
}

pub fn key_text(key: Key) -> String {
    format!("key/{key}")
}

impl History {
    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// A value that no other write has.
    pub fn value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value
    }

    pub fn begin(&mut self, client: u32, call: Call) -> usize {
        let begun = self.tick();
        self.ops.push(Op { client, begun, ended: None, call, answer: None });
        self.ops.len() - 1
    }

    pub fn end(&mut self, at: usize, answer: Answer) {
        let ended = self.tick();
        let op = &mut self.ops[at];
        (op.ended, op.answer) = (Some(ended), Some(answer));
    }

    /// The call did nothing, says its refusal: as if it had asked for nothing.
    pub fn refuse(&mut self, at: usize) {
        self.ops[at].call = Call::default();
        self.refused += 1;
    }

    /// What writers know of the changes, by revision, as watchers see them.
    pub fn written(&self, text: impl Fn(u64) -> Vec<u8>) -> BTreeMap<i64, Vec<Change>> {
        let mut written: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
        for op in &self.ops {
            let Some(answer) = &op.answer else { continue };
            for (part, seen) in op.call.parts(answer.succeeded).iter().zip(&answer.seen) {
                let value = match part {
                    Do::Put(_, value) => Some(text(*value)),
                    Do::Delete(_) if seen.is_some() => None,
                    _ => continue,
                };
                let change = (key_text(part.key()).into_bytes(), value);
                written.entry(answer.revision).or_default().push(change);
            }
        }
        written
    }

    /// Calls that were answered, and those of which nobody knows.
    pub fn counts(&self) -> (u64, u64) {
        let answered = self.ops.iter().filter(|op| op.answer.is_some()).count() as u64;
        (answered, self.ops.len() as u64 - answered - self.refused)
    }
}
