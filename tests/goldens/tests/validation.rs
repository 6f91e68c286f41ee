//! Refusals of a real API server, judged by our rules alone: no server, no store.
//!
//! What admission, allocation or the REST layer decides is left to the replay over gRPC; the categories are counted.

use std::collections::BTreeMap;

use api::resource;
use proto::dynamic::DynObject;
use serde_json::Value;
use test_goldens::request::{Target, body, causes, header};
use test_goldens::{cases, json};

/// Refusals that are made from more than the object: by whom.
const ELSEWHERE: &[(&str, &str)] = &[
    ("spec.ports[0].nodePort", "the node port allocator"),
    ("spec.ports[1].nodePort", "the node port allocator"),
    ("resourceVersionMatch", "list options"),
    ("sendInitialEvents", "list options"),
    ("propagationPolicy", "delete options"),
    ("dryRun", "write options"),
    ("fieldManager", "write options"),
    ("metadata.resourceVersion", "the update verb: a version that has to be told"),
    ("patch", "the patch verb: the patched object is no object of its kind"),
    ("[]", "the size limit of a request, and options of pods/log"),
];

/// The object of a request as it reaches validation.
fn object(target: &Target, text: &str) -> Option<Box<dyn DynObject>> {
    let row = resource::find(&target.group, &target.version, &target.plural)?;
    let mut object = row.kind_info()?.from_json(text.as_bytes()).ok()?;
    if row.namespaced && object.metadata().namespace.is_empty() {
        object.metadata_mut().namespace.clone_from(&target.namespace);
    }
    if object.metadata().name.is_empty() && !object.metadata().generate_name.is_empty() {
        object.metadata_mut().name = api::name::generated(&object.metadata().generate_name.clone(), 1);
    }
    api::default::apply(object.as_mut());
    if let Some(claim) = object.downcast_mut::<proto::core::v1::PersistentVolumeClaim>() {
        api::default::claim_sources(&mut claim.spec);
    }
    if let Some(service) = object.downcast_mut::<proto::core::v1::Service>() {
        addresses(&mut service.spec);
    }
    Some(object)
}

/// A new object as it is stored.
fn made(target: &Target, text: &str) -> Option<Box<dyn DynObject>> {
    let mut made = object(target, text)?;
    made.metadata_mut().uid = "5b6b3f4e-0000-4000-8000-000000000001".to_owned();
    api::prepare::create(made.as_mut());
    Some(made)
}

/// What the address allocator adds before a Service is judged.
fn addresses(spec: &mut proto::core::v1::ServiceSpec) {
    if spec.r#type == "ExternalName" {
        return;
    }
    if spec.cluster_ip.is_empty() && spec.cluster_ips.is_empty() {
        spec.cluster_ip = "10.96.0.77".to_owned();
    }
    if spec.cluster_ips.is_empty() {
        spec.cluster_ips = vec![spec.cluster_ip.clone()];
    }
    if spec.ip_families.is_empty() {
        spec.ip_families = vec!["IPv4".to_owned()];
    }
    spec.ip_family_policy.get_or_insert_with(|| "SingleStack".to_owned());
}

/// The object that a request changes: what the setup made, and what the setup did to it afterwards.
fn existing(case: &Value, target: &Target) -> Option<Box<dyn DynObject>> {
    let mut found: Option<Box<dyn DynObject>> = None;
    for request in case["setup"].as_array()? {
        let at = Target::parse(request["path"].as_str()?)?;
        if (&at.group, &at.plural) != (&target.group, &target.plural) {
            continue;
        }
        match request["method"].as_str()? {
            "POST" if at.name.is_empty() => {
                let made = made(&at, &body(request))?;
                if made.metadata().name == target.name {
                    found = Some(with_token(made));
                }
            }
            "PATCH" if at.name == target.name => {
                let old = found.take()?;
                found = changed(request, &at, old.as_ref());
            }
            "DELETE" if at.name == target.name => {
                found.as_mut()?.metadata_mut().deletion_timestamp = Some(proto::time::Time::from_unix(1));
            }
            _ => {}
        }
    }
    found
}

/// A pod gets a volume with its token when it is admitted.
fn with_token(mut object: Box<dyn DynObject>) -> Box<dyn DynObject> {
    if let Some(pod) = object.downcast_mut::<proto::core::v1::Pod>() {
        let volume = proto::core::v1::Volume { name: "kube-api-access-x".to_owned(), ..Default::default() };
        pod.spec.volumes.push(volume);
        for container in &mut pod.spec.containers {
            container.volume_mounts.push(proto::core::v1::VolumeMount {
                name: "kube-api-access-x".to_owned(),
                mount_path: "/token".to_owned(),
                ..Default::default()
            });
        }
        api::default::apply(object.as_mut());
    }
    object
}

/// The object after a PUT or PATCH.
fn changed(request: &Value, target: &Target, old: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let text = body(request);
    if request["method"] == "PUT" {
        let mut new = object(target, &text)?;
        let meta = old.metadata().clone();
        let new_meta = new.metadata_mut();
        new_meta.uid = meta.uid;
        new_meta.creation_timestamp = meta.creation_timestamp;
        new_meta.generation = meta.generation;
        return Some(new);
    }
    let patch: Value = serde_json::from_str(&text).ok()?;
    let mut tree = proto::json::dyn_to_value(old.as_reflect());
    let kind = header(request, "content-type");
    match kind {
        "application/json-patch+json" => api::patch::json(&mut tree, &patch).ok()?,
        "application/merge-patch+json" => api::patch::merge(&mut tree, &patch).ok()?,
        "application/strategic-merge-patch+json" => {
            api::patch::strategic(&mut tree, &patch, old.info().message).ok()?;
        }
        _ => return None,
    }
    object(target, &tree.to_string())
}

fn judged(case: &Value, target: &Target) -> Option<Vec<(String, String)>> {
    let request = &case["request"];
    let errors = match (request["method"].as_str()?, target.subresource.as_str()) {
        ("POST", "") => api::validate::create(made(target, &body(request))?.as_ref()),
        ("PUT" | "PATCH", "") => {
            let old = existing(case, target)?;
            let mut new = changed(request, target, old.as_ref())?;
            if let (Some(new), Some(old)) =
                (new.downcast_mut::<proto::core::v1::Service>(), old.downcast_ref::<proto::core::v1::Service>())
            {
                kept_addresses(new, old);
            }
            api::prepare::update(new.as_mut(), old.as_ref());
            api::validate::update(new.as_ref(), old.as_ref())
        }
        ("PUT" | "PATCH", "status") => {
            let old = existing(case, target)?;
            api::validate::update_status(changed(request, target, old.as_ref())?.as_ref(), old.as_ref())
        }
        ("PUT" | "PATCH", "ephemeralcontainers") => {
            let old = existing(case, target)?;
            let new = changed(request, target, old.as_ref())?;
            api::validate::update_ephemeral_containers(new.downcast_ref()?, old.downcast_ref()?)
        }
        _ => return None,
    };
    Some(errors.iter().map(|error| (error.reason.word().to_owned(), error.field.clone())).collect())
}

/// A Service that does not say its addresses keeps them; one that says its first address says all of them.
fn kept_addresses(new: &mut proto::core::v1::Service, old: &proto::core::v1::Service) {
    // An ExternalName has no addresses: those it had are given back.
    if new.spec.r#type == "ExternalName" && new.spec.cluster_ips == old.spec.cluster_ips {
        new.spec.cluster_ip.clear();
        new.spec.cluster_ips.clear();
        new.spec.ip_families.clear();
        new.spec.ip_family_policy = None;
        new.spec.internal_traffic_policy = None;
    }
    if new.spec.cluster_ip != old.spec.cluster_ip && new.spec.cluster_ips == old.spec.cluster_ips {
        new.spec.cluster_ips = vec![new.spec.cluster_ip.clone()];
    }
}

/// Fewer would mean that cases, or kinds, went missing.
const JUDGED_MIN: usize = 321;
/// Who judges the others, and how many they are.
const ELSEWHERE_COUNTS: &[(&str, usize)] = &[
    ("a request that is no plain write", 14),
    ("delete options", 1),
    ("list options", 5),
    ("server-side apply (part 3)", 1),
    ("the node port allocator", 3),
    ("the patch verb: the patched object is no object of its kind", 4),
    ("the size limit of a request, and options of pods/log", 2),
    ("the update verb: a version that has to be told", 3),
    ("write options", 2),
];

#[test]
fn refusals_have_the_recorded_causes() {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let (mut failures, mut elsewhere) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for name in cases("validation", ".json") {
        let case = json(&format!("validation/{name}.json"));
        let Some(target) = case["request"]["path"].as_str().and_then(Target::parse) else { continue };
        let code = case["response"]["code"].as_i64().unwrap_or_default();
        let status = &case["response"]["body"];
        let expected = causes(status);
        let refused = code == 422 && status["reason"] == "Invalid" && !expected.is_empty();
        if !target.is_served() || !(refused || matches!(code, 200 | 201)) {
            continue;
        }
        if let Some((_, by)) = ELSEWHERE.iter().find(|(field, _)| expected.iter().any(|(_, at)| at == field)) {
            *elsewhere.entry(by).or_default() += 1;
            continue;
        }
        let found = judged(&case, &target);
        if found.is_none() {
            let apply = header(&case["request"], "content-type").starts_with("application/apply-patch");
            let by = if apply { "server-side apply (part 3)" } else { "a request that is no plain write" };
            *elsewhere.entry(by).or_default() += 1;
            if refused && !apply {
                failures.push(format!("{name}: not judged, expected {expected:?}"));
            }
            continue;
        }
        let entry = counts.entry(target.plural.clone()).or_default();
        entry.1 += 1;
        if found.as_ref() == Some(&expected) {
            entry.0 += 1;
        } else {
            failures.push(format!("{name}:\n    expected {expected:?}\n    found    {:?}", found.unwrap_or_default()));
        }
    }
    for (plural, (passed, all)) in &counts {
        println!("{plural}: {passed} of {all}");
    }
    println!("left to others: {elsewhere:?}");
    let judged: usize = counts.values().map(|(_, all)| all).sum();
    println!("judged: {judged}");
    assert!(judged >= JUDGED_MIN, "only {judged} cases were judged, there were {JUDGED_MIN}");
    assert_eq!(elsewhere.into_iter().collect::<Vec<_>>(), ELSEWHERE_COUNTS, "others are left out than before");
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}
