//! What clients of REST send, damaged: paths, queries, Accept headers, bodies; and stored bytes.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use proto::meta::v1::DeleteOptions;
use testkit::fuzz::damaged;

use super::negotiate::{self, Offer};
use super::query::Query;
use super::{body, encode, path};

#[test]
fn paths_and_queries() {
    let examples: [&[u8]; 4] = [
        b"/api/v1/namespaces/a/pods/p/proxy/x/y/?limit=5&watch=1",
        b"/apis/apps/v1/watch/deployments?timeoutSeconds=9&dryRun=All",
        b"/api/v1/nodes/a%3Ab?gracePeriodSeconds=0&propagationPolicy=Orphan",
        b"/api/v1/pods?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&fieldManager=me",
    ];
    damaged(4_000, &examples, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (front, query) = text.split_once('?').unwrap_or((&text, ""));
        if let Some(found) = path::parse(front) {
            assert!(!found.version.is_empty() && !found.resource.is_empty(), "{found:?}");
        }
        let query = Query::parse(query);
        let _ = query.list_options();
        let _ = query.watch_options();
        let _ = query.delete_options();
        let _ = query.write_options("PatchOptions", "test/1", true);
    });
}

#[test]
fn accepted_forms() {
    let examples: [&[u8]; 2] = [
        b"application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9, application/yaml, */*",
        b"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io",
    ];
    damaged(3_000, &examples, |bytes| {
        let Ok(value) = http::HeaderValue::from_bytes(bytes) else { return };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value);
        for offer in [Offer::Objects, Offer::Events, Offer::CustomObjects, Offer::CustomEvents, Offer::Plain] {
            if let Err(failure) = negotiate::choose(&headers, None, offer) {
                assert_eq!(failure.code(), 406);
            }
        }
    });
}

#[test]
fn bodies_of_requests() {
    let options = DeleteOptions { grace_period_seconds: Some(5), ..DeleteOptions::default() };
    let protobuf = proto::envelope::encode_kind(&options);
    let examples: [&[u8]; 3] = [
        &protobuf,
        br#"{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":5,"preconditions":{"uid":"u"}}"#,
        b"apiVersion: v1\nkind: DeleteOptions\ngracePeriodSeconds: &a 5\ndryRun: [All]\n",
    ];
    damaged(3_000, &examples, |bytes| {
        for kind in ["application/vnd.kubernetes.protobuf", "application/json", "application/yaml"] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
            let bytes = Bytes::copy_from_slice(bytes);
            for failure in [
                body::object(&headers, bytes.clone(), "DeleteOptions").err(),
                body::options::<DeleteOptions>(&headers, bytes).err(),
            ] {
                assert!(failure.is_none_or(|failure| failure.code() == 400), "a body is refused as one");
            }
        }
    });
}

#[test]
fn versions_put_into_objects() {
    let mut pod = proto::core::v1::Pod::default();
    pod.metadata.name = "p".into();
    pod.metadata.labels.insert("a".into(), "b".into());
    let good = prost::Message::encode_to_vec(&pod);
    damaged(4_000, &[&good], |bytes| {
        let made = encode::with_version(42, bytes);
        assert_eq!(made.len(), encode::len_with_version(42, bytes));
        // What reads reads again, and says the version where it has a place for it.
        if let Ok(before) = encode::metadata(0, bytes)
            && let Ok(after) = encode::metadata(0, &made)
            && made != bytes
        {
            assert_eq!(before.metadata.uid, after.metadata.uid);
        }
        let _ = encode::decode(<proto::core::v1::Pod as proto::Object>::kind_info(), 42, bytes);
    });
}
