//! What is written from bytes is what is written from the object.

use prost::Message;

use super::write_bytes;
use crate::apps::v1::Deployment;
use crate::core::v1::{ConfigMap, Container, Event, Pod, Secret};
use crate::json::from_slice;
use crate::kind::{Kind, Object};

/// Both ways, with and without a version and a type.
#[track_caller]
fn check<T: Object>(bytes: &[u8], quickly: bool) {
    for (version, with_type) in [("", true), ("17", true), ("17", false)] {
        let mut object = T::decode(bytes).expect("good bytes");
        if !version.is_empty() {
            object.metadata_mut().resource_version = version.to_owned();
        }
        let (mut quick, mut slow) = (b"before".to_vec(), b"before".to_vec());
        crate::json::write(&mut slow, object.as_reflect(), with_type);
        let done = write_bytes(&mut quick, T::info(), bytes, version, with_type);
        assert_eq!(done, quickly, "version {version:?}");
        if done {
            assert_eq!(String::from_utf8_lossy(&quick), String::from_utf8_lossy(&slow));
        } else {
            assert_eq!(quick, b"before", "nothing is left behind");
        }
    }
}

fn from_json<T: Kind>(json: &str) -> T {
    from_slice(json.as_bytes()).expect("good JSON")
}

#[test]
fn empty_objects_and_absent_fields() {
    check::<Pod>(&[], true);
    check::<ConfigMap>(&[], true);
    check::<Deployment>(&Deployment::default().encode_to_vec(), true);
}

#[test]
fn every_form_of_a_value() {
    let pod: Pod = from_json(
        r#"{"metadata":{"name":"<p>","labels":{"b":"\"2\"","a":"1"},"creationTimestamp":"2026-01-02T03:04:05Z",
        "ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n","uid":"u","controller":false}],
        "managedFields":[{"manager":"m","operation":"Update","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:a":{ },"f:<":1}}]},
        "spec":{"nodeName":"n","hostNetwork":true,"terminationGracePeriodSeconds":0,"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}},{"name":"w","emptyDir":{}}],
        "containers":[{"name":"c","args":["a","","é\u2028"],"resources":{"limits":{"cpu":"100m","memory":"1Gi"}},
        "livenessProbe":{"httpGet":{"path":"/","port":"web"},"periodSeconds":-3},"readinessProbe":{"tcpSocket":{"port":80}}}],
        "tolerations":[{"operator":"Exists","tolerationSeconds":300}]},
        "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"1969-12-31T23:59:59Z"},{"type":"x","status":"y"}]}}"#,
    );
    check::<Pod>(&pod.encode_to_vec(), true);
    let secret: Secret = from_json(r#"{"metadata":{},"data":{"a":"AQID","b":""},"immutable":false}"#);
    check::<Secret>(&secret.encode_to_vec(), true);
    let event: Event =
        from_json(r#"{"metadata":{},"involvedObject":{},"eventTime":"2026-01-02T03:04:05.000006Z","count":2}"#);
    check::<Event>(&event.encode_to_vec(), true);
    let deployment: Deployment = from_json(
        r#"{"metadata":{"name":"d"},"spec":{"replicas":0,"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":0}},"template":{"spec":{"containers":[]}}}}"#,
    );
    check::<Deployment>(&deployment.encode_to_vec(), true);
}

#[test]
fn unknown_fields_are_passed_over() {
    let mut bytes = Pod::default().encode_to_vec();
    // Fields 500 of each wire type.
    bytes.extend_from_slice(&[0xa0, 0x1f, 0x85, 0x01, 0xa2, 0x1f, 0x02, b'a', b'b', 0xa5, 0x1f, 1, 2, 3, 4]);
    check::<Pod>(&bytes, true);
}

#[test]
fn what_is_not_written_as_always_is_left_to_the_object() {
    let map: ConfigMap = from_json(r#"{"metadata":{"name":"m"},"data":{"a":"1"}}"#);
    let mut twice = map.encode_to_vec();
    twice.extend(map.encode_to_vec());
    check::<ConfigMap>(&twice, false);
    // Entries of data that are not sorted: b before a.
    let unsorted = [0x12, 6, 10, 1, b'b', 0x12, 1, b'1', 0x12, 6, 10, 1, b'a', 0x12, 1, b'1'];
    check::<ConfigMap>(&unsorted, false);
    // Containers with the pod's restart policy between them.
    let container = Container { name: "c".into(), ..Container::default() }.encode_to_vec();
    let mut spec = Vec::new();
    for part in [&container[..], b"Always", &container[..]] {
        spec.extend_from_slice(&[if part == b"Always" { 0x1a } else { 0x12 }, part.len() as u8]);
        spec.extend_from_slice(part);
    }
    let mut pod = vec![0x12, spec.len() as u8];
    pod.extend(spec);
    assert_eq!(Pod::decode(&*pod).expect("good bytes").spec.containers.len(), 2);
    check::<Pod>(&pod, false);
}

#[test]
fn malformed_bytes_are_refused() {
    let bytes = from_json::<ConfigMap>(r#"{"metadata":{"name":"m"},"data":{"a":"1"}}"#).encode_to_vec();
    for len in 1..bytes.len() {
        let whole = ConfigMap::decode(&bytes[..len]).is_ok();
        assert_eq!(write_bytes(&mut Vec::new(), ConfigMap::info(), &bytes[..len], "", true), whole, "{len} bytes");
    }
    // A name that is no UTF-8.
    assert!(!write_bytes(&mut Vec::new(), ConfigMap::info(), &[10, 3, 10, 1, 0xff], "", true));
}
