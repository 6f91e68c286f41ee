//! Whether a history of a key-value store with revisions is linearizable. Pure.
//!
//! A history is what clients saw: when each call began and ended, what was asked and what was answered. It is linearizable
//! when every call can be given one moment between its beginning and its end so that the answers are those of a store that
//! does one call at a time. A call without an answer may have happened at any moment after its beginning, or never.
//!
//! Two judges: [`search`] tries orders (after Wing and Gong, with Lowe's memory of what was tried) against [`store`], keys
//! that no call joins apart; [`revision`] looks at the revisions, which order everything that was answered.

pub mod revision;
mod search;
mod store;

use std::fmt;

pub type Key = u16;
/// A value; a history gives each write its own.
pub type Value = u64;

/// What one part of a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    Get(Key),
    Put(Key, Value),
    Delete(Key),
}

impl Do {
    pub fn key(self) -> Key {
        match self {
            Self::Get(key) | Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get(_))
    }
}

/// A transaction: where every key has the revision of its last change (0: the key is not there), `then` is done, else
/// `otherwise`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub compare: Vec<(Key, i64)>,
    pub then: Vec<Do>,
    pub otherwise: Vec<Do>,
}

impl Call {
    fn one(part: Do) -> Self {
        Self { then: vec![part], ..Self::default() }
    }

    pub fn get(key: Key) -> Self {
        Self::one(Do::Get(key))
    }

    pub fn put(key: Key, value: Value) -> Self {
        Self::one(Do::Put(key, value))
    }

    pub fn delete(key: Key) -> Self {
        Self::one(Do::Delete(key))
    }

    /// Puts `value` where the key's last change was at `revision`; else reads it.
    pub fn swap(key: Key, revision: i64, value: Value) -> Self {
        Self { compare: vec![(key, revision)], then: vec![Do::Put(key, value)], otherwise: vec![Do::Get(key)] }
    }

    /// What was done, or is done when the comparisons hold as `succeeded` says.
    pub fn parts(&self, succeeded: bool) -> &[Do] {
        if succeeded { &self.then } else { &self.otherwise }
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let parts = self.then.iter().chain(&self.otherwise).map(|part| part.key());
        self.compare.iter().map(|(key, _)| *key).chain(parts)
    }
}

/// What a key held: its value, and the revision of its last change.
pub type Held = Option<(Value, i64)>;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the comparisons held.
    pub succeeded: bool,
    /// The store's revision when it was done.
    pub revision: i64,
    /// For each part: what a get read, what a delete removed; nothing of a put.
    pub seen: Vec<Held>,
}

/// One call of a history. Moments are places in the one order of everything that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub client: u32,
    pub begun: u64,
    /// Never, where nobody knows what became of it.
    pub ended: Option<u64>,
    pub call: Call,
    /// There is one if, and only if, the call has ended.
    pub answer: Option<Answer>,
}

impl Op {
    /// Whether it changed something, as far as its answer tells.
    fn wrote(&self) -> bool {
        let done = |answer: &Answer| {
            let parts = self.call.parts(answer.succeeded).iter().zip(&answer.seen);
            parts.into_iter().any(|(part, seen)| match part {
                Do::Get(_) => false,
                Do::Put(..) => true,
                Do::Delete(_) => seen.is_some(),
            })
        };
        self.answer.as_ref().is_some_and(done)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, ", self.begun)?;
        match self.ended {
            Some(ended) => write!(f, "{ended}]")?,
            None => f.write_str("never]")?,
        }
        write!(f, " client {}: if {:?} then {:?}", self.client, self.call.compare, self.call.then)?;
        if !self.call.otherwise.is_empty() {
            write!(f, " else {:?}", self.call.otherwise)?;
        }
        match &self.answer {
            Some(Answer { succeeded, revision, seen }) => write!(f, " -> {succeeded} at {revision}, saw {seen:?}"),
            None => f.write_str(" -> nothing known"),
        }
    }
}

/// Why a history is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLinearizable {
    #[error("no order of the calls gives their answers: {order}\nand none of these can follow: {stuck}")]
    NoOrder { order: String, stuck: String },
    #[error("the search was given up after {0} steps: the history has too many calls at once")]
    TooWide(u64),
    #[error("{0}")]
    Revision(String),
}

/// Whether a history is linearizable, by both judges.
pub fn check(history: &[Op]) -> Result<(), NotLinearizable> {
    revision::check(history)?;
    partitions(history).iter().try_for_each(|part| search::check(part))
}

/// The calls apart by keys that no call joins: linearizability is local to objects, so each part is judged alone. Sorted
/// by their beginning.
fn partitions(history: &[Op]) -> Vec<Vec<&Op>> {
    let mut parts: Vec<(Vec<Key>, Vec<&Op>)> = Vec::new();
    for op in history {
        let mut keys: Vec<Key> = op.call.keys().collect();
        if keys.is_empty() {
            continue;
        }
        let mut ops = vec![op];
        let (joined, apart): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|(of, _)| of.iter().any(|key| keys.contains(key)));
        for (of, inside) in joined {
            keys.extend(of);
            ops.extend(inside);
        }
        keys.sort_unstable();
        keys.dedup();
        parts = apart;
        parts.push((keys, ops));
    }
    for (_, ops) in &mut parts {
        ops.sort_by_key(|op| op.begun);
    }
    parts.into_iter().map(|(_, ops)| ops).collect()
}

#[cfg(test)]
mod tests;
