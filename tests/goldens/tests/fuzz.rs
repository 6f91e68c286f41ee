//! No bytes from outside make a decoder panic.
//!
//! Each target starts from real objects and damages them, and also takes bytes that were never good. A run is the same
//! each time: `KEELSON_FUZZ_CASES` makes it longer, `KEELSON_FUZZ_SEED` makes it another one.

use std::sync::LazyLock;

use api::selector::{fields, labels};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prost::Message as _;
use proto::dynamic::{DynObject, kinds};
use proto::keelson::api::v1 as rpc;
use proto::{Kind, envelope};
use serde_json::Value;
use test_goldens::{cases, json, read};

/// Stored bytes of real objects.
static STORED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let text = read("storage/objects.jsonl");
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    rows.filter_map(|row| STANDARD.decode(row["stored_base64"].as_str()?).ok()).collect()
});

/// JSON of real objects, with their kinds.
static SERVED: LazyLock<Vec<String>> = LazyLock::new(|| {
    cases("defaulting", ".out.json")
        .iter()
        .map(|name| json(&format!("defaulting/{name}.out.json")).to_string())
        .collect()
});

/// A connection is prepared within one.
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: a
contexts:
- {name: a, context: {cluster: c, user: u, namespace: ns}}
- {name: b, context: {cluster: c, user: t}}
clusters:
- {name: c, cluster: {server: 'http://one.example:6443', certificate-authority-data: TU9PTg==, tls-server-name: x}}
users:
- {name: u, user: {client-certificate-data: TU9PTg==, client-key: key.pem}}
- {name: t, user: {token: t1, tokenFile: token}}
";

/// Annotations of autoscalers in autoscaling/v1.
const ANNOTATIONS: [(&str, &str); 4] = [
    (
        "metrics",
        r#"[{"type":"Pods","pods":{"metricName":"m","targetAverageValue":"1k"}},{"type":"Resource","resource":{"name":"memory"}}]"#,
    ),
    ("current-metrics", r#"[{"type":"External","external":{"metricName":"m","currentValue":"0"}}]"#),
    ("conditions", r#"[{"type":"AbleToScale","status":"True","lastTransitionTime":"2020-01-01T00:00:00Z"}]"#),
    (
        "behavior",
        r#"{"ScaleUp":{"Policies":[{"Type":"Pods","Value":2,"PeriodSeconds":60}],"Tolerance":"1"},"ScaleDown":null}"#,
    ),
];

/// Requests as clients send them.
static REQUESTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let resource = || {
        Some(rpc::ResourceRef {
            version: "v1".into(),
            resource: "pods".into(),
            namespace: "n".into(),
            name: "p".into(),
            ..Default::default()
        })
    };
    let object = || Some(proto::any::pack_bytes("k8s.io.api.core.v1.Pod", vec![10, 0]));
    let selectors = || Some(rpc::Selectors { labels: "a=b".into(), fields: "spec.nodeName=n".into() });
    let pod = || Some(rpc::PodRef { namespace: "n".into(), name: "p".into(), ..Default::default() });
    vec![
        rpc::GetRequest { r#ref: resource(), ..Default::default() }.encode_to_vec(),
        rpc::ListRequest { r#ref: resource(), selectors: selectors(), limit: 7, ..Default::default() }.encode_to_vec(),
        rpc::WatchRequest { r#ref: resource(), selectors: selectors(), ..Default::default() }.encode_to_vec(),
        rpc::CreateRequest { r#ref: resource(), object: object(), ..Default::default() }.encode_to_vec(),
        rpc::UpdateRequest { r#ref: resource(), object: object(), ..Default::default() }.encode_to_vec(),
        rpc::PatchRequest { r#ref: resource(), patch: b"{}".as_slice().into(), ..Default::default() }.encode_to_vec(),
        rpc::DeleteRequest { r#ref: resource(), ..Default::default() }.encode_to_vec(),
        rpc::LogsRequest { pod: pod(), ..Default::default() }.encode_to_vec(),
        rpc::ExecStart { pod: pod(), command: vec!["sh".into(), "-c".into()], ..Default::default() }.encode_to_vec(),
        rpc::ReviewTokenRequest { token: "a.b.c".into(), ..Default::default() }.encode_to_vec(),
    ]
});

/// Decodes bytes as one message; what is decoded comes back the same.
fn stable<M: prost::Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let again = M::decode(message.encode_to_vec().as_slice());
        assert!(again.as_ref() == Ok(&message), "{message:?} comes back as {again:?}");
    }
}

/// Every message that a client, or the apiserver as a kubelet's client, may be sent.
fn every_request(bytes: &[u8]) {
    stable::<rpc::GetRequest>(bytes);
    stable::<rpc::ListRequest>(bytes);
    stable::<rpc::WatchRequest>(bytes);
    stable::<rpc::CreateRequest>(bytes);
    stable::<rpc::UpdateRequest>(bytes);
    stable::<rpc::PatchRequest>(bytes);
    stable::<rpc::DeleteRequest>(bytes);
    stable::<rpc::DeleteCollectionRequest>(bytes);
    stable::<rpc::LogsRequest>(bytes);
    stable::<rpc::ExecInput>(bytes);
    stable::<rpc::PortForwardFrame>(bytes);
    stable::<rpc::WhoAmIRequest>(bytes);
    stable::<rpc::ReviewAccessRequest>(bytes);
    stable::<rpc::ReviewTokenRequest>(bytes);
    stable::<rpc::ListResourcesRequest>(bytes);
    stable::<rpc::GetVersionRequest>(bytes);
    // What is answered is read by clients, and by the apiserver from kubelets.
    stable::<rpc::Object>(bytes);
    stable::<rpc::ListChunk>(bytes);
    stable::<rpc::WatchChunk>(bytes);
    stable::<rpc::DeleteResponse>(bytes);
    stable::<rpc::DeleteCollectionResponse>(bytes);
    stable::<rpc::LogsChunk>(bytes);
    stable::<rpc::ExecOutput>(bytes);
    stable::<rpc::ReviewTokenResponse>(bytes);
    stable::<rpc::ListResourcesResponse>(bytes);
    stable::<proto::keelson::scheduler::v1::ExplainPodRequest>(bytes);
    stable::<proto::keelson::scheduler::v1::ExplainPodResponse>(bytes);
}

/// What to do to bytes: flip, cut, insert, repeat.
#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<usize>(), 1..64_usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
    ];
    vec(one, 1..4)
}

fn damaged(bytes: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damage {
        let len = bytes.len().max(1);
        match damage {
            Damage::Flip(at, byte) => {
                if let Some(found) = bytes.get_mut(at % len) {
                    *found ^= byte;
                }
            }
            Damage::Cut(at) => bytes.truncate(at % len),
            Damage::Insert(at, more) => {
                let at = (at % len).min(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Repeat(at, count) => {
                let at = (at % len).min(bytes.len());
                let part: Vec<u8> = bytes[at..bytes.len().min(at + count)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Everything that may be done to an object that was let in.
fn exercise(mut object: Box<dyn DynObject>) {
    let old = object.clone();
    api::default::apply(object.as_mut());
    let _ = api::validate::create(object.as_ref());
    let _ = api::validate::update(object.as_ref(), old.as_ref());
    let _ = api::validate::update_status(object.as_ref(), old.as_ref());
    own(old.as_ref(), object.clone());
    let _ = object.to_json();
    let _ = object.encode_to_vec();
}

/// Who owns what of an object, as it is created and as it becomes another one.
fn own(old: &dyn DynObject, mut new: Box<dyn DynObject>) {
    let writer = api::apply::Writer {
        manager: "m",
        api_version: new.info().api_version,
        subresource: "",
        now: proto::meta::v1::Time::from_unix(1),
        reset: &[&["status"]],
        schemas: &[],
    };
    api::apply::updated(Some(old), new.as_mut(), &writer);
    api::apply::updated(None, new.as_mut(), &writer);
    let entries = &new.metadata().managed_fields;
    let again = api::apply::Owners::decode(entries).map(|owners| owners.encode());
    assert_eq!(again.as_ref(), Ok(entries), "what we write can be read");
}

/// JSON that is written from bytes is what is written from the object that they are.
fn written_from_bytes(info: &'static proto::dynamic::KindInfo, bytes: &[u8]) {
    let mut quick = Vec::new();
    let done = proto::json::write_bytes(&mut quick, info.message, bytes, "", true);
    if done && let Ok(object) = info.decode(bytes) {
        assert_eq!(String::from_utf8_lossy(&quick), String::from_utf8_lossy(&object.to_json()));
    }
    assert!(done || quick.is_empty(), "nothing is left behind");
}

fn config() -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("KEELSON_FUZZ_CASES").map_or(2000, |cases| u32::try_from(cases).unwrap_or(u32::MAX));
    let rng_seed = RngSeed::Fixed(number("KEELSON_FUZZ_SEED").unwrap_or(1));
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn envelopes(index in any::<usize>(), damage in damage()) {
        let bytes = damaged(&STORED[index % STORED.len()], &damage);
        if let Ok(object) = envelope::decode_object(&bytes) {
            exercise(object);
        }
        let _ = api::convert::read_stored(&bytes, "v1");
    }

    #[test]
    fn protobuf_of_each_kind(kind in any::<usize>(), bytes in vec(any::<u8>(), 0..200)) {
        let info = kinds()[kind % kinds().len()];
        written_from_bytes(info, &bytes);
        if let Ok(object) = info.decode(&bytes) {
            exercise(object);
        }
    }

    #[test]
    fn protobuf_of_one_kind_read_as_another(kind in any::<usize>(), index in any::<usize>(), damage in damage()) {
        let Ok(unknown) = envelope::decode(&STORED[index % STORED.len()]) else { return Ok(()) };
        let bytes = damaged(&unknown.raw, &damage);
        let type_meta = &unknown.type_meta;
        let own = proto::dynamic::kind_by_api_version(&type_meta.api_version, &type_meta.kind);
        own.into_iter().for_each(|info| written_from_bytes(info, &bytes));
        let info = kinds()[kind % kinds().len()];
        written_from_bytes(info, &bytes);
        if let Ok(object) = info.decode(&bytes) {
            exercise(object);
        }
    }

    #[test]
    fn json_of_each_kind(kind in any::<usize>(), index in any::<usize>(), damage in damage()) {
        let text = &SERVED[index % SERVED.len()];
        let bytes = damaged(text.as_bytes(), &damage);
        let name = proto::json::type_of(text.as_bytes()).unwrap_or_default();
        let own = proto::dynamic::kind_by_api_version(&name.api_version, &name.kind);
        let other = kinds()[kind % kinds().len()];
        for info in own.into_iter().chain([other]) {
            let mut object = info.new_object();
            if proto::json::decode_into(&bytes, object.as_reflect_mut()).is_ok() {
                exercise(object);
            }
        }
    }

    #[test]
    fn objects_with_one_value_replaced(index in any::<usize>(), at in any::<usize>(), with in 0..8_usize) {
        let mut tree: Value = serde_json::from_str(&SERVED[index % SERVED.len()]).expect("facts hold valid JSON");
        let odd = [
            Value::Null, Value::from(-1), Value::from(i64::MAX), Value::from(""), Value::from("\u{0}/../%é"),
            Value::from("1e400"), Value::Array(vec![Value::Null]), Value::Object(serde_json::Map::new()),
        ];
        let mut left = at % 200;
        replace(&mut tree, &mut left, &odd[with]);
        let name = proto::json::type_of(tree.to_string().as_bytes()).unwrap_or_default();
        let Some(info) = proto::dynamic::kind_by_api_version(&name.api_version, &name.kind) else { return Ok(()) };
        if let Ok(object) = info.from_json(tree.to_string().as_bytes()) {
            exercise(object);
        }
    }

    /// Objects as gRPC carries them: any bytes under any name, JSON among them.
    #[test]
    fn objects_in_any(kind in any::<usize>(), index in any::<usize>(), damage in damage(), url in ".{0,40}") {
        let (info, served) = (kinds()[kind % kinds().len()], &SERVED[index % SERVED.len()]);
        let raw = rpc::Json { raw: damaged(served.as_bytes(), &damage).into() };
        let json = proto::any::pack_bytes("keelson.api.v1.Json", damaged(&raw.encode_to_vec(), &damage));
        let stored = proto::any::pack_bytes(info.full_name, damaged(&STORED[index % STORED.len()], &damage));
        let odd = prost_types::Any { type_url: url, value: raw.encode_to_vec() };
        for any in [json, stored, odd] {
            if let Ok(object) = proto::any::unpack_dyn(&any) {
                exercise(object);
            }
            let _ = proto::any::unpack::<proto::core::v1::Pod>(&any);
            let request = rpc::Object { object: Some(any), resource_version: 1, warnings: Vec::new() };
            let _ = rpc::Object::decode(damaged(&request.encode_to_vec(), &damage).as_slice());
            let _ = client::DynObject { resource_version: 1, any: request.object.unwrap_or_default(), warnings: vec![] }.to_json();
        }
    }

    /// What is decoded says the same when it is encoded and decoded once more.
    #[test]
    fn requests_of_the_api(any in vec(any::<u8>(), 0..120), index in any::<usize>(), damage in damage()) {
        let good = &*REQUESTS;
        for bytes in [any, damaged(&good[index % good.len()], &damage)] {
            every_request(&bytes);
        }
    }

    /// A Status in the details of a gRPC error, as a server (or what stands before it) may send it.
    #[test]
    fn statuses_in_errors(code in -1..20_i32, index in 0..3_usize, bytes in vec(any::<u8>(), 0..120), damage in damage()) {
        let status = proto::meta::v1::Status {
            status: "Failure".into(),
            code: 409,
            reason: "Conflict".into(),
            message: "modified".into(),
            details: Some(proto::meta::v1::StatusDetails { name: "n".into(), ..Default::default() }),
            ..Default::default()
        };
        let good = proto::rpc_status::to_tonic(&status);
        let details = vec![bytes, damaged(good.details(), &damage), good.details().to_vec()].swap_remove(index);
        let error = tonic::Status::with_details(tonic::Code::from(code), "said", details.into());
        let read = proto::rpc_status::from_tonic(&error);
        prop_assert_eq!(proto::rpc_status::from_tonic(&proto::rpc_status::to_tonic(&read)), read);
        let failed = client::Error::from_rpc(&error, "https://server");
        let known = [failed.is_not_found(), failed.is_conflict(), failed.is_expired(), failed.is_unavailable()];
        prop_assert!(known.iter().filter(|yes| **yes).count() <= 1, "{failed:?} is two things at once");
        prop_assert!(index != 2 || failed.is_conflict());
    }

    /// What the apiserver keeps for itself in the store: sets of taken numbers.
    #[test]
    fn stored_sets_of_numbers(bytes in vec(any::<u8>(), 0..64), len in 0..400_usize) {
        let map = apiserver::allocate::bitmap::Bitmap::decode(len, &bytes);
        let again = apiserver::allocate::bitmap::Bitmap::decode(len, &map.encode());
        prop_assert_eq!(again, map);
    }

    #[test]
    fn kubeconfigs(damage in damage()) {
        let _runtime = RUNTIME.enter();
        let dir = tempfile::tempdir().expect("a folder for one file");
        let path = dir.path().join("config");
        std::fs::write(&path, damaged(KUBECONFIG.as_bytes(), &damage)).expect("a file");
        if let Ok(found) = client::config::Kubeconfig::read(&[path]) {
            let names: Vec<String> = found.contexts().map(str::to_owned).collect();
            for name in names {
                let _ = found.config(Some(&name)).map(client::Client::new);
            }
        }
    }

    #[test]
    fn selectors(text in "[a-z=!,()<>.\\-/ \\\\0-9]{0,40}") {
        let _ = labels::Selector::parse(&text);
        let _ = fields::Selector::parse(&text);
    }

    #[test]
    fn texts(text in ".{0,60}") {
        let _ = labels::Selector::parse(&text);
        let _ = fields::Selector::parse(&text);
        let _ = api::quantity::canonical(&text);
        let _ = api::resource::resolve(&text);
        let _ = api::name::generated(&text, 7);
        let _ = (api::name::qualified_name(&text), api::name::dns_1035_label(&text), api::name::port_name(&text));
    }

    /// What autoscaling/v1 has no fields for travels in annotations, which anybody may write.
    #[test]
    fn annotations_of_autoscalers(name in 0..ANNOTATIONS.len(), damage in damage(), any in ".{0,60}") {
        let (name, text) = ANNOTATIONS[name];
        let damaged = String::from_utf8_lossy(&damaged(text.as_bytes(), &damage)).into_owned();
        for text in [damaged, any] {
            let mut scaler = proto::autoscaling::v1::HorizontalPodAutoscaler::default();
            scaler.metadata.annotations.insert(format!("autoscaling.alpha.kubernetes.io/{name}"), text);
            let stored = api::convert::to_version(Box::new(scaler), "autoscaling/v2").expect("always converted");
            prop_assert!(api::convert::to_version(stored, "autoscaling/v1").is_ok());
        }
    }

    #[test]
    fn patches(index in any::<usize>(), damage in damage()) {
        let text = &SERVED[index % SERVED.len()];
        let bytes = damaged(text.as_bytes(), &damage);
        let Ok(patch) = serde_json::from_slice::<Value>(&bytes) else { return Ok(()) };
        let object: Value = serde_json::from_str(text).expect("facts hold valid JSON");
        let _ = api::patch::merge(&mut object.clone(), &patch);
        let _ = api::patch::strategic(&mut object.clone(), &patch, <proto::core::v1::Pod as Kind>::info());
        let _ = api::patch::json(&mut object.clone(), &patch);
    }

    /// Configurations that anybody may apply, to an object and to none.
    #[test]
    fn configurations(index in any::<usize>(), damage in damage()) {
        let text = &SERVED[index % SERVED.len()].replace("<time>", "2020-01-01T00:00:00Z");
        let bytes = damaged(text.as_bytes(), &damage);
        let name = proto::json::type_of(text.as_bytes()).unwrap_or_default();
        let Some(kind) = proto::dynamic::kind_by_api_version(&name.api_version, &name.kind) else { return Ok(()) };
        let Ok(mut json) = serde_json::from_slice::<Value>(&bytes) else { return Ok(()) };
        if let Some(meta) = json.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("managedFields");
        }
        // Where a number stands for what a server chooses, the facts have a text.
        let Ok(mut live) = kind.from_json(text.as_bytes()) else { return Ok(()) };
        let applied_last = (api::apply::last_applied::ANNOTATION.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        live.metadata_mut().annotations.extend([applied_last]);
        let writer = api::apply::Writer {
            manager: "kubectl",
            api_version: kind.api_version,
            subresource: "",
            now: proto::meta::v1::Time::from_unix(1),
            reset: &[&["status"]],
            schemas: &[],
        };
        for live in [None, Some(live.as_ref())] {
            let config = api::apply::Config { kind, json: &json, force: damage.len() > 1 };
            if let Ok(applied) = api::apply::applied(live, config, &writer) {
                exercise(applied);
            }
        }
    }

    /// Records of owners, which clients may write as they like.
    #[test]
    fn sets_of_fields(bytes in vec(any::<u8>(), 0..60), damage in damage()) {
        const GOOD: &[u8] = br#"{"f:a":{".":{},"k:{\"b\":1,\"c\":\"d\"}":{},"v:[1.5e300,null]":{},"i:-7":{}},"f:\u00e9":{}}"#;
        for bytes in [bytes, damaged(GOOD, &damage)] {
            if let Ok(set) = api::apply::fields_v1::decode(&bytes) {
                let again = api::apply::fields_v1::decode(&api::apply::fields_v1::encode(&set));
                prop_assert_eq!(again.as_ref(), Ok(&set));
            }
        }
    }

    #[test]
    fn yaml(text in "[a-c:&*<>!\\-\\[\\]{}|'\"#,0-9 \n]{0,60}", damage in damage()) {
        const GOOD: &[u8] = b"a: &x {k: 0x1F, l: [~, yes, 1e3]}\nb: *x\nc:\n  <<: *x\n  d: |\n    text\n'e': !!str 1\n";
        let _ = api::yaml::read(&text);
        let _ = api::yaml::read(&String::from_utf8_lossy(&damaged(GOOD, &damage)));
    }

    #[test]
    fn json_patches(ops in vec((0..7_usize, "(/[a-z0-9~-]{0,8}){0,4}", "(/[a-z0-9~-]{0,8}){0,4}"), 0..5)) {
        const NAMES: [&str; 7] = ["add", "remove", "replace", "move", "copy", "test", "frob"];
        let patch: Value = ops
            .iter()
            .map(|(op, path, from)| serde_json::json!({"op": NAMES[*op], "path": path, "from": from, "value": [1]}))
            .collect();
        let mut object = serde_json::json!({"a": {"b": [1, 2, {"c": 3}]}, "0": [[]]});
        let _ = api::patch::json(&mut object, &patch);
    }
}

/// Puts a value in the place of the n-th leaf.
fn replace(tree: &mut Value, left: &mut usize, with: &Value) {
    match tree {
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, left, with)),
        Value::Array(items) => items.iter_mut().for_each(|value| replace(value, left, with)),
        leaf => {
            if *left == 0 {
                *leaf = with.clone();
            }
            *left = left.wrapping_sub(1);
        }
    }
}
