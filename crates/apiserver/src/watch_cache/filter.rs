//! What a list or a watch wants: a namespace, a name, labels, fields.

use api::selector::{fields, labels};

use super::Entry;

/// Which objects are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Empty: every namespace.
    pub namespace: String,
    /// Empty: every name.
    pub name: String,
    /// None: every object.
    pub labels: Option<labels::Selector>,
    /// None: every object.
    pub fields: Option<fields::Selector>,
}

impl Filter {
    /// Whether this object is wanted.
    pub fn matches(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || entry.namespace() == self.namespace)
            && (self.name.is_empty() || entry.name() == self.name)
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&entry.labels))
            && self.fields.as_ref().is_none_or(|fields| {
                fields.requirements().iter().all(|wanted| (entry.field(&wanted.field) == wanted.value) == wanted.equal)
            })
    }

    /// True where nothing beyond namespace and name is asked for.
    pub fn is_plain(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    /// The only key that can match, where there is one.
    pub fn exact_key(&self) -> Option<String> {
        match (self.namespace.as_str(), self.name.as_str()) {
            (_, "") => None,
            // A name without a namespace is a cluster-scoped object's, or one in any namespace.
            ("", _) => None,
            (namespace, name) => Some(format!("{namespace}/{name}")),
        }
    }
}
