//! In which form an OpenAPI document is wanted.

/// The forms of OpenAPI documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    /// gnostic's messages; of 2.0 only.
    Protobuf,
}

/// How upstream names the protobuf form: the older name is no valid media type, so answers bear the newer one.
const PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

impl Form {
    /// `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => PROTOBUF[0],
        }
    }

    /// The first form in an Accept header that there is; an empty header asks for JSON. `None`: none of what is accepted
    /// (406).
    pub fn negotiate(accept: &str, protobuf: bool) -> Option<Self> {
        if accept.trim().is_empty() {
            return Some(Self::Json);
        }
        let of = |range: &str| match range.split(';').next().unwrap_or_default().trim() {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            name if protobuf && PROTOBUF.contains(&name) => Some(Self::Protobuf),
            _ => None,
        };
        accept.split(',').find_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_get_protobuf_of_2_0_alone() {
        let old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(Form::negotiate(old, true), Some(Form::Protobuf));
        assert_eq!(Form::negotiate(&format!("{old}, application/json"), false), Some(Form::Json));
        assert_eq!(Form::negotiate(old, false), None);
        assert_eq!(Form::negotiate("", true), Some(Form::Json));
        assert_eq!(Form::negotiate("text/html, */*;q=0.1", true), Some(Form::Json));
    }
}
