//! What can be done to objects; both front doors call these.
//!
//! A write runs decode -> default -> admit -> prepare -> validate -> store. Whoever calls has authenticated and
//! authorized already. [`write`] holds the one loop in which every change of an existing object is decided and stored.

pub mod apply;
pub mod binding;
pub mod create;
pub mod decode;
pub mod delete;
pub mod delete_collection;
pub mod eviction;
pub mod get;
pub mod list;
pub mod options;
pub mod owners;
pub mod page_token;
pub mod patch;
pub mod review;
pub mod scale;
pub mod tell;
pub mod token;
pub mod update;
pub mod watch;
pub mod write;

use std::sync::Arc;

use crate::registry::{Registry, Resource};
use crate::status::{Failure, Result};

/// What a request is about.
#[derive(Debug, Clone)]
pub struct Target {
    /// The resource.
    pub resource: Arc<Resource>,
    /// Empty for cluster-scoped resources, and for lists over all namespaces.
    pub namespace: String,
    /// Empty for lists and creations.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
}

impl Target {
    /// Looks the resource up and checks that it has the subresource.
    pub fn resolve(
        registry: &Registry,
        (group, version, plural): (&str, &str, &str),
        namespace: &str,
        name: &str,
        subresource: &str,
    ) -> Result<Self> {
        let resource = registry.served(group, version, plural)?;
        resource.may_be_read()?;
        if !subresource.is_empty() && !resource.has_subresource(subresource) {
            return Err(resource.no_subresource(name));
        }
        if !resource.row.namespaced && !namespace.is_empty() {
            return Err(Failure::bad_request(format!("{plural} have no namespace; leave it out")));
        }
        Ok(Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }

    /// The object of that name in the same place.
    pub fn named(&self, namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned(), ..self.clone() }
    }

    /// The key in the store.
    pub fn store_key(&self) -> String {
        self.resource.store_key(&self.namespace, &self.name)
    }

    /// Refuses a request for an object that does not say which.
    pub fn require_name(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(Failure::bad_request(format!("the name of the {} must be given", self.resource.row.kind)));
        }
        if self.resource.row.namespaced && self.namespace.is_empty() {
            let kind = self.resource.row.kind;
            return Err(Failure::bad_request(format!("the namespace of the {kind} must be given")));
        }
        Ok(())
    }

    /// The object does not exist.
    pub fn not_found(&self) -> Failure {
        self.resource.not_found(&self.name)
    }
}
