use proto::Object;
use proto::apps::v1::Deployment;
use proto::core::v1::{ConfigMap, Pod, Service};
use proto::dynamic::DynObject;
use serde_json::{Value, json};

use super::*;

mod custom;
mod laws;

fn writer<'a>(manager: &'a str, api_version: &'a str, seconds: i64) -> Writer<'a> {
    Writer { manager, api_version, subresource: "", now: Time::from_unix(seconds), reset: &[&["status"]], schemas: &[] }
}

/// Applies as a server does, without defaults.
fn apply<T: Object>(
    live: Option<&dyn DynObject>,
    manager: &str,
    json: &Value,
    force: bool,
) -> Result<Box<dyn DynObject>, Error> {
    let config = Config { kind: T::kind_info(), json, force };
    let seconds = live.map_or(1, |live| 2 + live.metadata().managed_fields.len() as i64);
    applied(live, config, &writer(manager, T::API_VERSION, seconds))
}

/// Writes as a server does after an update.
fn update<T: Object>(live: Option<&dyn DynObject>, manager: &str, json: &Value) -> Box<dyn DynObject> {
    let mut new = T::kind_info().from_json(json.to_string().as_bytes()).expect("an object");
    updated(live, new.as_mut(), &writer(manager, T::API_VERSION, 9));
    new
}

fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": data})
}

/// Manager, operation and fields of each entry.
fn entries(object: &dyn DynObject) -> Vec<String> {
    let json = proto::json::dyn_to_value(object.as_reflect());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = json["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|entry| format!("{} {} {}", text(&entry["manager"]), text(&entry["operation"]), entry["fieldsV1"]))
        .collect()
}

fn data(object: &dyn DynObject) -> Value {
    proto::json::dyn_to_value(object.as_reflect())["data"].clone()
}

#[test]
fn a_field_that_is_no_longer_applied_goes() {
    let first = apply::<ConfigMap>(None, "a", &config_map(&json!({"k": "1", "j": "2"})), false).expect("applied");
    let second =
        apply::<ConfigMap>(Some(first.as_ref()), "a", &config_map(&json!({"k": "1"})), false).expect("applied");
    assert_eq!(data(second.as_ref()), json!({"k": "1"}));
    assert_eq!(entries(second.as_ref()), [r#"a Apply {"f:data":{"f:k":{}}}"#]);
}

#[test]
fn a_field_that_another_wants_too_stays() {
    let first = apply::<ConfigMap>(None, "a", &config_map(&json!({"k": "1"})), false).expect("applied");
    let second = apply::<ConfigMap>(Some(first.as_ref()), "b", &config_map(&json!({"k": "1", "z": "2"})), false)
        .expect("applied");
    let third =
        apply::<ConfigMap>(Some(second.as_ref()), "b", &config_map(&json!({"z": "2"})), false).expect("applied");
    assert_eq!(data(third.as_ref()), json!({"k": "1", "z": "2"}));
    assert_eq!(entries(third.as_ref()), [r#"a Apply {"f:data":{"f:k":{}}}"#, r#"b Apply {"f:data":{"f:z":{}}}"#]);
}

#[test]
fn another_value_is_a_conflict_unless_it_is_forced() {
    let first = apply::<ConfigMap>(None, "a", &config_map(&json!({"k": "1", "j": "1"})), false).expect("applied");
    let other = config_map(&json!({"k": "2", "j": "2"}));
    let Err(Error::Conflicts(conflicts)) = apply::<ConfigMap>(Some(first.as_ref()), "b", &other, false) else {
        panic!("a conflict was expected");
    };
    let refusal = Conflict::refusal(conflicts);
    assert_eq!(refusal.message, "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.j\n- .data.k");
    let forced = apply::<ConfigMap>(Some(first.as_ref()), "b", &other, true).expect("applied");
    assert_eq!(data(forced.as_ref()), json!({"k": "2", "j": "2"}));
    assert_eq!(entries(forced.as_ref()), [r#"b Apply {"f:data":{"f:j":{},"f:k":{}}}"#]);
}

#[test]
fn an_update_takes_what_it_changes_from_everybody() {
    let first = apply::<ConfigMap>(None, "a", &config_map(&json!({"k": "1", "j": "1"})), false).expect("applied");
    let second = update::<ConfigMap>(Some(first.as_ref()), "u", &config_map(&json!({"k": "9", "n": "1"})));
    assert_eq!(entries(second.as_ref()), [r#"u Update {"f:data":{"f:k":{},"f:n":{}}}"#]);
    let Err(Error::Conflicts(conflicts)) =
        apply::<ConfigMap>(Some(second.as_ref()), "a", &config_map(&json!({"k": "1"})), false)
    else {
        panic!("a conflict was expected");
    };
    let refusal = Conflict::refusal(conflicts);
    assert_eq!(refusal.message, "Apply failed with 1 conflict: conflict with \"u\" using v1: .data.k");
}

#[test]
fn an_object_of_unknown_owners_has_one_before_the_first_apply() {
    let json = config_map(&json!({"k": "1"}));
    let live = ConfigMap::kind_info().from_json(json.to_string().as_bytes()).expect("an object");
    let first = apply::<ConfigMap>(Some(live.as_ref()), "a", &config_map(&json!({"n": "1"})), false).expect("applied");
    assert_eq!(
        entries(first.as_ref()),
        [r#"a Apply {"f:data":{"f:n":{}}}"#, r#"before-first-apply Update {"f:data":{".":{},"f:k":{}}}"#]
    );
}

#[test]
fn items_are_told_apart_by_their_keys_and_keep_their_order() {
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}});
    let first = apply::<Service>(None, "a", &service(json!([{"port": 80}, {"port": 90}])), false).expect("applied");
    let config = service(json!([{"port": 90, "name": "n"}, {"port": 70, "protocol": "UDP"}]));
    let second = apply::<Service>(Some(first.as_ref()), "b", &config, false).expect("applied");
    let json = proto::json::dyn_to_value(second.as_reflect());
    let ports: Vec<_> =
        json["spec"]["ports"].as_array().expect("ports").iter().map(|port| port["port"].clone()).collect();
    assert_eq!(ports, [json!(80), json!(90), json!(70)]);
    assert_eq!(
        entries(second.as_ref())[1],
        r#"b Apply {"f:spec":{"f:ports":{"k:{\"port\":70,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}},"k:{\"port\":90,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}}"#
    );
}

#[test]
fn a_selector_has_one_owner_as_a_whole() {
    let deployment = |labels: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"selector": {"matchLabels": labels}}})
    };
    let first = apply::<Deployment>(None, "a", &deployment(json!({"app": "a"})), false).expect("applied");
    assert_eq!(entries(first.as_ref()), [r#"a Apply {"f:spec":{"f:selector":{}}}"#]);
    let Err(Error::Conflicts(conflicts)) =
        apply::<Deployment>(Some(first.as_ref()), "b", &deployment(json!({"b": "1"})), false)
    else {
        panic!("a conflict was expected");
    };
    assert_eq!(conflicts[0].fields.paths(), [".spec.selector"]);
}

#[test]
fn what_does_not_fit_the_schema_is_told_with_its_path() {
    let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    for (spec, why) in [
        (json!({"nope": 1}), ".spec.nope: field not declared in schema"),
        (json!({"containers": "x"}), ".spec.containers: expected list, got &{x}"),
        (json!({"hostNetwork": "x"}), ".spec.hostNetwork: expected boolean, got &{x}"),
        (
            json!({"containers": [{"name": "c"}, {"name": "c"}]}),
            ".spec.containers: duplicate entries for key [name=\"c\"]",
        ),
        (
            json!({"topologySpreadConstraints": [null]}),
            ".spec.topologySpreadConstraints: element 0: associative list with keys may not have a null element",
        ),
    ] {
        let error = apply::<Pod>(None, "a", &pod(spec), false).expect_err("refused");
        assert_eq!(error.to_string(), format!("failed to create typed patch object (/p; /v1, Kind=Pod): {why}"));
    }
    let error = apply::<Pod>(None, "a", &json!({"kind": "Pod"}), false).expect_err("refused");
    assert_eq!(error.to_string(), "invalid object type: /, Kind=Pod");
}

#[test]
fn the_oldest_updaters_become_one() {
    let mut live: Option<Box<dyn DynObject>> = None;
    for manager in 0..12 {
        let json = config_map(
            &(0..=manager).map(|key| (format!("k{key:02}"), json!("1"))).collect::<serde_json::Map<_, _>>().into(),
        );
        let mut new = ConfigMap::kind_info().from_json(json.to_string().as_bytes()).expect("an object");
        let name = format!("m{manager:02}");
        updated(live.as_deref(), new.as_mut(), &writer(&name, "v1", i64::from(manager) + 1));
        live = Some(new);
    }
    let found = entries(live.expect("an object").as_ref());
    assert_eq!(found.len(), 10);
    assert_eq!(found[0], r#"ancient-changes Update {"f:data":{".":{},"f:k00":{},"f:k01":{},"f:k02":{}}}"#);
    assert_eq!(found[1], r#"m03 Update {"f:data":{"f:k03":{}}}"#);
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client() {
    let mut json = config_map(&json!({"k": "1"}));
    json["metadata"]["annotations"] = json!({last_applied::ANNOTATION: config_map(&json!({"k": "1"})).to_string()});
    let live = update::<ConfigMap>(None, "kubectl-client-side-apply", &json);
    let config = config_map(&json!({"k": "2"}));
    assert!(apply::<ConfigMap>(Some(live.as_ref()), "other", &config, false).is_err());
    let object = apply::<ConfigMap>(Some(live.as_ref()), "kubectl", &config, false).expect("applied");
    assert_eq!(data(object.as_ref()), json!({"k": "2"}));
    assert_eq!(object.metadata().annotations[last_applied::ANNOTATION], format!("{config}\n"));
}

#[test]
fn a_scale_moves_the_owner_of_replicas() {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 2, "paused": true}});
    let live = apply::<Deployment>(None, "a", &deployment, false).expect("applied");
    let before = live.metadata().managed_fields.clone();
    let scale = scale::of_object(&before, "apps/v1", scale::REPLICAS).expect("entries");
    assert_eq!(scale.len(), 1);
    assert_eq!(scale::to_object(&before, &scale, "apps/v1", scale::REPLICAS).expect("entries"), before);
    let mut owner = Owner::new("scaler", Operation::Update, "scale", scale::API_VERSION);
    owner.replace(Set::of_path(&["spec", "replicas"]));
    let mut owners = Owners::default();
    owners.insert(owner);
    let after = scale::to_object(&before, &owners.encode(), "apps/v1", scale::REPLICAS).expect("entries");
    let all = Owners::decode(&after).expect("entries");
    let told: Vec<_> = all.iter().map(|owner| (owner.manager.as_str(), owner.set().to_string(), owner.time)).collect();
    assert_eq!(told[0].1, ".spec.paused");
    assert_eq!(told[1], ("scaler", ".spec.replicas".to_owned(), None));
}
