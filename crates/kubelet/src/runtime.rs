//! The only place that talks to containerd and to OCI registries. Does what it is told; decides nothing about pods.

pub mod connection;
pub mod container;
pub mod content;
pub mod events;
pub mod exec;
pub mod image;
pub mod pull;
pub mod reference;
pub mod registry;
pub mod spec;
pub mod unpack;

pub use connection::Containerd;
pub use image::Image;

/// A failed call: what was tried, on what, and containerd's answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{operation} {object}: {}", told(source))]
    Containerd { operation: &'static str, object: String, source: Box<tonic::Status> },
    #[error("{operation} {object}: the answer lacks {lacks}")]
    Incomplete { operation: &'static str, object: String, lacks: &'static str },
    #[error("read {what} of {image}")]
    Document { what: &'static str, image: String, source: serde_json::Error },
    #[error("{image} has no manifest for {platform}")]
    Platform { image: String, platform: String },
    #[error("{operation} {path}")]
    Io { operation: &'static str, path: String, source: std::io::Error },
    #[error(transparent)]
    Sys(#[from] sys::Error),
    #[error("{0}")]
    Registry(String),
    #[error("{object} is larger than {bytes_max} bytes")]
    TooLarge { object: String, bytes_max: usize },
}

/// containerd's words; or, where there is no containerd, why it cannot be reached.
fn told(status: &tonic::Status) -> String {
    let mut cause = std::error::Error::source(status);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

impl Error {
    pub(crate) fn of(operation: &'static str, object: &str) -> impl FnOnce(tonic::Status) -> Self {
        let object = object.to_owned();
        move |status| Self::Containerd { operation, object, source: Box::new(status) }
    }

    pub fn code(&self) -> Option<tonic::Code> {
        match self {
            Self::Containerd { source, .. } => Some(source.code()),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == Some(tonic::Code::NotFound)
    }

    /// containerd is down, restarting or hanging: it did not answer, so the call may be tried again.
    pub fn is_unavailable(&self) -> bool {
        use std::error::Error as _;
        match self {
            // A status with a source was made on this side of a connection that failed.
            Self::Containerd { source, .. } => {
                matches!(source.code(), tonic::Code::Unavailable | tonic::Code::DeadlineExceeded)
                    || source.source().is_some()
            }
            _ => false,
        }
    }
}
