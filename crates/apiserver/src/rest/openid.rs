//! How others check the tokens of service accounts: upstream's documents of OpenID Connect.

use bytes::Bytes;
use daemon::serve::Body;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Rest, respond};

/// The paths, without a slash at their ends.
pub const PATHS: [&str; 2] = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
/// Clients may keep both for an hour.
const KEPT: &str = "public, max-age=3600";

impl Rest {
    /// The document at a path; `None` where there is none.
    pub(super) fn openid(&self, path: &str) -> Option<Response<Body>> {
        let tokens = &self.server.tokens;
        // As upstream: who could not be asked over HTTPS is not told of.
        if !is_told(tokens.issuer()) {
            return None;
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        match PATHS.iter().position(|known| *known == path)? {
            0 => Some(answer("application/json", &self.configuration())),
            _ => Some(answer("application/jwk-set+json", &json!({ "keys": tokens.jwks() }))),
        }
    }

    fn configuration(&self) -> Value {
        let tokens = &self.server.tokens;
        let keys = tokens.jwks_uri().map_or_else(|| format!("https://{}{}", self.address, PATHS[1]), str::to_owned);
        json!({
            "issuer": tokens.issuer(),
            "jwks_uri": keys,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": tokens.algorithms(),
        })
    }
}

fn is_told(issuer: &str) -> bool {
    issuer.starts_with("https://") && !issuer.contains(['?', '#'])
}

fn answer(content_type: &'static str, document: &Value) -> Response<Body> {
    let body = Body::new(Full::new(Bytes::from(document.to_string())));
    let mut response = respond::typed(StatusCode::OK, content_type, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(KEPT));
    response
}
