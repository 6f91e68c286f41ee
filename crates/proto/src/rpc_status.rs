//! A Kubernetes `Status` inside a gRPC error, and back.
//!
//! `grpc-status-details-bin` holds a google.rpc.Status whose one detail is the Status.

use prost::Message;

use crate::any;
use crate::meta::v1::Status;

/// google.rpc.Status, which every gRPC library knows how to read.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The gRPC code that stands for an HTTP code and a reason.
pub fn grpc_code(status: &Status) -> tonic::Code {
    use tonic::Code;
    match (status.code, status.reason.as_str()) {
        (_, "AlreadyExists") => Code::AlreadyExists,
        (200..=299, _) => Code::Ok,
        (400 | 415 | 422 | 406, _) => Code::InvalidArgument,
        (401, _) => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (404, _) => Code::NotFound,
        (405 | 501, _) => Code::Unimplemented,
        (409, _) => Code::Aborted,
        (410, _) => Code::OutOfRange,
        (412, _) => Code::FailedPrecondition,
        (413 | 429, _) => Code::ResourceExhausted,
        (503, _) => Code::Unavailable,
        (504, _) => Code::DeadlineExceeded,
        (_, "ServerTimeout" | "Timeout") => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

/// The gRPC error that carries a Status.
pub fn to_tonic(status: &Status) -> tonic::Status {
    let code = grpc_code(status);
    let rpc = RpcStatus { code: code as i32, message: status.message.clone(), details: vec![any::pack(status)] };
    tonic::Status::with_details(code, status.message.clone(), rpc.encode_to_vec().into())
}

/// The Status that a gRPC error carries; one made from its code where it carries none.
pub fn from_tonic(error: &tonic::Status) -> Status {
    carried(error.details()).unwrap_or_else(|| made(error))
}

fn carried(details: &[u8]) -> Option<Status> {
    let rpc = RpcStatus::decode(details).ok()?;
    rpc.details.iter().find_map(|detail| any::unpack(detail).ok())
}

fn made(error: &tonic::Status) -> Status {
    use tonic::Code;
    let (code, reason) = match error.code() {
        Code::Ok => (200, ""),
        Code::InvalidArgument => (400, "BadRequest"),
        Code::Unauthenticated => (401, "Unauthorized"),
        Code::PermissionDenied => (403, "Forbidden"),
        Code::NotFound => (404, "NotFound"),
        Code::AlreadyExists => (409, "AlreadyExists"),
        Code::Aborted | Code::FailedPrecondition => (409, "Conflict"),
        Code::OutOfRange => (410, "Expired"),
        Code::ResourceExhausted => (429, "TooManyRequests"),
        Code::Unimplemented => (501, "NotImplemented"),
        Code::Unavailable => (503, "ServiceUnavailable"),
        Code::DeadlineExceeded | Code::Cancelled => (504, "Timeout"),
        Code::Unknown | Code::Internal | Code::DataLoss => (500, "InternalError"),
    };
    let status = if code == 200 { "Success" } else { "Failure" };
    Status {
        status: status.to_owned(),
        message: error.message().to_owned(),
        reason: reason.to_owned(),
        code,
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_the_wire() {
        let status =
            Status { code: 404, reason: "NotFound".to_owned(), message: "gone".to_owned(), ..Status::default() };
        let error = to_tonic(&status);
        assert_eq!(error.code(), tonic::Code::NotFound);
        assert_eq!(from_tonic(&error), status);
    }

    #[test]
    fn an_error_without_details_gets_a_status_of_its_code() {
        let status = from_tonic(&tonic::Status::unavailable("no connection"));
        assert_eq!((status.code, status.reason.as_str()), (503, "ServiceUnavailable"));
    }
}
