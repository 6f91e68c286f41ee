//! The schemas of what others serve, put beside our own.
//!
//! Of 3.0 each group version has a document of its own: the index tells where, and the document is passed on. Of 2.0 there is
//! one document for everything: theirs are read when it is asked for, and what is below their group versions is added.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Map, Value};

use super::availability::get;
use super::{Remote, Told};
use crate::document::{Document, digest};
use crate::outbound::Bounds;
use crate::server::Server;

const INDEX: Bounds = Bounds { timeout: Duration::from_secs(6), answer_bytes_max: 1 << 20 };
const WHOLE: Bounds = Bounds { timeout: Duration::from_secs(10), answer_bytes_max: 16 << 20 };

/// Where the server says that its document of 3.0 is. `None`: it has none.
pub(super) async fn address(server: &Server, remote: &Remote) -> Option<String> {
    let answer = get(server, remote, "/openapi/v3", INDEX).await.ok().filter(|answer| answer.status.is_success())?;
    address_in(&answer.body, &remote.group_version())
}

fn address_in(index: &[u8], group_version: &str) -> Option<String> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let path = format!("apis/{group_version}");
    let address = index.get("paths")?.get(&path)?.get("serverRelativeURL")?.as_str()?;
    // It is told to clients as ours: it must lead to where we pass such requests on.
    address.starts_with(&format!("/openapi/v3/{path}")).then(|| address.to_owned())
}

/// Our index of 3.0 with the documents of others in it.
pub fn index(own: Document, told: &[Told]) -> Document {
    let Ok(mut index) = serde_json::from_slice::<Value>(&own.body) else { return own };
    let Some(paths) = index.get_mut("paths").and_then(Value::as_object_mut) else { return own };
    for told in told {
        if let Some(address) = &told.openapi {
            let name = format!("apis/{}", told.remote.group_version());
            paths.insert(name, serde_json::json!({ "serverRelativeURL": address }));
        }
    }
    with_body(own, index.to_string().into())
}

/// Our document of 2.0 with what others serve in it.
pub async fn whole(server: &Server, own: Document, told: Arc<Vec<Told>>) -> Document {
    let Ok(mut document) = serde_json::from_slice::<Value>(&own.body) else { return own };
    let there = told.iter().filter(|told| told.remote.available);
    let reads = there.map(|told| async {
        let answer = get(server, &told.remote, "/openapi/v2", WHOLE).await.ok()?;
        let theirs: Value = serde_json::from_slice(&answer.body).ok()?;
        Some((format!("/apis/{}/", told.remote.group_version()), theirs))
    });
    for (prefix, theirs) in join_all(reads).await.into_iter().flatten() {
        merge(&mut document, theirs, &prefix);
    }
    with_body(own, document.to_string().into())
}

/// Adds the paths below `prefix`, and the definitions that are not there yet. Ours stay as they are.
fn merge(document: &mut Value, mut theirs: Value, prefix: &str) {
    let mut take = |name: &str| match theirs.get_mut(name).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let (paths, definitions) = (take("paths"), take("definitions"));
    if let Some(own) = document.get_mut("paths").and_then(Value::as_object_mut) {
        own.extend(paths.into_iter().filter(|(path, _)| path.starts_with(prefix)));
    }
    if let Some(own) = document.get_mut("definitions").and_then(Value::as_object_mut) {
        for (name, definition) in definitions {
            own.entry(name).or_insert(definition);
        }
    }
}

fn with_body(own: Document, body: Bytes) -> Document {
    Document { etag: own.etag.as_ref().map(|_| format!("\"{}\"", digest(&body)).into()), body, ..own }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_others_may_be_anything() {
        let index = br#"{"paths":{"apis/x.example/v1":{"serverRelativeURL":"/openapi/v3/apis/x.example/v1?hash=A"}}}"#;
        let whole = br#"{"paths":{"/apis/x.example/v1/things":{}},"definitions":{"a":{"type":"object"}}}"#;
        testkit::fuzz::damaged(2_000, &[index, whole], |bytes| {
            if let Some(address) = address_in(bytes, "x.example/v1") {
                assert!(address.starts_with("/openapi/v3/apis/x.example/v1"), "{address}");
            }
            if let Ok(theirs) = serde_json::from_slice(bytes) {
                merge(&mut json!({ "paths": {}, "definitions": {} }), theirs, "/apis/x.example/v1/");
            }
        });
    }

    #[test]
    fn only_what_a_server_may_serve_is_taken() {
        let mut own = json!({ "paths": { "/api/v1/pods": 1 }, "definitions": { "a": "ours" } });
        let theirs = json!({
            "paths": { "/apis/x.example/v1/things": 2, "/api/v1/pods": 3, "/apis/x.example/v12/things": 4 },
            "definitions": { "a": "theirs", "b": "theirs" },
        });
        merge(&mut own, theirs, "/apis/x.example/v1/");
        let expect = json!({
            "paths": { "/api/v1/pods": 1, "/apis/x.example/v1/things": 2 },
            "definitions": { "a": "ours", "b": "theirs" },
        });
        assert_eq!(own, expect);
    }
}
