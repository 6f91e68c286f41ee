//! Which upgrade a request asks for, and which subprotocol it gets.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daemon::serve::Body;
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::header::{HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::channel::Codec;
use super::status::Form;
use crate::authenticate::strip::BEARER_PROTOCOL;

const SPDY: &str = "SPDY/3.1";
/// Which protocols a client of SPDY speaks, and the one that was chosen.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Which protocols there are, where a client's is not among them.
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
/// Refused for want of a better one by RFC 6455.
const WEBSOCKET_VERSION: &str = "13";

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A WebSocket, with the answer to its key.
    WebSocket { accept: String, protocols: Vec<String> },
    /// SPDY/3.1.
    Spdy { protocols: Vec<String> },
    /// No upgrade, or one that nobody here knows.
    Nothing,
}

/// A subprotocol of exec and attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecProtocol {
    /// Its name; empty where the client asked for none.
    pub name: &'static str,
    /// How its WebSocket messages are written.
    pub codec: Codec,
    /// How it tells the end.
    pub status: Form,
    /// Whether a terminal's size has a stream.
    pub resizes: bool,
}

const fn protocol(name: &'static str, base64: bool, closes: bool, status: Form, resizes: bool) -> ExecProtocol {
    ExecProtocol { name, codec: Codec { base64, closes }, status, resizes }
}

/// What exec and attach speak over a WebSocket.
pub const EXEC_WEBSOCKET: [ExecProtocol; 6] = [
    protocol("v5.channel.k8s.io", false, true, Form::Json, true),
    protocol("v4.channel.k8s.io", false, false, Form::Json, true),
    protocol("v4.base64.channel.k8s.io", true, false, Form::Json, true),
    protocol("channel.k8s.io", false, false, Form::Text, true),
    protocol("base64.channel.k8s.io", true, false, Form::Text, true),
    protocol("", false, false, Form::Text, true),
];

/// What exec and attach speak over SPDY. v5 is v4 there: its closing of channels is SPDY's own.
pub const EXEC_SPDY: [ExecProtocol; 6] = [
    protocol("v5.channel.k8s.io", false, false, Form::Json, true),
    protocol("v4.channel.k8s.io", false, false, Form::Json, true),
    protocol("v3.channel.k8s.io", false, false, Form::Text, true),
    protocol("v2.channel.k8s.io", false, false, Form::Text, false),
    protocol("channel.k8s.io", false, false, Form::Text, false),
    protocol("", false, false, Form::Text, false),
];

/// How ports are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardProtocol {
    /// Two channels for each port of the URL.
    Channels(Codec),
    /// SPDY, as bytes in binary messages.
    Tunnel,
    /// SPDY itself.
    Spdy,
}

const PLAIN: Codec = Codec { base64: false, closes: false };

/// What port-forward speaks over a WebSocket.
pub const FORWARD_WEBSOCKET: [(&str, ForwardProtocol); 4] = [
    ("SPDY/3.1+portforward.k8s.io", ForwardProtocol::Tunnel),
    ("v4.channel.k8s.io", ForwardProtocol::Channels(PLAIN)),
    ("v4.base64.channel.k8s.io", ForwardProtocol::Channels(Codec { base64: true, closes: false })),
    ("", ForwardProtocol::Channels(PLAIN)),
];

/// What port-forward speaks over SPDY.
pub const FORWARD_SPDY: [(&str, ForwardProtocol); 2] =
    [("portforward.k8s.io", ForwardProtocol::Spdy), ("", ForwardProtocol::Spdy)];

/// Anything with the name of a subprotocol.
pub trait Named {
    /// The name.
    fn name(&self) -> &'static str;
}

impl Named for ExecProtocol {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl Named for (&'static str, ForwardProtocol) {
    fn name(&self) -> &'static str {
        self.0
    }
}

/// The protocol to speak: the first of the client's that is served, the nameless one where it named none.
pub fn choose<P: Named>(asked: &[String], served: &'static [P]) -> Option<&'static P> {
    let none = [String::new()];
    let asked = if asked.is_empty() { &none } else { asked };
    asked.iter().find_map(|name| served.iter().find(|protocol| protocol.name() == name))
}

/// Reads what a request asks for; the answer to one that asks wrongly.
pub fn asked<B>(request: &Request<B>) -> Result<Asked, Box<Response<Body>>> {
    let headers = request.headers();
    let upgrade = words(headers, &UPGRADE);
    let upgrades = words(headers, &CONNECTION).iter().any(|word| word.eq_ignore_ascii_case("upgrade"));
    let over_http1 = request.version() == Version::HTTP_11;
    if !upgrades || !over_http1 {
        return Ok(Asked::Nothing);
    }
    if upgrade.iter().any(|word| word.eq_ignore_ascii_case(SPDY)) {
        return Ok(Asked::Spdy { protocols: words(headers, &STREAM_PROTOCOL) });
    }
    if !upgrade.iter().any(|word| word.eq_ignore_ascii_case("websocket")) {
        return Ok(Asked::Nothing);
    }
    if request.method() != Method::GET {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened by GET"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != WEBSOCKET_VERSION) {
        let mut refusal = refusal(StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSocket is spoken here");
        refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(WEBSOCKET_VERSION));
        return Err(refusal);
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return Err(refusal(StatusCode::BAD_REQUEST, "a WebSocket needs the header Sec-WebSocket-Key"));
    };
    let accept = derive_accept_key(key.as_bytes());
    Ok(Asked::WebSocket { accept, protocols: words(headers, &SEC_WEBSOCKET_PROTOCOL) })
}

/// The token of a client that can send no header but this one: a browser names it among its subprotocols, beside one that
/// is spoken. As upstream's `base64url.bearer.authorization.k8s.io.TOKEN`.
pub fn websocket_bearer(headers: &HeaderMap) -> Option<String> {
    let protocols = words(headers, &SEC_WEBSOCKET_PROTOCOL);
    let mut tokens = protocols.iter().filter_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL));
    let (token, another) = (tokens.next()?, tokens.next());
    // Two tokens, or nothing to speak: upstream refuses both.
    if another.is_some() || protocols.len() < 2 {
        return None;
    }
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    String::from_utf8(token).ok().filter(|token| !token.is_empty())
}

/// The words of a header that is a list.
fn words(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The answer that opens a WebSocket.
pub fn websocket(accept: &str, protocol: &'static str) -> Response<Body> {
    let mut response = switch("websocket");
    let headers = response.headers_mut();
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(accept).expect("base64 is ASCII"));
    if !protocol.is_empty() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}

/// The answer after which SPDY is spoken.
pub fn spdy(protocol: &'static str) -> Response<Body> {
    let mut response = switch(SPDY);
    if !protocol.is_empty() {
        response.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}

fn switch(to: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    response
}

/// The answer to a client with which nothing is spoken in common.
pub fn no_protocol<P: Named>(asked: &[String], served: &'static [P]) -> Response<Body> {
    let names: Vec<&'static str> = served.iter().map(Named::name).filter(|name| !name.is_empty()).collect();
    let text = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
        asked.join(" "),
        names.join(" ")
    );
    let mut response = *refusal(StatusCode::FORBIDDEN, text);
    for name in names {
        response.headers_mut().append(ACCEPTED_PROTOCOLS, HeaderValue::from_static(name));
    }
    response
}

fn refusal(status: StatusCode, text: impl Into<String>) -> Box<Response<Body>> {
    let mut response = Response::new(Body::new(Full::new(bytes::Bytes::from(text.into() + "\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Box::new(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn requests_say_which_upgrade_they_want() {
        let spdy = request(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
            ("x-stream-protocol-version", "v3.channel.k8s.io, v2.channel.k8s.io"),
        ]);
        let Ok(Asked::Spdy { protocols }) = asked(&spdy) else { panic!("SPDY") };
        assert_eq!(protocols, ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"]);
        let websocket = request(&[
            ("connection", "upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.dG9rZW4, v5.channel.k8s.io"),
        ]);
        let Ok(Asked::WebSocket { accept, protocols }) = asked(&websocket) else { panic!("a WebSocket") };
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the example of RFC 6455");
        assert_eq!(choose(&protocols, &EXEC_WEBSOCKET).map(|it| it.name), Some("v5.channel.k8s.io"));
        assert_eq!(asked(&request(&[])).ok(), Some(Asked::Nothing));
        assert_eq!(asked(&request(&[("connection", "upgrade"), ("upgrade", "h2c")])).ok(), Some(Asked::Nothing));
        let mut http2 = spdy;
        *http2.version_mut() = Version::HTTP_2;
        assert_eq!(asked(&http2).ok(), Some(Asked::Nothing));
    }

    #[test]
    fn a_websocket_that_asks_wrongly_is_told_how() {
        let wrong = [("connection", "upgrade"), ("upgrade", "websocket")];
        let status = |request: &Request<()>| asked(request).expect_err("refused").status().as_u16();
        assert_eq!(status(&request(&wrong)), 426);
        let keyless = request(&[wrong[0], wrong[1], ("sec-websocket-version", "13")]);
        assert_eq!(status(&keyless), 400);
        let mut posted = keyless;
        *posted.method_mut() = Method::POST;
        assert_eq!(status(&posted), 405);
    }

    #[test]
    fn the_clients_first_protocol_that_is_served_is_chosen() {
        let ask = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of = |names: &[&str]| choose(&ask(names), &EXEC_SPDY).map(|it| it.name);
        assert_eq!(of(&["v9.channel.k8s.io", "v3.channel.k8s.io", "v4.channel.k8s.io"]), Some("v3.channel.k8s.io"));
        assert_eq!(of(&[]), Some(""));
        assert_eq!(of(&["portforward.k8s.io"]), None);
        let refused = no_protocol(&ask(&["portforward.k8s.io"]), &EXEC_SPDY);
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.headers().get_all(ACCEPTED_PROTOCOLS).iter().count(), 5);
        let tunnel = ask(&["SPDY/3.1+portforward.k8s.io"]);
        assert_eq!(choose(&tunnel, &FORWARD_WEBSOCKET).map(|it| it.1), Some(ForwardProtocol::Tunnel));
    }

    #[test]
    fn a_browsers_token_is_among_its_subprotocols() {
        let of =
            |protocols: &'static str| websocket_bearer(request(&[("sec-websocket-protocol", protocols)]).headers());
        let token = "base64url.bearer.authorization.k8s.io.dG9rZW4, v5.channel.k8s.io";
        assert_eq!(of(token).as_deref(), Some("token"));
        for none in [
            "v5.channel.k8s.io",
            "base64url.bearer.authorization.k8s.io.dG9rZW4",
            "base64url.bearer.authorization.k8s.io.!, v5.channel.k8s.io",
            "base64url.bearer.authorization.k8s.io., v5.channel.k8s.io",
            "base64url.bearer.authorization.k8s.io.YQ, base64url.bearer.authorization.k8s.io.Yg, v5.channel.k8s.io",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
