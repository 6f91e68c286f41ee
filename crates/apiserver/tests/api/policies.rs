//! Admission policies act on what is written, as their expressions and bindings say.

use client::{Client, DeleteParams, WriteParams};
use proto::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
};
use proto::core::v1::{ConfigMap, Namespace, Node, Pod};
use serde_json::{Value, json};

use crate::harness::{Cluster, Engine, config_map, pod, service_account, until};
use crate::on_each_store;

on_each_store! {
    a_policy_denies_warns_and_knows_its_parameters
    a_policy_changes_objects
    plugins_are_switched_on_and_off
}

async fn create<T: proto::Object>(client: &Client, object: Value) {
    let object: T = proto::json::from_value(object).expect("an object");
    client.api().create(&object).await.expect("created");
}

/// What a policy on ConfigMaps is about; `more` is the rest of its spec.
fn about_maps(operations: &[&str], more: Value) -> Value {
    let rule = json!({"operations": operations, "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    let mut spec = json!({"matchConstraints": {"resourceRules": [rule]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

fn refusal<T: std::fmt::Debug>(refused: Result<T, client::Error>) -> (i32, String, String) {
    let refused = refused.expect_err("a refusal");
    let status = refused.status().unwrap_or_else(|| panic!("{refused}"));
    (status.code, status.reason.clone(), status.message.clone())
}

/// Waits until a policy acts: a dry run that it refuses is refused.
async fn until_refused(client: &Client, probe: &ConfigMap) {
    until("the policy's first refusal", || async {
        let dry = WriteParams { dry_run: true, ..Default::default() };
        client.api().create_with(probe, &dry).await.err()
    })
    .await;
}

async fn a_policy_denies_warns_and_knows_its_parameters(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    client.api().create(&config_map("default", "limits", &[("max", "2")])).await.expect("created");
    let spec = about_maps(
        &["CREATE", "UPDATE", "DELETE"],
        json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "counted", "expression":
            "request.operation == 'DELETE' || (has(object.data) && 'count' in object.data)"}],
        "variables": [{"name": "max", "expression": "int(params.data.max)"}],
        "validations": [
            {"expression": "request.operation == 'DELETE' || int(object.data.count) <= variables.max",
                "messageExpression": "'at most ' + string(variables.max) + ', not ' + object.data.count"},
            {"expression": "request.operation != 'DELETE' || oldObject.metadata.name != 'kept'",
                "message": "it is kept", "reason": "Forbidden"},
        ]}),
    );
    create::<ValidatingAdmissionPolicy>(&client, json!({"metadata": {"name": "count"}, "spec": spec})).await;
    let binding = |name: &str, actions: Value, namespaces: &str| {
        json!({"metadata": {"name": name}, "spec": {
        "policyName": "count", "validationActions": actions,
        "paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"},
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespaces}}}}})
    };
    create::<ValidatingAdmissionPolicyBinding>(&client, binding("strict", json!(["Deny"]), "default")).await;
    let many = config_map("default", "many", &[("count", "3")]);
    until_refused(&client, &many).await;

    let maps = client.api::<ConfigMap>();
    let (code, reason, message) = refusal(maps.create(&many).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    let expect = "configmaps \"many\" is forbidden: ValidatingAdmissionPolicy 'count' with binding 'strict' denied request: at most 2, not 3";
    assert_eq!(message, expect);
    maps.create(&config_map("default", "uncounted", &[])).await.expect("the conditions do not hold");
    let mut made = maps.create(&config_map("default", "kept", &[("count", "2")])).await.expect("within limits");
    made.data.insert("count".into(), "9".into());
    assert_eq!(refusal(maps.update(&made).await).0, 422);
    let (code, reason, message) = refusal(maps.delete("default", "kept", &DeleteParams::default()).await);
    assert!(code == 403 && reason == "Forbidden" && message.ends_with("denied request: it is kept"), "{message}");
    // A count that is none fails, and failures close.
    let (_, _, message) = refusal(maps.create(&config_map("default", "odd", &[("count", "x")])).await);
    assert!(message.contains("resulted in error: "), "{message}");

    // Elsewhere there are warnings only.
    let mut lenient = Namespace::default();
    lenient.metadata.name = "lenient".into();
    client.api().create(&lenient).await.expect("created");
    create::<ValidatingAdmissionPolicyBinding>(&client, binding("lenient", json!(["Warn", "Audit"]), "lenient")).await;
    let warned = until("the warning", || async {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "w-"},
            "data": {"count": "3"}});
        let body = client::dynamic::json_body(body.to_string());
        let maps = client.dynamic("", "v1", "configmaps");
        let made = maps.create("lenient", "", "", body, &WriteParams::default()).await.expect("allowed");
        made.warnings.first().cloned()
    })
    .await;
    let expect = "Validation failed for ValidatingAdmissionPolicy 'count' with binding 'lenient': at most 2, not 3";
    assert_eq!(warned, expect);

    // Without parameters the binding cannot be.
    maps.delete("default", "limits", &DeleteParams::default()).await.expect("it has no count");
    until("the missing parameters", || async {
        let dry = WriteParams { dry_run: true, ..Default::default() };
        let refused = maps.create_with(&config_map("default", "one", &[("count", "1")]), &dry).await.err()?;
        refused.to_string().contains("failed to configure binding: no params found").then_some(())
    })
    .await;
    apiserver.stop().await;
}

async fn a_policy_changes_objects(engine: Engine) {
    let cluster = Cluster::start(engine);
    let apiserver = cluster.apiserver().await;
    let client = cluster.client(&apiserver, "admin");
    let spec = about_maps(
        &["CREATE"],
        json!({
        "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "wanted", "expression": "object.metadata.name.startsWith('change')"}],
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{labels: {'by': 'policy', 'who': request.userInfo.username}}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'add', path: '/data', value: {'labels': string(size(object.metadata.labels))}}]"}},
        ]}),
    );
    create::<MutatingAdmissionPolicy>(&client, json!({"metadata": {"name": "change"}, "spec": spec})).await;
    let binding = json!({"metadata": {"name": "change"}, "spec": {"policyName": "change"}});
    create::<MutatingAdmissionPolicyBinding>(&client, binding).await;
    let maps = client.api::<ConfigMap>();
    let made = until("the first change", || async {
        let mut wanted = config_map("default", "change-me", &[]);
        wanted.metadata.labels.insert("own".into(), "1".into());
        let dry = WriteParams { dry_run: true, ..Default::default() };
        let made = maps.create_with(&wanted, &dry).await.expect("allowed");
        made.metadata.labels.contains_key("by").then_some(made)
    })
    .await;
    assert_eq!(made.metadata.labels["who"], "kubernetes-admin");
    assert_eq!(made.metadata.labels["own"], "1");
    assert_eq!(made.data["labels"], "3", "the second mutation sees what the first one made");
    let other = maps.create(&config_map("default", "left-alone", &[])).await.expect("allowed");
    assert!(other.metadata.labels.is_empty() && other.data.is_empty());
    apiserver.stop().await;
}

async fn plugins_are_switched_on_and_off(engine: Engine) {
    let cluster = Cluster::start(engine);
    let flags = [
        "--enable-admission-plugins=AlwaysPullImages,ExtendedResourceToleration",
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
    ];
    let apiserver = cluster.apiserver_with(&flags).await;
    let client = cluster.client(&apiserver, "admin");
    let mut node = Node::default();
    node.metadata.name = "n".into();
    node.metadata.labels.insert("topology.kubernetes.io/zone".into(), "z".into());
    let node = client.api::<Node>().create(&node).await.expect("created");
    assert!(node.spec.taints.is_empty());
    // Its account is not there, and is not asked for.
    let made = client.api::<Pod>().create(&pod("default", "p")).await.expect("created");
    assert!(made.spec.volumes.is_empty() && made.spec.containers[0].image_pull_policy == "Always");
    let binding: proto::core::v1::Binding =
        proto::json::from_value(json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}))
            .expect("a binding");
    client.api::<Pod>().create_subresource("default", "p", "binding", &binding).await.expect("bound");
    let bound = client.api::<Pod>().get("default", "p").await.expect("there");
    assert_eq!(bound.metadata.labels.get("topology.kubernetes.io/zone").map(String::as_str), Some("z"));
    client.api().create(&service_account("default", "default")).await.expect("created");
    apiserver.stop().await;
}
