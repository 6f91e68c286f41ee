//! A Failure as gRPC carries it: a code, a text, and the Status in the details.

use prost::Message;
use proto::meta::v1::Status;
use tonic::Code;

use crate::status::Failure;

/// What both headers of a refusal may have together, as they travel: callers refuse more than 16 KiB of headers.
const HEADERS_BYTES_MAX: usize = 8 << 10;
/// Of a message that does not fit so much is told in the details, and so much in grpc-message, where a byte may take
/// three.
const MESSAGE_BYTES_MAX: usize = 1536;
const HEADER_MESSAGE_BYTES_MAX: usize = 512;
/// Of names, fields and texts of causes.
const FIELD_BYTES_MAX: usize = 256;

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

/// The gRPC status of a failure. What does not fit into headers is cut: the ends of texts, then the last causes.
pub fn of(failure: Failure) -> tonic::Status {
    let code = code(&failure.0);
    let (mut message, mut status) = (failure.0.message.clone(), *failure.0);
    let mut details = wrap(code, &message, &status);
    if !fits(&message, &details) {
        message = cut(&message, HEADER_MESSAGE_BYTES_MAX);
        shorten(&mut status);
        details = wrap(code, &message, &status);
    }
    while !fits(&message, &details) && drop_cause(&mut status) {
        details = wrap(code, &message, &status);
    }
    tonic::Status::with_details(code, message, details.into())
}

fn wrap(code: Code, message: &str, status: &Status) -> Vec<u8> {
    let rpc = RpcStatus { code: code.into(), message: message.to_owned(), details: vec![proto::any::pack(status)] };
    rpc.encode_to_vec()
}

fn fits(message: &str, details: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    let escaped: usize = message.as_bytes().iter().map(|byte| if plain(byte) { 1 } else { 3 }).sum();
    escaped + details.len().div_ceil(3) * 4 <= HEADERS_BYTES_MAX
}

fn shorten(status: &mut Status) {
    status.message = cut(&status.message, MESSAGE_BYTES_MAX);
    let Some(details) = &mut status.details else { return };
    for text in [&mut details.name, &mut details.group, &mut details.kind, &mut details.uid] {
        *text = cut(text, FIELD_BYTES_MAX);
    }
    for cause in &mut details.causes {
        cause.message = cut(&cause.message, FIELD_BYTES_MAX);
        cause.field = cut(&cause.field, FIELD_BYTES_MAX);
    }
}

/// Halves the causes, from the end; false where none is left.
fn drop_cause(status: &mut Status) -> bool {
    let Some(details) = &mut status.details else { return false };
    let left = details.causes.len();
    details.causes.truncate(left / 2);
    left > 0
}

/// At most so many bytes, whole characters, and a sign that it goes on.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
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

    #[track_caller]
    fn travels(failure: Failure) -> Status {
        let status = of(failure);
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).expect("headers");
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 9 << 10, "{bytes} bytes of headers");
        let details = RpcStatus::decode(status.details()).expect("our own bytes");
        proto::any::unpack(&details.details[0]).expect("a Status")
    }

    #[test]
    fn a_very_long_refusal_still_fits_into_headers() {
        let cause = |at: usize| crate::status::cause("FieldValueInvalid", format!("spec.a[{at}]"), "x".repeat(400));
        let told = travels(Failure::invalid("", "Pod", "p", (0..400).map(cause).collect()));
        let causes = told.details.expect("details").causes;
        assert!(causes.len() > 5 && causes[0].field == "spec.a[0]", "{}", causes.len());

        let told = travels(Failure::not_found("", "pods", &"n".repeat(100_000)));
        assert_eq!((told.code, told.reason.as_str()), (404, "NotFound"));
        assert!(told.message.starts_with("pods \"nnn") && told.message.ends_with('…'));

        let long = "字".repeat(2048);
        let cause = crate::status::cause("FieldValueInvalid", long.clone(), long.clone());
        let told = travels(Failure::invalid("", "Pod", &long, vec![cause]));
        assert_eq!(told.details.expect("details").causes.len(), 1);

        let short =
            travels(Failure::invalid("", "Pod", "p", vec![crate::status::cause("FieldValueRequired", "a", "b")]));
        assert_eq!(short.message, "Pod \"p\" is invalid: a: b", "what fits is told as it is");
    }
}
