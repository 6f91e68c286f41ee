//! What can go wrong between the apiserver and its store.

use tonic::Code;

/// A failed store operation.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No endpoint answered; the operation did not happen.
    #[error("no store endpoint of {endpoints} answers")]
    Unreachable {
        /// The endpoints tried.
        endpoints: String,
        /// What the last one said.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The connection broke while a write was under way: it may or may not have happened.
    #[error("the store's answer to {operation} was lost; it may have happened")]
    Unknown {
        /// The operation.
        operation: &'static str,
        /// What broke.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The revision asked for was compacted away.
    #[error("revision {requested} has been compacted (the oldest kept is {compacted})")]
    Compacted {
        /// The revision asked for.
        requested: i64,
        /// The compaction revision, 0 where unknown.
        compacted: i64,
    },
    /// The revision asked for is newer than the store.
    #[error("revision {requested} is newer than the store")]
    Future {
        /// The revision asked for.
        requested: i64,
    },
    /// The store refuses values of this size.
    #[error("the value of {bytes} bytes is too large for the store (its --max-request-bytes)")]
    TooLarge {
        /// Size of the value.
        bytes: usize,
    },
    /// A stored value cannot be read.
    #[error("the value of {key} cannot be read: {reason}")]
    Corrupt {
        /// Where it is.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store refused the operation.
    #[error("the store refused {operation}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// What it said.
        #[source]
        source: Box<tonic::Status>,
    },
}

/// True where the request cannot have reached the store.
pub(super) fn never_sent(status: &tonic::Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    status.message().contains("tcp connect error") || status.message().contains("no leader")
}

/// True where another endpoint may do better.
pub(super) fn try_another(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Cancelled)
        || (status.code() == Code::Unknown && std::error::Error::source(status).is_some())
}

/// Reads what etcd says in its error texts.
pub(super) fn refused(operation: &'static str, requested: i64, bytes: usize, status: tonic::Status) -> StorageError {
    let text = status.message();
    if text.contains("required revision has been compacted") {
        StorageError::Compacted { requested, compacted: 0 }
    } else if text.contains("required revision is a future revision") {
        StorageError::Future { requested }
    } else if ["request is too large", "larger than max", "message length too large"].iter().any(|it| text.contains(it))
    {
        StorageError::TooLarge { bytes }
    } else {
        StorageError::Refused { operation, source: Box::new(status) }
    }
}
