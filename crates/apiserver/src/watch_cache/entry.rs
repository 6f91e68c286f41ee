//! One version of an object, as the cache holds it, and one change of it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use proto::keelson::api::v1::watch_event::Type;

/// One version of an object. Shared by the cache, the window and every watcher.
#[derive(Debug)]
pub struct Entry {
    /// `namespace/name`, or `name` for cluster-scoped objects.
    pub key: Box<str>,
    /// Where the name begins in the key.
    name_at: usize,
    /// metadata.resourceVersion.
    pub rev: i64,
    /// Protobuf, without envelope and without the version.
    pub bytes: Bytes,
    /// metadata.labels.
    pub labels: BTreeMap<String, String>,
    /// What field selectors can ask for, beyond name and namespace.
    pub fields: Vec<(&'static str, String)>,
}

impl Entry {
    /// An entry of the key below its resource's prefix.
    pub fn new(
        key: &str,
        rev: i64,
        bytes: Bytes,
        labels: BTreeMap<String, String>,
        fields: Vec<(&'static str, String)>,
    ) -> Self {
        let name_at = key.rfind('/').map_or(0, |slash| slash + 1);
        Self { key: key.into(), name_at, rev, bytes, labels, fields }
    }

    /// metadata.name.
    pub fn name(&self) -> &str {
        &self.key[self.name_at..]
    }

    /// metadata.namespace, empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        &self.key[..self.name_at.saturating_sub(1)]
    }

    /// The value of a selectable field; an unknown one is empty.
    pub fn field(&self, path: &str) -> &str {
        match path {
            "metadata.name" => self.name(),
            "metadata.namespace" => self.namespace(),
            _ => self.fields.iter().find(|(name, _)| *name == path).map_or("", |(_, value)| value),
        }
    }
}

/// One change: at least one of `old` and `new` is there.
#[derive(Debug)]
pub struct Change {
    /// The revision of the change.
    pub rev: i64,
    /// The object before it.
    pub old: Option<Arc<Entry>>,
    /// The object after it.
    pub new: Option<Arc<Entry>>,
    /// The encoded event of gRPC, made by the first watcher that needs it: ADDED, MODIFIED, DELETED.
    encoded: Encoded,
    /// The same of REST, made only where somebody watches there.
    rest: [OnceLock<Box<Encoded>>; 2],
}

/// An event as it is written, for each type that it may have.
type Encoded = [OnceLock<Bytes>; 3];

/// How REST writes the events of whole objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestForm {
    Json,
    Protobuf,
}

impl Change {
    /// A change of an object.
    pub fn new(rev: i64, old: Option<Arc<Entry>>, new: Option<Arc<Entry>>) -> Self {
        Self { rev, old, new, encoded: Encoded::default(), rest: Default::default() }
    }

    /// What a watcher sees that wants objects that `wants` accepts: an object that leaves the selection is DELETED.
    pub fn seen_by(&self, wants: impl Fn(&Entry) -> bool) -> Option<Type> {
        let before = self.old.as_deref().is_some_and(&wants);
        let after = self.new.as_deref().is_some_and(&wants);
        match (before, after) {
            (false, true) => Some(Type::Added),
            (true, true) => Some(Type::Modified),
            (true, false) => Some(Type::Deleted),
            (false, false) => None,
        }
    }

    /// The object an event of this type carries.
    pub fn object(&self, kind: Type) -> Option<&Arc<Entry>> {
        // A deleted object is told as it was last, under the revision of its deletion.
        if kind == Type::Deleted { self.old.as_ref() } else { self.new.as_ref() }
    }

    /// The encoded event of this type; made once.
    pub fn encoded(&self, kind: Type, encode: impl FnOnce(&Entry, i64) -> Bytes) -> Bytes {
        self.once(&self.encoded, kind, encode)
    }

    /// The event of this type as REST writes it; made once for each form.
    pub fn encoded_for_rest(&self, form: RestForm, kind: Type, encode: impl FnOnce(&Entry, i64) -> Bytes) -> Bytes {
        self.once(self.rest[form as usize].get_or_init(Box::default), kind, encode)
    }

    fn once(&self, slots: &Encoded, kind: Type, encode: impl FnOnce(&Entry, i64) -> Bytes) -> Bytes {
        let Some(object) = self.object(kind) else { return Bytes::new() };
        let slot = match kind {
            Type::Added => 0,
            Type::Modified => 1,
            _ => 2,
        };
        slots[slot].get_or_init(|| encode(object, self.rev)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(labels: &[(&str, &str)]) -> Arc<Entry> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Arc::new(Entry::new("default/a", 1, Bytes::new(), labels, vec![("spec.nodeName", "n1".into())]))
    }

    #[track_caller]
    fn check(old: Option<&str>, new: Option<&str>, expect: Option<Type>) {
        let at = |value: Option<&str>| value.map(|value| entry(&[("app", value)]));
        let change = Change::new(2, at(old), at(new));
        assert_eq!(change.seen_by(|entry| entry.labels["app"] == "x"), expect);
    }

    #[test]
    fn an_object_that_leaves_the_selection_is_deleted() {
        check(None, Some("x"), Some(Type::Added));
        check(Some("x"), Some("x"), Some(Type::Modified));
        check(Some("x"), Some("y"), Some(Type::Deleted));
        check(Some("y"), Some("x"), Some(Type::Added));
        check(Some("x"), None, Some(Type::Deleted));
        check(Some("y"), Some("z"), None);
        check(Some("y"), None, None);
    }

    #[test]
    fn fields_of_an_entry() {
        let entry = entry(&[]);
        assert_eq!(entry.name(), "a");
        assert_eq!(entry.namespace(), "default");
        assert_eq!(entry.field("metadata.name"), "a");
        assert_eq!(entry.field("spec.nodeName"), "n1");
        let node = Entry::new("node-1", 1, Bytes::new(), BTreeMap::new(), vec![]);
        assert_eq!((node.name(), node.namespace()), ("node-1", ""));
    }
}
