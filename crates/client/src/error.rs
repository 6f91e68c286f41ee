//! What a call can end with instead of an answer.

use prost::Message;
use proto::meta::v1::Status;
use tonic::Code;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused; its Status says why.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    /// No answer: the server cannot be reached, or the connection broke.
    #[error("{server}: {reason}")]
    Unavailable {
        /// Which servers were tried.
        server: String,
        /// Why it failed, with all causes.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {server} within {seconds} s")]
    Timeout {
        /// Which servers were tried.
        server: String,
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that cannot be read.
    #[error("the server's answer cannot be read")]
    Decode(#[from] proto::any::Error),
    /// An answer without what it should hold.
    #[error("the server's answer lacks its {0}")]
    Incomplete(&'static str),
    /// A kubeconfig that cannot be used.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
}

/// `google.rpc.Status`, as `grpc-status-details-bin` holds it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<prost_types::Any>,
}

impl Error {
    /// From a gRPC status; `server` names who was called.
    pub fn from_rpc(status: &tonic::Status, server: &str) -> Self {
        if let Some(details) = kubernetes_status(status.details()) {
            return Self::Refused(Box::new(details));
        }
        match status.code() {
            Code::Unavailable | Code::Unknown | Code::Cancelled => {
                Self::Unavailable { server: server.to_owned(), reason: chain(status) }
            }
            _ => Self::Refused(Box::new(from_code(status))),
        }
    }

    /// The server's Status, where it answered with one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            _ => None,
        }
    }

    /// The reason in the Status: `NotFound`, `Conflict`, ...; empty without one.
    pub fn reason(&self) -> &str {
        self.status().map(|status| status.reason.as_str()).unwrap_or_default()
    }

    fn has(&self, reason: &str, code: i32) -> bool {
        self.status().is_some_and(|status| status.reason == reason || (status.reason.is_empty() && status.code == code))
    }

    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.has("NotFound", 404)
    }

    /// The object was changed since it was read.
    pub fn is_conflict(&self) -> bool {
        self.has("Conflict", 409)
    }

    /// An object of that name exists.
    pub fn is_already_exists(&self) -> bool {
        self.has("AlreadyExists", 409)
    }

    /// The revision is too old: list again.
    pub fn is_expired(&self) -> bool {
        self.has("Expired", 410) || self.has("Gone", 410)
    }

    /// The caller may not do this, or the namespace is being deleted.
    pub fn is_forbidden(&self) -> bool {
        self.has("Forbidden", 403)
    }

    /// The object is not valid.
    pub fn is_invalid(&self) -> bool {
        self.has("Invalid", 422)
    }

    /// The server asks to come back later.
    pub fn is_too_many_requests(&self) -> bool {
        self.has("TooManyRequests", 429)
    }

    /// A cause of that type is among the Status' details (`NamespaceTerminating`).
    pub fn has_cause(&self, cause: &str) -> bool {
        let details = self.status().and_then(|status| status.details.as_ref());
        details.is_some_and(|details| details.causes.iter().any(|found| found.reason == cause))
    }

    /// Nothing was answered; the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. })
    }
}

fn kubernetes_status(details: &[u8]) -> Option<Status> {
    if details.is_empty() {
        return None;
    }
    let status = RpcStatus::decode(details).ok()?;
    status.details.iter().find_map(|any| proto::any::unpack::<Status>(any).ok())
}

/// A Status for servers (and proxies) that give none.
fn from_code(status: &tonic::Status) -> Status {
    let (code, reason) = match status.code() {
        Code::NotFound => (404, "NotFound"),
        Code::AlreadyExists => (409, "AlreadyExists"),
        Code::Aborted => (409, "Conflict"),
        Code::PermissionDenied => (403, "Forbidden"),
        Code::Unauthenticated => (401, "Unauthorized"),
        Code::InvalidArgument => (400, "BadRequest"),
        // Said by the transport where a message is larger than its reader takes: no history was lost.
        Code::OutOfRange if status.message().contains("message length too large") => (413, "RequestEntityTooLarge"),
        Code::OutOfRange => (410, "Expired"),
        Code::ResourceExhausted => (429, "TooManyRequests"),
        Code::DeadlineExceeded => (504, "Timeout"),
        Code::Unimplemented => (405, "MethodNotAllowed"),
        _ => (500, "InternalError"),
    };
    Status {
        status: "Failure".to_owned(),
        message: status.message().to_owned(),
        reason: reason.to_owned(),
        code,
        ..Status::default()
    }
}

/// The message and every cause below it.
fn chain(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    // Told with its mend where the file is known.
    let is_told = text.contains("refuses our certificate");
    if let Some((_, mend)) = REFUSED_CERTIFICATES.iter().find(|(alert, _)| !is_told && text.contains(alert)) {
        text.push_str("; ");
        text.push_str(mend);
    }
    text
}

/// What servers say when they do not take our certificate, and what to do about it.
const REFUSED_CERTIFICATES: [(&str, &str); 3] = [
    (
        "received fatal alert: CertificateExpired",
        "the client certificate in the kubeconfig has expired: issue a new one, or check the clocks of both machines",
    ),
    (
        "received fatal alert: UnknownCA",
        "the server does not know the CA of the client certificate in the kubeconfig: issue one from its --client-ca-file",
    ),
    (
        "received fatal alert: DecryptError",
        "the client certificate in the kubeconfig is not signed by the server's CA: issue one from its --client-ca-file",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_win_over_the_grpc_code() {
        let status = Status { reason: "Conflict".into(), code: 409, message: "modified".into(), ..Status::default() };
        let details = RpcStatus { details: vec![proto::any::pack(&status)], ..RpcStatus::default() };
        let rpc = tonic::Status::with_details(Code::Unknown, "x", details.encode_to_vec().into());
        let error = Error::from_rpc(&rpc, "here");
        assert!(error.is_conflict() && !error.is_already_exists());
        assert_eq!(error.to_string(), "modified");
    }

    #[test]
    fn without_details_the_code_speaks() {
        assert!(Error::from_rpc(&tonic::Status::not_found("x"), "here").is_not_found());
        assert!(Error::from_rpc(&tonic::Status::unavailable("x"), "here").is_unavailable());
        let refused = Error::from_rpc(&tonic::Status::unauthenticated("who"), "here");
        assert_eq!(refused.reason(), "Unauthorized");
        let large = tonic::Status::out_of_range("Error, decoded message length too large: found 9 bytes");
        let large = Error::from_rpc(&large, "here");
        assert!(!large.is_expired(), "no reason to list again");
        assert_eq!(large.reason(), "RequestEntityTooLarge");
    }

    #[test]
    fn a_refused_certificate_says_what_to_do() {
        let rpc = tonic::Status::unavailable("transport error: received fatal alert: CertificateExpired");
        let text = Error::from_rpc(&rpc, "here").to_string();
        assert!(text.contains("has expired: issue a new one"), "{text}");
    }
}
