//! Documents about the API itself (discovery, OpenAPI): bytes to answer with, and what caches may do with them.

use std::sync::Arc;

use bytes::Bytes;

/// A body with its headers; the door that serves it copies them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `Content-Encoding`, where the body is compressed.
    pub content_encoding: Option<&'static str>,
    /// `Cache-Control`.
    pub cache_control: &'static str,
    /// `Vary`.
    pub vary: Option<&'static str>,
    /// `ETag`, in its quotes. A request whose `If-None-Match` names it is answered 304, without the body.
    pub etag: Option<Arc<str>>,
    pub body: Bytes,
}

impl Document {
    /// What upstream lets nobody keep: most answers.
    pub const PRIVATE: &'static str = "no-cache, private";
    /// What anybody may keep and must ask for again.
    pub const PUBLIC: &'static str = "public";
    /// What never changes under its address.
    pub const IMMUTABLE: &'static str = "public, immutable";

    /// A document that changes with the server and that nobody keeps.
    pub fn private(content_type: &'static str, body: Bytes) -> Self {
        Self { content_type, content_encoding: None, cache_control: Self::PRIVATE, vary: None, etag: None, body }
    }

    /// Whether an `If-None-Match` header says that the client has it already.
    pub fn is_known(&self, if_none_match: &str) -> bool {
        let Some(etag) = &self.etag else { return false };
        let known = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == &**etag;
        if_none_match.split(',').map(str::trim).any(known)
    }
}

/// A name for the content, as upstream writes it: upper-case hexadecimal. In 64 bytes, of SHA-256.
pub fn digest(body: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, body).as_ref())
}

/// Upper-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_names_the_tag_has_the_document() {
        let mut document = Document::private("application/json", Bytes::new());
        assert!(!document.is_known("*"), "what has no tag is never known");
        document.etag = Some("\"AB\"".into());
        for (header, known) in [
            ("\"AB\"", true),
            ("W/\"AB\"", true),
            ("\"CD\", \"AB\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("", false),
        ] {
            assert_eq!(document.is_known(header), known, "{header}");
        }
    }
}
