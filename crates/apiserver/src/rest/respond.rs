//! Answers with their headers.

use bytes::Bytes;
use daemon::serve::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::encode;
use super::negotiate::Format;
use crate::status::Failure;

/// An answer of this content type.
pub fn typed(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// An answer that is there as a whole.
pub fn whole(code: StatusCode, format: Format, bytes: Vec<u8>) -> Response<Body> {
    compressible(typed(code, format.content_type(), Body::new(Full::new(Bytes::from(bytes)))))
}

/// The same answer, compressed where the client takes it so and it is large.
pub fn compressible(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(Compressible);
    response
}

/// Marks an answer that may be compressed. Watches and streams may not: they would wait for the end of a block.
#[derive(Debug, Clone, Copy)]
pub struct Compressible;

/// Marks an answer that lasts as long as its client wants.
#[derive(Debug, Clone, Copy)]
pub struct Streams;

/// A refusal.
pub fn failure(failure: &Failure, format: Format) -> Response<Body> {
    let code = u16::try_from(failure.code()).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let bytes = encode::status(&failure.0, format, false);
    let mut response = whole(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), format, bytes);
    let seconds = failure.0.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What is answered where nothing is.
pub fn page_not_found() -> Response<Body> {
    let mut response = typed(
        StatusCode::NOT_FOUND,
        "text/plain; charset=utf-8",
        Body::new(Full::new(Bytes::from_static(b"404 page not found\n"))),
    );
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// Letters of all warnings of an answer; where there are more, as upstream, each is cut and the last are left out.
const WARNINGS_MAX: usize = 4096;
/// Letters of a warning that is cut.
const WARNING_CUT: usize = 256;
/// Python's HTTP client takes 100 headers, and refuses the answer where there are more.
const WARNING_HEADERS_MAX: usize = 90;

/// Says what a client should know, as upstream: `299 - "text"`, each once.
pub fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for text in bounded(warnings) {
        let mut quoted = String::with_capacity(text.len() + 10);
        quoted.push_str("299 - \"");
        for letter in text.chars() {
            match letter {
                '"' | '\\' => quoted.extend(['\\', letter]),
                letter if letter.is_control() => quoted.push(' '),
                letter => quoted.push(letter),
            }
        }
        quoted.push('"');
        if let Ok(value) = HeaderValue::from_bytes(quoted.as_bytes()) {
            headers.append(WARNING, value);
        }
    }
}

/// What fits into headers.
fn bounded(warnings: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for text in warnings {
        if !found.contains(text) && found.len() < WARNING_HEADERS_MAX {
            found.push(text.clone());
        }
    }
    let letters = |texts: &[String]| texts.iter().map(|text| text.chars().count()).sum::<usize>();
    if letters(&found) > WARNINGS_MAX {
        found.iter_mut().for_each(|text| *text = text.chars().take(WARNING_CUT).collect());
        while letters(&found) > WARNINGS_MAX {
            found.pop();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_fit_into_headers() {
        let many: Vec<String> = (0..1000).map(|index| format!("unknown field {index}")).collect();
        assert_eq!(bounded(&many).len(), WARNING_HEADERS_MAX);
        let long = bounded(&["a".repeat(300), "b".repeat(5000), "a".repeat(300)]);
        assert_eq!(long, ["a".repeat(256), "b".repeat(256)], "each once, and cut");
        let all = ["short".to_owned(), "c".repeat(4000)];
        assert_eq!(bounded(&all), all);
        let letters: usize =
            bounded(&(0..80).map(|index| format!("{index:0300}")).collect::<Vec<_>>()).iter().map(String::len).sum();
        assert_eq!(letters, WARNINGS_MAX);
    }

    #[test]
    fn warnings_are_quoted() {
        let mut headers = HeaderMap::new();
        warn(&mut headers, &["unknown field \"a\\b\"".to_owned(), "two\nlines".to_owned()]);
        let all: Vec<_> = headers.get_all(WARNING).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(all, [r#"299 - "unknown field \"a\\b\"""#, r#"299 - "two lines""#]);
    }

    #[test]
    fn a_client_is_told_when_to_come_again() {
        let response = failure(&Failure::unavailable("not now"), Format::Json);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}
