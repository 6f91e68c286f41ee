//! A Failure as gRPC carries it: a code, a text, and the Status in the details.

use prost::Message;
use proto::meta::v1::Status;
use tonic::Code;

use crate::status::Failure;

/// Details larger than this do not fit into headers; causes are left out then.
const DETAILS_BYTES_MAX: usize = 6 << 10;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The gRPC status of a failure.
pub fn of(failure: Failure) -> tonic::Status {
    let code = code(&failure.0);
    let message = shortened(&failure.0.message);
    let details = details(code, &message, &failure.0);
    tonic::Status::with_details(code, message, details.into())
}

fn details(code: Code, message: &str, status: &Status) -> Vec<u8> {
    let wrap = |status: &Status| {
        let rpc = RpcStatus { code: code.into(), message: message.to_owned(), details: vec![proto::any::pack(status)] };
        rpc.encode_to_vec()
    };
    let whole = wrap(status);
    if whole.len() <= DETAILS_BYTES_MAX {
        return whole;
    }
    let mut short = status.clone();
    short.message = message.to_owned();
    if let Some(details) = &mut short.details {
        details.causes.truncate(4);
        for cause in &mut details.causes {
            cause.message = shortened(&cause.message).chars().take(256).collect();
        }
    }
    wrap(&short)
}

fn shortened(message: &str) -> String {
    const LEN_MAX: usize = 2048;
    if message.len() <= LEN_MAX {
        return message.to_owned();
    }
    let mut short: String = message.chars().take(LEN_MAX).collect();
    short.push('…');
    short
}

fn code(status: &Status) -> Code {
    match (status.code, status.reason.as_str()) {
        (_, "AlreadyExists") => Code::AlreadyExists,
        (400 | 415 | 422, _) => Code::InvalidArgument,
        (401, _) => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (404, _) => Code::NotFound,
        (405 | 501, _) => Code::Unimplemented,
        (409, _) => Code::Aborted,
        (410, _) => Code::OutOfRange,
        (413 | 429, _) => Code::ResourceExhausted,
        (503, _) => Code::Unavailable,
        (504, _) => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_travels_in_the_details() {
        let status = of(Failure::not_found("apps", "deployments", "d"));
        assert_eq!(status.code(), Code::NotFound);
        let details = RpcStatus::decode(status.details()).expect("our own bytes");
        let inner: Status = proto::any::unpack(&details.details[0]).expect("a Status");
        assert_eq!((inner.code, inner.message.as_str()), (404, "deployments.apps \"d\" not found"));
    }

    #[test]
    fn a_very_long_refusal_still_fits_into_headers() {
        let cause = |at: usize| crate::status::cause("FieldValueInvalid", format!("spec.a[{at}]"), "x".repeat(400));
        let status = of(Failure::invalid("", "Pod", "p", (0..400).map(cause).collect()));
        assert!(status.details().len() < 16 << 10, "{}", status.details().len());
    }
}
