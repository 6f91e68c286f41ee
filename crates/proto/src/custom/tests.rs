use prost::Message;
use serde_json::json;

use super::*;
use crate::meta::v1::PartialObjectMetadata;

fn sample() -> Box<dyn DynObject> {
    let text = br#"{"spec":{"b":1.0,"a":"<&>"},"kind":"Thing","apiVersion":"x.example.com/v1","status":{"n":2},
        "metadata":{"name":"a","labels":{"l":"1"}},"data":[1e3,null]}"#;
    let kind = kind("x.example.com", "v1", "Thing");
    let mut object = kind.new_object();
    crate::json::decode_into(text, object.as_reflect_mut()).expect("well-formed");
    object
}

#[test]
fn a_kind_is_made_once() {
    let first = kind("x.example.com", "v1", "Thing");
    assert!(std::ptr::eq(first, kind("x.example.com", "v1", "Thing")));
    assert_eq!((first.group, first.version, first.api_version), ("x.example.com", "v1", "x.example.com/v1"));
    assert!(first.is_custom());
}

#[test]
fn json_keeps_everything_in_order_of_names() {
    let text = String::from_utf8(sample().to_json()).expect("UTF-8");
    assert_eq!(
        text,
        r#"{"apiVersion":"x.example.com/v1","data":[1000,null],"kind":"Thing","metadata":{"name":"a","labels":{"l":"1"}},"spec":{"a":"\u003c\u0026\u003e","b":1},"status":{"n":2}}"#
    );
}

#[test]
fn protobuf_reads_back_and_begins_with_the_metadata() {
    let object = sample();
    let bytes = object.encode_to_vec();
    let again = object.info().decode(&bytes).expect("our own bytes");
    assert!(again.equals(object.as_ref()));
    let meta = PartialObjectMetadata::decode(bytes.as_slice()).expect("metadata").metadata;
    assert_eq!(meta.labels.get("l").map(String::as_str), Some("1"));
    assert!(object.info().decode(b"\x12\x01{").is_err());
}

#[test]
fn unknown_metadata_and_duplicates_are_told_by_path() {
    let mut object = kind("x.example.com", "v1", "Thing").new_object();
    let text = br#"{"metadata":{"name":"a","zz":1},"spec":{"l":[{"a":1,"a":2}]}}"#;
    let decoded = crate::json::decode_into(text, object.as_reflect_mut()).expect("well-formed");
    assert_eq!(decoded.unknown, ["metadata.zz"]);
    assert_eq!(decoded.duplicate, ["spec.l[0].a"]);
    let object = object.as_any().downcast_ref::<CustomObject>().expect("a custom object");
    assert_eq!(object.body["spec"], json!({"l": [{"a": 2}]}));
}
