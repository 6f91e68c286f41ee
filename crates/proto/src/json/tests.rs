use serde_json::json;

use crate::apps::v1::Deployment;
use crate::core::v1::{ConfigMap, Pod};
use crate::json::{Error, from_slice, from_slice_strict, from_value, special, to_value};

#[test]
fn a_kind_begins_with_kind_and_api_version() {
    let text = String::from_utf8(crate::json::to_vec(&ConfigMap::default())).expect("JSON is UTF-8");
    assert_eq!(text, r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}"#);
}

#[test]
fn inlined_messages_are_flattened_both_ways() {
    let value = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
        "containers": [{"name": "c", "resources": {}, "livenessProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 3}}],
    }, "status": {}});
    let pod: Pod = from_value(value.clone()).expect("a pod");
    assert_eq!(
        pod.spec.volumes[0]
            .volume_source
            .empty_dir
            .as_ref()
            .and_then(|dir| dir.size_limit.clone())
            .map(|size| size.string),
        Some("1Gi".to_owned())
    );
    assert_eq!(to_value(&pod), value);
}

#[test]
fn unknown_and_duplicate_fields_are_told_by_path() {
    let text = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","name":"b","labels":{"x":"1","x":"2"}},"spec":{"containers":[{"name":"c","imagee":"i"}],"nodename":"n"}}"#;
    let (pod, decoded) = from_slice_strict::<Pod>(text).expect("a pod");
    assert_eq!(pod.metadata.name, "b");
    assert_eq!(decoded.unknown, ["spec.containers[0].imagee", "spec.nodename"]);
    assert_eq!(decoded.duplicate, ["metadata.name", "metadata.labels.x"]);
}

#[test]
fn type_errors_name_the_path() {
    let error = from_slice::<Deployment>(br#"{"spec":{"replicas":"three"}}"#).expect_err("a string is no integer");
    assert_eq!(error.to_string(), "spec.replicas: expected an integer, got string");
    let error = from_slice::<Pod>(br#"{"spec":{"containers":[{"name":1}]}}"#).expect_err("a number is no string");
    assert_eq!(error.to_string(), "spec.containers[0].name: expected a string, got number 1");
    let error = from_slice::<Pod>(br#"{"kind":"Service"}"#).expect_err("another kind");
    assert_eq!(error, Error::WrongKind { expected: "Pod", found: "Service".to_owned() });
}

#[test]
fn null_is_absent() {
    let pod: Pod =
        from_slice(br#"{"metadata":{"name":null,"labels":null,"deletionTimestamp":null},"spec":null}"#).expect("a pod");
    assert_eq!(pod, Pod::default());
}

#[test]
fn deep_nesting_is_refused() {
    let schema = format!("{}{{}}{}", r#"{"not":"#.repeat(10_000), "}".repeat(10_000));
    assert!(from_slice::<crate::apiextensions::v1::JsonSchemaProps>(schema.as_bytes()).is_err());
    let raw = format!(r#"{{"data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert!(from_slice::<crate::apps::v1::ControllerRevision>(raw.as_bytes()).is_err());
}

#[test]
fn durations_are_written_as_go_writes_them() {
    for (nanos, text) in [
        (0, "0s"),
        (30_000_000_000, "30s"),
        (3_600_000_000_000, "1h0m0s"),
        (90_000_000_000, "1m30s"),
        (1_500_000_000, "1.5s"),
        (1_500_000, "1.5ms"),
        (-2_000, "-2µs"),
    ] {
        assert_eq!(special::duration_text(nanos), text);
        assert_eq!(special::parse_duration(text), Some(nanos), "{text}");
    }
    assert_eq!(special::parse_duration("1.5h"), Some(5_400_000_000_000));
    assert_eq!(special::parse_duration("5"), None);
}

#[test]
fn what_a_web_page_could_take_for_its_own_is_escaped() {
    let mut map = ConfigMap::default();
    map.data
        .insert("k".to_owned(), "<a href=\"x\">&\u{2028}\u{2029}\u{2027}\u{20ac}\\\u{8}\u{c}\n\u{1}\u{7f}".to_owned());
    let text = String::from_utf8(crate::json::to_vec(&map)).expect("JSON is UTF-8");
    let wanted = concat!(
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{},"data":{"k":"\u003ca href=\"x\"\u003e\u0026\u2028\u2029"#,
        "\u{2027}\u{20ac}",
        r#"\\\b\f\n\u0001"#,
        "\u{7f}",
        r#""}}"#
    );
    assert_eq!(text, wanted);
    assert_eq!(from_slice::<ConfigMap>(text.as_bytes()).expect("our own"), map);
}

#[test]
fn raw_parts_are_kept_as_they_came_and_escaped_where_they_are_served() {
    let text = "{\"data\": {\"a<\": \"\\\"&\u{2028}\u{20ac}\", \"b\": [1 , 2]}}";
    let found: crate::apps::v1::ControllerRevision = from_slice(text.as_bytes()).expect("a revision");
    let json = String::from_utf8(crate::json::to_vec(&found)).expect("JSON is UTF-8");
    let raw = "{\"a\\u003c\":\"\\\"\\u0026\\u2028\u{20ac}\",\"b\":[1,2]}";
    assert!(json.contains(raw), "{json}");
    assert_eq!(
        from_slice::<crate::apps::v1::ControllerRevision>(json.as_bytes()).map(|again| to_value(&again)),
        Ok(to_value(&found))
    );
}
