//! What a request is expected to take, from what the watch caches know.

use super::seats::Width;
use super::width;
use crate::registry::Resource;

/// What a request is about, as far as its width depends on it.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    /// One object, or a document, or the beginning of a watch.
    Small,
    /// Many objects. `limit` 0: all.
    List { resource: &'a Resource, limit: i64 },
    /// A change of one object, which its watchers are told of.
    Write { resource: &'a Resource, namespace: &'a str, name: &'a str },
}

impl<'a> Work<'a> {
    /// The work of a request that was authorized or not yet: nobody learns from it what is there. `limit`: of a list that is not
    /// of a single name.
    pub fn of(verb: &str, resource: Option<&'a Resource>, namespace: &'a str, name: &'a str, limit: i64) -> Self {
        let Some(resource) = resource else { return Self::Small };
        match verb {
            "list" if name.is_empty() => Self::List { resource, limit },
            "deletecollection" => Self::List { resource, limit: 0 },
            "create" | "update" | "patch" | "delete" => Self::Write { resource, namespace, name },
            _ => Self::Small,
        }
    }

    /// Its seats in a level of so many nominal seats.
    pub fn width(self, nominal: u32) -> Width {
        match self {
            Self::Small => Width::ONE,
            Self::List { resource, limit } => {
                let (objects, bytes) = resource.cache.size();
                width::list(objects, bytes, u64::try_from(limit).unwrap_or(0), nominal)
            }
            Self::Write { resource, namespace, name } => {
                width::write(resource.cache.watchers_of(&resource.key(namespace, name)), nominal)
            }
        }
    }
}
