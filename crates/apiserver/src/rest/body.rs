//! What a client sent: its bytes, bounded, and the object in them.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, EXPECT};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use proto::kind::Kind;

use super::negotiate::Format;
use crate::authenticate::User;
use crate::budget::Budget;
use crate::status::{Failure, Result};
use crate::verbs::decode::Body;

/// As many bytes of a body that nobody wanted are read nevertheless; as many does Go's server.
const DRAINED_MAX: usize = 256 << 10;
/// How long that may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// A body of so many bytes is not counted; what is beyond is, in pieces of that size.
const SMALL_BYTES: usize = 16 << 10;
const COUNTED_BYTES: usize = 256 << 10;

/// Reads a request's body; more than `max` bytes are refused, as is more than the bodies in flight may have together.
pub async fn read(body: &mut Incoming, max: usize, budget: &Budget, user: &User) -> Result<Bytes> {
    let mut body = Limited::new(body, max);
    let (mut pieces, mut counted, mut shares) = (Vec::new(), SMALL_BYTES, Vec::new());
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let message =
                    format!("Request entity too large: limit is {max}; --max-request-bytes of the apiserver raises it");
                return Err(Failure::too_large(&message));
            }
            Err(error) => return Err(Failure::bad_request(format!("the body of the request broke off: {error}"))),
        };
        bytes += data.len();
        while bytes > counted {
            shares.push(budget.try_take(user, COUNTED_BYTES as u64)?);
            counted += COUNTED_BYTES;
        }
        pieces.push(data);
    }
    // Most bodies come in one piece.
    Ok(match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.swap_remove(0),
        _ => pieces.concat().into(),
    })
}

/// Reads what is left of a body before the answer is sent: the connection ends after an answer to a body that was not read, and
/// a client that still writes it then would see that end instead of the answer.
pub async fn drain(headers: &HeaderMap, body: Incoming) {
    // Who waits for leave to send a body sends none.
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    // What comes of it changes nothing: there is an answer already.
    let _ = tokio::time::timeout(DRAIN_LIMIT, Limited::new(body, DRAINED_MAX).collect()).await;
}

/// The media type of a body, without parameters; JSON where nothing is said.
pub fn media_type(headers: &HeaderMap) -> &str {
    let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match header.split(';').next().unwrap_or_default().trim() {
        "" => "application/json",
        named => named,
    }
}

/// An object as it came, in a form that verbs take.
#[derive(Debug)]
pub enum Sent {
    Json(Bytes),
    Message(&'static str, Bytes),
}

impl Sent {
    /// As verbs take it.
    pub fn body(&self) -> Body<'_> {
        match self {
            Self::Json(bytes) => Body::Json(bytes),
            Self::Message(name, bytes) => Body::Message(name, bytes),
        }
    }
}

/// Reads the outer form of an object of `kind`.
pub fn object(headers: &HeaderMap, bytes: Bytes, kind: &str) -> Result<Sent> {
    let Some(format) = Format::of_media_type(media_type(headers)) else { return Err(unknown_media_type()) };
    let unrecognized = |why: String| {
        Failure::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why}"))
    };
    match format {
        Format::Json if bytes.is_empty() => Err(unrecognized(
            "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)".to_owned(),
        )),
        Format::Json => Ok(Sent::Json(bytes)),
        Format::Yaml => super::yaml::to_json(&bytes).map(|json| Sent::Json(json.into())).map_err(unrecognized),
        Format::Protobuf => message(&bytes, kind, unrecognized),
    }
}

/// Options in a body, in any of the formats.
pub fn options<T: Kind>(headers: &HeaderMap, bytes: Bytes) -> Result<T> {
    let unreadable = |error: String| Failure::bad_request(format!("{} cannot be read: {error}", T::KIND));
    if Format::of_media_type(media_type(headers)) == Some(Format::Protobuf) {
        let unknown = proto::envelope::decode(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if unknown.type_meta.kind != T::KIND {
            return Err(unreadable(format!("it is a {}", unknown.type_meta.kind)));
        }
        return T::decode(unknown.raw.as_slice()).map_err(|error| unreadable(error.to_string()));
    }
    match object(headers, bytes, T::KIND)? {
        Sent::Json(json) => proto::json::from_slice(&json).map_err(|error| unreadable(error.to_string())),
        Sent::Message(name, _) => Err(unreadable(format!("it is a {name}"))),
    }
}

fn message(bytes: &Bytes, kind: &str, unrecognized: impl Fn(String) -> Failure) -> Result<Sent> {
    let unknown = proto::envelope::decode(bytes).map_err(|error| unrecognized(error.to_string()))?;
    if unknown.content_type == "application/json" {
        return Ok(Sent::Json(unknown.raw.into()));
    }
    let (api_version, named) = (&unknown.type_meta.api_version, &unknown.type_meta.kind);
    let found = proto::dynamic::kind_by_api_version(api_version, named).ok_or_else(|| {
        Failure::bad_request(format!(
            "no kind \"{named}\" is registered for version \"{api_version}\" (must be of type {kind})"
        ))
    })?;
    Ok(Sent::Message(found.full_name, unknown.raw.into()))
}

/// The refusal of a media type that nothing here reads.
pub fn unknown_media_type() -> Failure {
    let message = "the body of the request was in an unknown format - accepted media types include: application/json, \
                   application/yaml, application/vnd.kubernetes.protobuf";
    Failure::new(415, "UnsupportedMediaType", message)
}
