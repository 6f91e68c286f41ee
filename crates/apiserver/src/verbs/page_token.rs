//! Continue tokens: where the next page of a list begins, and at which revision. Written as upstream writes them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::status::{Failure, Result};

const VERSION: &str = "meta.k8s.io/v1";
/// The revision of a token that goes on at the newest state.
pub const NEWEST: i64 = -1;

/// A continue token's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    v: String,
    /// The revision of the list; [`NEWEST`] where that was given up.
    #[serde(default)]
    pub rv: i64,
    /// The first key of the page, below the prefix of what is listed.
    #[serde(default)]
    pub start: String,
}

impl PageToken {
    /// The token of the page after `last_key`.
    pub fn after(last_key: &str, rv: i64) -> Self {
        Self { v: VERSION.to_owned(), rv, start: format!("{last_key}\0") }
    }

    /// As it travels.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("strings and a number always encode");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a token from outside; it is below what is listed, and cannot point out of it.
    pub fn decode(text: &str) -> Result<Self> {
        let refuse = |why: &str| Failure::bad_request(format!("continue key is not valid: {why}"));
        let text = text.trim_end_matches('=');
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|error| refuse(&error.to_string()))?;
        let token: Self = serde_json::from_slice(&json).map_err(|error| refuse(&error.to_string()))?;
        if token.v != VERSION {
            return Err(refuse(&format!("server does not recognize this encoded version {:?}", token.v)));
        }
        if token.rv == 0 {
            return Err(refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.start.is_empty() || token.start.starts_with('/') || token.start.split('/').any(|part| part == "..") {
            return Err(refuse(&token.start));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_travel() {
        let token = PageToken::after("default/a", 42);
        assert_eq!(PageToken::decode(&token.encode()).expect("own token"), token);
    }

    #[track_caller]
    fn refused(text: &str) {
        assert_eq!(PageToken::decode(text).expect_err("refused").code(), 400);
    }

    #[test]
    fn a_forged_token_cannot_leave_what_is_listed() {
        refused(&PageToken::after("../kube-system/a", 42).encode());
        refused(&PageToken::after("/kube-system/a", 42).encode());
        refused("banana!");
        refused(&URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v2","rv":1,"start":"a"}"#));
        refused(&URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#));
        refused(&URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":5}"#));
    }
}
