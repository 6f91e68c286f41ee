//! Webhooks have a say in what is written, over TLS, as their configurations describe.

mod server;

use client::{Client, DeleteParams, WriteParams};
use http::StatusCode;
use proto::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use proto::core::v1::{ConfigMap, Namespace, Pod, Service};
use proto::discovery::v1::EndpointSlice;
use proto::events::v1::Event;
use serde_json::{Value, json};

use crate::harness::{Cluster, Engine, config_map, pod, service_account, until};
use crate::on_each_store;
use server::{Hooks, patch, yes};

on_each_store! {
    a_webhook_judges_what_its_rules_and_selectors_say
    a_webhook_that_cannot_be_asked_closes_or_opens
    webhooks_change_objects_one_after_another
    what_a_webhook_adds_is_completed_by_the_cluster
    deletions_and_connections_are_judged
    an_object_is_shown_in_the_version_that_rules_name
    a_webhook_is_found_by_its_service
}

/// A rule about objects of the core group.
fn rule(operations: &[&str], resources: &[&str]) -> Value {
    json!({"operations": operations, "apiGroups": [""], "apiVersions": ["v1"], "resources": resources})
}

/// A webhook of that name; `more` overrides what it says.
fn hook(name: &str, client: Value, rule: Value, more: Value) -> Value {
    let mut hook = json!({"name": name, "clientConfig": client, "rules": [rule], "sideEffects": "None",
        "admissionReviewVersions": ["v1"]});
    for (key, value) in more.as_object().into_iter().flatten() {
        hook[key] = value.clone();
    }
    hook
}

async fn validating(client: &Client, name: &str, hooks: Vec<Value>) {
    let object: ValidatingWebhookConfiguration =
        proto::json::from_value(json!({"metadata": {"name": name}, "webhooks": hooks})).expect("a configuration");
    client.api().create(&object).await.expect("created");
}

async fn mutating(client: &Client, name: &str, hooks: Vec<Value>) {
    let object: MutatingWebhookConfiguration =
        proto::json::from_value(json!({"metadata": {"name": name}, "webhooks": hooks})).expect("a configuration");
    client.api().create(&object).await.expect("created");
}

/// Waits until a configuration acts: objects called `probe` are created until the webhook at the path was asked.
async fn until_asked(client: &Client, hooks: &Hooks, path: &str) {
    let maps = client.api::<ConfigMap>();
    until("the webhook's first question", || async {
        let probe = WriteParams { dry_run: true, ..Default::default() };
        let _ = maps.create_with(&config_map("default", "probe", &[("own", "0")]), &probe).await;
        (!hooks.asked(path).is_empty()).then_some(())
    })
    .await;
}

/// Code and message of a refusal.
fn told<T: std::fmt::Debug>(refused: Result<T, client::Error>) -> (i32, String) {
    let refused = refused.expect_err("a refusal");
    let status = refused.status().unwrap_or_else(|| panic!("{refused}"));
    (status.code, status.message.clone())
}

async fn a_webhook_judges_what_its_rules_and_selectors_say(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let hooks = Hooks::start(&cluster, |_, request| match request["object"]["data"]["say"].as_str() {
        Some("no") => (StatusCode::OK, json!({"allowed": false})),
        Some("why") => {
            (StatusCode::OK, json!({"allowed": false, "status": {"code": 409, "reason": "Odd", "message": "not so"}}))
        }
        Some("warn") => (StatusCode::OK, json!({"allowed": true, "warnings": ["mind the gap"]})),
        _ => yes(),
    })
    .await;
    let hook = hook(
        "judge.example.com",
        hooks.at("/judge"),
        rule(&["CREATE", "UPDATE"], &["configmaps"]),
        json!({"namespaceSelector": {"matchExpressions": [{"key": "quiet", "operator": "DoesNotExist"}]},
            "objectSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]}}),
    );
    validating(&client, "judge", vec![hook]).await;
    until_asked(&client, &hooks, "/judge").await;

    let maps = client.api::<ConfigMap>();
    let said = |say: &str| config_map("default", "a", &[("say", say)]);
    let refused = told(maps.create(&said("no")).await);
    assert_eq!(
        refused,
        (400, "admission webhook \"judge.example.com\" denied the request without explanation".to_owned())
    );
    let refused = told(maps.create(&said("why")).await);
    assert_eq!(refused, (409, "admission webhook \"judge.example.com\" denied the request: not so".to_owned()));
    let made = client.dynamic("", "v1", "configmaps");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w", "namespace": "default"},
        "data": {"say": "warn"}});
    let body = client::dynamic::json_body(body.to_string());
    let made = made.create("default", "", "", body, &WriteParams::default()).await.expect("allowed");
    assert_eq!(made.warnings, ["mind the gap"]);

    let made = maps.create(&said("yes")).await.expect("allowed");
    let asked = hooks.asked("/judge").pop().expect("asked");
    assert_eq!(
        (&asked["operation"], &asked["name"], &asked["namespace"]),
        (&json!("CREATE"), &json!("a"), &json!("default"))
    );
    assert_eq!(asked["userInfo"]["username"], json!("kubernetes-admin"));
    assert_eq!(asked["object"]["metadata"]["uid"], json!(made.metadata.uid));
    assert_eq!((&asked["oldObject"], &asked["dryRun"]), (&Value::Null, &json!(false)));
    assert_eq!(asked["options"]["kind"], json!("CreateOptions"));
    let mut changed = made.clone();
    changed.data.insert("say".into(), "no".into());
    assert_eq!(told(maps.update(&changed).await).0, 400);
    let asked = hooks.asked("/judge").pop().expect("asked");
    assert_eq!((&asked["operation"], &asked["oldObject"]["data"]["say"]), (&json!("UPDATE"), &json!("yes")));

    // Another resource, another namespace, another object.
    let before = hooks.asked("/judge").len();
    let mut skipped = config_map("default", "b", &[("say", "no")]);
    skipped.metadata.labels.insert("skip".into(), "yes".into());
    maps.create(&skipped).await.expect("not asked about");
    let mut quiet = Namespace::default();
    quiet.metadata.name = "quiet".into();
    quiet.metadata.labels.insert("quiet".into(), "yes".into());
    client.api().create(&quiet).await.expect("not asked about");
    maps.create(&config_map("quiet", "c", &[("say", "no")])).await.expect("not asked about");
    assert_eq!(hooks.asked("/judge").len(), before);
    apiserver.stop().await;
}

async fn a_webhook_that_cannot_be_asked_closes_or_opens(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let hooks = Hooks::start(&cluster, |path, _| match path {
        "/broken" => (StatusCode::INTERNAL_SERVER_ERROR, json!({})),
        _ => yes(),
    })
    .await;
    let about = || rule(&["CREATE"], &["configmaps"]);
    let open = hook("open.example.com", hooks.at("/broken"), about(), json!({"failurePolicy": "Ignore"}));
    validating(&client, "open", vec![open]).await;
    until_asked(&client, &hooks, "/broken").await;
    let maps = client.api::<ConfigMap>();
    maps.create(&config_map("default", "a", &[])).await.expect("passed over");

    let mut stranger = hooks.at("/");
    stranger["caBundle"] = Value::Null;
    let closed = hook("closed.example.com", stranger, about(), json!({}));
    let effects = hook("effects.example.com", hooks.at("/effects"), about(), json!({}));
    validating(&client, "closed", vec![closed, effects]).await;
    let refused = until("the refusal", || async {
        let made = maps.create(&config_map("default", "b", &[])).await;
        if made.is_ok() {
            let _ = maps.delete("default", "b", &DeleteParams::default()).await;
        }
        made.err()
    })
    .await;
    let (code, message) = told::<()>(Err(refused));
    assert_eq!(code, 500);
    let expect = "Internal error occurred: failed calling webhook \"closed.example.com\": failed to call webhook: Post \"https://127.0.0.1:";
    assert!(message.starts_with(expect) && message.contains("?timeout=10s\": "), "{message}");
    apiserver.stop().await;
}

async fn webhooks_change_objects_one_after_another(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let hooks = Hooks::start(&cluster, |path, request| {
        let data = &request["object"]["data"];
        match path {
            "/first" if data["first"].is_null() => patch(&json!([{"op": "add", "path": "/data/first", "value": "1"}])),
            "/second" if data["second"].is_null() => {
                let seen = data["first"].as_str().unwrap_or("nothing");
                patch(&json!([{"op": "add", "path": "/data/second", "value": seen}]))
            }
            "/broken" => patch(&json!([{"op": "remove", "path": "/data/none"}])),
            _ => yes(),
        }
    })
    .await;
    let about = || rule(&["CREATE", "UPDATE"], &["configmaps"]);
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    let first = hook("first.example.com", hooks.at("/first"), about(), again);
    let second = hook("second.example.com", hooks.at("/second"), about(), json!({}));
    // The order is that of the configurations' names.
    mutating(&client, "b", vec![second]).await;
    until_asked(&client, &hooks, "/second").await;
    mutating(&client, "a", vec![first]).await;
    until_asked(&client, &hooks, "/first").await;

    let maps = client.api::<ConfigMap>();
    let counts = || (hooks.asked("/first").len(), hooks.asked("/second").len());
    let before = counts();
    let mut wanted = config_map("default", "", &[("own", "0")]);
    wanted.metadata.generate_name = "made-".into();
    let made = maps.create(&wanted).await.expect("created");
    let keys: Vec<(&str, &str)> = made.data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(keys, [("first", "1"), ("own", "0"), ("second", "1")]);
    // The first is asked again since the second changed something after it; the second does not want to be.
    assert_eq!(counts(), (before.0 + 2, before.1 + 1));
    assert_eq!(hooks.asked("/first").pop().expect("asked")["name"], Value::Null, "the name is made later");
    assert!(made.metadata.name.starts_with("made-") && made.metadata.name.len() > 5);
    // Whoever wrote owns what it wrote, and nobody what webhooks added.
    let owners = api::apply::Owners::decode(&made.metadata.managed_fields).expect("readable");
    let sets: Vec<String> = owners.iter().map(|it| it.set().to_string()).collect();
    assert_eq!(sets.len(), 1, "{sets:?}");
    assert!(sets[0].contains("own") && !sets[0].contains("first"), "{sets:?}");

    let broken = hook("broken.example.com", hooks.at("/broken"), about(), json!({}));
    mutating(&client, "c", vec![broken]).await;
    until_asked(&client, &hooks, "/broken").await;
    let (code, message) = told(maps.create(&config_map("default", "z", &[("own", "0")])).await);
    assert!(code == 500 && message.starts_with("Internal error occurred: "), "{code} {message}");
    apiserver.stop().await;
}

async fn what_a_webhook_adds_is_completed_by_the_cluster(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let hooks = Hooks::start(&cluster, |path, request| {
        let containers = request["object"]["spec"]["containers"].as_array().map_or(0, Vec::len);
        match (path, containers) {
            ("/side", 1) => patch(&json!([{"op": "add", "path": "/spec/containers/-",
                "value": {"name": "side", "image": "busybox"}}])),
            _ => yes(),
        }
    })
    .await;
    let about = rule(&["CREATE"], &["pods", "configmaps"]);
    mutating(&client, "side", vec![hook("side.example.com", hooks.at("/side"), about, json!({}))]).await;
    until_asked(&client, &hooks, "/side").await;
    client.api().create(&service_account("default", "default")).await.expect("created");
    let made = client.api::<Pod>().create(&pod("default", "p")).await.expect("created");
    assert_eq!(made.spec.containers.len(), 2);
    let side = &made.spec.containers[1];
    assert_eq!(side.termination_message_path, "/dev/termination-log", "defaults are filled in");
    assert_eq!(side.volume_mounts.len(), 1, "the account's token is mounted in the second round");
    assert_eq!(made.spec.volumes.len(), 1);
    apiserver.stop().await;
}

async fn deletions_and_connections_are_judged(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let hooks = Hooks::start(&cluster, |_, request| {
        let protected = request["oldObject"]["data"]["keep"] == "yes" || request["operation"] == "CONNECT";
        let status = json!({"message": "hands off"});
        if protected { (StatusCode::OK, json!({"allowed": false, "status": status})) } else { yes() }
    })
    .await;
    let about = rule(&["*"], &["configmaps", "pods/exec"]);
    let effects = json!({"sideEffects": "NoneOnDryRun"});
    validating(&client, "keep", vec![hook("keep.example.com", hooks.at("/"), about, effects)]).await;
    until_asked(&client, &hooks, "/").await;
    let maps = client.api::<ConfigMap>();
    maps.create(&config_map("default", "a", &[("keep", "yes")])).await.expect("created");
    maps.create(&config_map("default", "b", &[("keep", "no")])).await.expect("created");
    let refused = told(maps.delete("default", "a", &DeleteParams::default()).await);
    assert_eq!(refused, (400, "admission webhook \"keep.example.com\" denied the request: hands off".to_owned()));
    let asked = hooks.asked("/").pop().expect("asked");
    assert_eq!((&asked["operation"], &asked["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(asked["options"]["kind"], json!("DeleteOptions"));
    maps.delete("default", "b", &DeleteParams::default()).await.expect("deleted");
    let all = client::ListParams { namespace: "default".into(), ..Default::default() };
    assert_eq!(told(maps.delete_collection(&all, &DeleteParams::default()).await).0, 400);

    let mut streams = client.streams();
    let start = proto::keelson::api::v1::ExecStart {
        pod: Some(proto::keelson::api::v1::PodRef {
            namespace: "default".into(),
            name: "p".into(),
            ..Default::default()
        }),
        command: vec!["ls".into()],
        stdout: true,
        ..Default::default()
    };
    let start =
        proto::keelson::api::v1::ExecInput { input: Some(proto::keelson::api::v1::exec_input::Input::Start(start)) };
    let refused = streams.exec(futures::stream::iter([start])).await.expect_err("refused");
    assert!(refused.message().ends_with("denied the request: hands off"), "{refused}");
    let asked = hooks.asked("/").pop().expect("asked");
    assert_eq!((&asked["operation"], &asked["subResource"]), (&json!("CONNECT"), &json!("exec")));
    assert_eq!((&asked["object"]["kind"], &asked["object"]["command"]), (&json!("PodExecOptions"), &json!(["ls"])));
    apiserver.stop().await;
}

async fn an_object_is_shown_in_the_version_that_rules_name(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let hooks = Hooks::start(&cluster, |path, request| match path {
        "/core" if request["object"]["message"].is_string() => {
            patch(&json!([{"op": "replace", "path": "/message", "value": "said otherwise"}]))
        }
        _ => yes(),
    })
    .await;
    let about = || rule(&["CREATE"], &["events", "configmaps"]);
    let exact = hook("exact.example.com", hooks.at("/exact"), about(), json!({"matchPolicy": "Exact"}));
    let core = hook("core.example.com", hooks.at("/core"), about(), json!({}));
    mutating(&client, "core", vec![exact, core]).await;
    until_asked(&client, &hooks, "/core").await;
    let exact_before = hooks.asked("/exact").len();
    let event: Event = proto::json::from_value(json!({"metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2020-01-01T00:00:00.000000Z", "reportingController": "example.com/c",
        "reportingInstance": "c-1", "action": "Act", "reason": "Because", "type": "Normal", "note": "as it was",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"}}))
    .expect("an event");
    let made = client.api::<Event>().create(&event).await.expect("created");
    assert_eq!(made.note, "said otherwise");
    let asked = hooks.asked("/core").pop().expect("asked");
    assert_eq!(asked["kind"], json!({"group": "", "version": "v1", "kind": "Event"}));
    assert_eq!(asked["requestResource"], json!({"group": "events.k8s.io", "version": "v1", "resource": "events"}));
    assert_eq!(hooks.asked("/exact").len(), exact_before);
    apiserver.stop().await;
}

async fn a_webhook_is_found_by_its_service(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let hooks = Hooks::start(&cluster, |_, _| yes()).await;
    let service: Service = proto::json::from_value(json!({"metadata": {"name": "hook", "namespace": "default"},
        "spec": {"ports": [{"name": "https", "port": 8443}]}}))
    .expect("a Service");
    client.api().create(&service).await.expect("created");
    let slice: EndpointSlice = proto::json::from_value(json!({"metadata": {"name": "hook", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": "https", "port": hooks.address.port()}]}))
    .expect("a slice");
    // The address of this machine is none for an endpoint: what the store holds is what counts.
    let made = client.api().create(&slice).await;
    assert!(made.is_err_and(|refused| refused.is_invalid()), "loopback is refused");
    let mut at = hooks.at("/");
    at["url"] = Value::Null;
    at["service"] = json!({"namespace": "default", "name": "hook", "port": 8443, "path": "/svc"});
    let hook = hook("svc.example.com", at, rule(&["CREATE"], &["configmaps"]), json!({"timeoutSeconds": 1}));
    validating(&client, "svc", vec![hook]).await;
    let maps = client.api::<ConfigMap>();
    let refused = until("the refusal", || async {
        let dry = WriteParams { dry_run: true, ..Default::default() };
        maps.create_with(&config_map("default", "a", &[]), &dry).await.err()
    })
    .await;
    let (code, message) = told::<()>(Err(refused));
    let expect = "failed calling webhook \"svc.example.com\": failed to call webhook: Post \"https://hook.default.svc:8443/svc?timeout=1s\": ";
    assert!(code == 500 && message.contains(expect), "{message}");
    apiserver.stop().await;
}
