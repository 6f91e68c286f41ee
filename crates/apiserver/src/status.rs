//! A refused request: Kubernetes' own Status, made here and in `api::status`, put on the wire by the front doors.

use std::error::Error;

use api::status::{self, Subject};
use proto::meta::v1::{ListMeta, Status, StatusCause};

use crate::storage::StorageError;
use crate::watch_cache::CacheError;

/// Why a request was refused, in Kubernetes' words.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Failure(pub Box<Status>);

/// What every verb returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with a reason and a code of its own.
    pub fn new(code: i32, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Status {
            metadata: ListMeta::default(),
            status: "Failure".to_owned(),
            message: message.into(),
            reason: reason.to_owned(),
            details: None,
            code,
        }))
    }

    /// About an object of a resource.
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = self.0.details.get_or_insert_default();
        details.group = group.to_owned();
        details.kind = kind.to_owned();
        details.name = name.to_owned();
        self
    }

    /// With causes.
    pub fn because(mut self, causes: Vec<StatusCause>) -> Self {
        self.0.details.get_or_insert_default().causes = causes;
        self
    }

    /// Try again after so many seconds.
    pub fn retry_after(mut self, seconds: i32) -> Self {
        self.0.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// About an object that has no name yet: refusals name what it is to begin with, as upstream.
    pub fn named_for(mut self, generate_name: &str) -> Self {
        if let Some(details) = self.0.details.as_mut().filter(|details| details.name.is_empty())
            && !generate_name.is_empty()
        {
            details.name = generate_name.to_owned();
            self.0.message = self.0.message.replacen("\"\"", &format!("{generate_name:?}"), 1);
        }
        self
    }

    /// The HTTP code.
    pub fn code(&self) -> i32 {
        self.0.code
    }

    /// The reason, one of upstream's.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The object does not exist.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        status::not_found(Subject::new(group, plural, name)).into()
    }

    /// The object exists.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        status::already_exists(Subject::new(group, plural, name)).into()
    }

    /// The object is not in the state that the request supposes.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        status::conflict(Subject::new(group, plural, name), why).into()
    }

    /// Somebody else changed the object first.
    pub fn modified(group: &str, plural: &str, name: &str) -> Self {
        status::modified(Subject::new(group, plural, name)).into()
    }

    /// The caller may not.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        status::forbidden(Subject::new(group, plural, name), why).into()
    }

    /// The object breaks rules.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<StatusCause>) -> Self {
        status::invalid(Subject::new(group, kind, name), causes).into()
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        status::bad_request(message).into()
    }

    /// The revision or the token is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        status::expired(message).into()
    }

    /// A watch cannot go on: what it would tell next is gone.
    pub fn lost_history() -> Self {
        Self::expired("too old resource version: the store's history was compacted; list again")
    }

    /// The caller is nobody.
    pub fn unauthorized() -> Self {
        status::unauthorized().into()
    }

    /// The resource has no such verb.
    pub fn method_not_supported(group: &str, plural: &str, verb: &str) -> Self {
        status::method_not_supported(group, plural, verb).into()
    }

    /// The resource has no such verb at that place.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .because(Vec::new())
    }

    /// There is no such resource.
    pub fn no_resource() -> Self {
        status::no_such_resource().into()
    }

    /// The object or the request is too large.
    pub fn too_large(message: &str) -> Self {
        status::request_too_large(message).into()
    }

    /// Not done in time; try again.
    pub fn timeout(message: &str) -> Self {
        status::timeout(message, 1).into()
    }

    /// Not now; try again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::from(status::unavailable(message)).retry_after(1)
    }

    /// Something is wrong here.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        status::internal(message).into()
    }

    /// True for a write that somebody else's write prevented.
    pub fn is_conflict(&self) -> bool {
        self.0.reason == "Conflict"
    }

    /// True where the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.0.reason == "NotFound"
    }

    /// True where the object exists.
    pub fn is_already_exists(&self) -> bool {
        self.0.reason == "AlreadyExists"
    }
}

/// A cause of an invalid object.
pub fn cause(reason: &str, field: impl Into<String>, message: impl Into<String>) -> StatusCause {
    StatusCause { reason: reason.to_owned(), field: field.into(), message: message.into() }
}

/// `deployments.apps`, `pods`.
pub fn qualified(group: &str, plural: &str) -> String {
    status::qualified(group, plural)
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self(Box::new(status))
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        let text = chain(&error);
        match error {
            // A read at a revision, of which the store does not say how far it is cut off.
            StorageError::Compacted { compacted: 0, .. } => {
                Self::expired("The resourceVersion for the provided list is too old.")
            }
            StorageError::Compacted { requested, compacted } => status::too_old(requested, compacted).into(),
            StorageError::Future { requested } => status::too_large_resource_version(requested, 0).into(),
            StorageError::TooLarge { .. } => Self::too_large(&text),
            StorageError::Unreachable { .. } => Self::unavailable(text),
            StorageError::Unknown { .. } => Self::timeout(&text),
            StorageError::Corrupt { .. } | StorageError::Refused { .. } => Self::internal(text),
        }
    }
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::TooOld { requested, oldest } => status::too_old(requested, oldest).into(),
            CacheError::TooNew { requested, current } => status::too_large_resource_version(requested, current).into(),
            CacheError::NotReady | CacheError::Closed => Self::unavailable(error.to_string()),
        }
    }
}

/// The whole chain of an error, for logs.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    daemon::process::chain(error)
}
