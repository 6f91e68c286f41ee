//! Custom resources: what definitions add to the API while the server runs.
//!
//! [`follow`] keeps the registry, discovery and the definitions' status as the definitions in the store are; [`cleanup`]
//! empties a definition that is being deleted. A version of a definition is a [`Version`], at which all that differs from
//! built-in kinds happens: reading what a client sent ([`body`]) and what the store holds ([`stored`]), defaults and
//! validation. Everything else of the path of a request is that of built-in kinds.

mod body;
pub mod cleanup;
pub mod conversion;
pub mod follow;
mod scale;
mod stored;
mod version;

pub use stored::seal;
pub use version::{Version, schemas};

use crate::status::Failure;

/// What upstream says to a strategic merge of an object whose fields have no merge keys.
pub fn no_strategic_merge() -> Failure {
    let message = "the body of the request was in an unknown format - accepted media types include: \
                   application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    Failure::new(415, "UnsupportedMediaType", message)
}
