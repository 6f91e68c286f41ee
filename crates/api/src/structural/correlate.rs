//! Finding a changed object's parts in the object that it was.

use serde_json::{Map, Value};

use super::node::{Merge, Node};

/// The old items by which a list's items can be found again: only lists whose items have keys have any.
pub struct Items<'a> {
    keys: &'a [Box<str>],
    old: &'a [Value],
}

/// The old items of a list.
pub fn items<'a>(node: &'a Node, old: Option<&'a Value>) -> Items<'a> {
    match old {
        Some(Value::Array(old)) if node.merge == Merge::Keyed => Items { keys: &node.keys, old },
        _ => Items { keys: &[], old: &[] },
    }
}

impl<'a> Items<'a> {
    /// The item that had the same keys as this one, which now stands at the index: it is looked for there first.
    pub fn get(&self, index: usize, item: &Value) -> Option<&'a Value> {
        let same = |old: &&Value| self.keys.iter().all(|key| old.get(&**key) == item.get(&**key));
        self.old.get(index).filter(same).or_else(|| self.old.iter().find(same))
    }
}

/// The old fields of an object; none where it counts as one value.
pub fn fields<'a>(node: &Node, old: Option<&'a Value>) -> Option<&'a Map<String, Value>> {
    old.filter(|_| node.merge != Merge::Atomic)?.as_object()
}
