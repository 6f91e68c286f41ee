//! Takes credentials out of a request before it is passed on: they were for this server only.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::front_proxy::Fronts;

const IMPERSONATE: &str = "impersonate-";
/// How a browser sends a token with a WebSocket.
pub const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
/// What this server itself tells extension servers, who believe it.
pub const REMOTE: &str = "x-remote-";

/// Removes tokens, whom to act as, and whom a proxy named.
pub fn strip(headers: &mut HeaderMap, fronts: &Fronts) {
    headers.remove(AUTHORIZATION);
    let told = fronts.username_headers.iter().chain(&fronts.uid_headers).chain(&fronts.group_headers);
    told.for_each(|name| _ = headers.remove(name));
    let is_told = |name: &str| {
        [IMPERSONATE, REMOTE].iter().any(|prefix| name.starts_with(prefix))
            || fronts.extra_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    };
    let more: Vec<HeaderName> = headers.keys().filter(|name| is_told(name.as_str())).cloned().collect();
    more.iter().for_each(|name| _ = headers.remove(name));
    without_token(headers);
}

/// The subprotocols without the one that is a token.
fn without_token(headers: &mut HeaderMap) {
    let protocols: Vec<&str> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if !protocols.iter().any(|protocol| protocol.starts_with(BEARER_PROTOCOL)) {
        return;
    }
    let kept: Vec<&str> = protocols.into_iter().filter(|protocol| !protocol.starts_with(BEARER_PROTOCOL)).collect();
    match HeaderValue::from_str(&kept.join(", ")) {
        Ok(value) if !kept.is_empty() => _ = headers.insert(SEC_WEBSOCKET_PROTOCOL, value),
        _ => _ = headers.remove(SEC_WEBSOCKET_PROTOCOL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_names_the_caller_is_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer t"),
            ("impersonate-user", "jane"),
            ("impersonate-extra-a", "b"),
            ("x-remote-user", "root"),
            ("x-remote-extra-a", "b"),
            ("x-front-user", "root"),
            ("x-front-extra-a", "b"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.dG9r, v4.channel.k8s.io"),
            ("accept", "*/*"),
        ] {
            headers.append(name, value.parse().expect("a value"));
        }
        let fronts = Fronts {
            username_headers: vec!["x-front-user".parse().expect("a name")],
            extra_prefixes: vec!["x-front-extra-".to_owned()],
            ..Fronts::default()
        };
        strip(&mut headers, &fronts);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "v4.channel.k8s.io");
    }
}
