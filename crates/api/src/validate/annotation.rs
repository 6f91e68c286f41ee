//! Validation of annotations that mean something to pods.

use std::collections::BTreeMap;

use proto::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, SecurityContext, Toleration};
use proto::meta::v1::ObjectMeta;

use super::check::{Errors, local_path};
use super::{FieldError, Path, scheduling};

/// A pod that a node runs without the API having asked for it.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
/// What begins the name of a profile that is a file of the node.
const LOCALHOST: &str = "localhost/";

type Annotations = BTreeMap<String, String>;

/// Annotations of a pod or of a template, beyond their names.
pub fn of_pod(errors: &mut Errors, path: Path<'_>, annotations: &Annotations, spec: &PodSpec) {
    if let Some(value) = annotations.get(MIRROR)
        && spec.node_name.is_empty()
    {
        let why = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(path.key(MIRROR), value, why));
    }
    if let Some(text) = annotations.get(TOLERATIONS).filter(|text| !text.is_empty()) {
        match tolerations(text) {
            Some(found) => scheduling::tolerations(errors, path.child(TOLERATIONS), &found),
            None => errors.push(FieldError::invalid(path, TOLERATIONS, "must be a JSON list of tolerations")),
        }
    }
    if let Some(text) = annotations.get(DELETION_COST)
        && !is_cost(text)
    {
        errors.push(FieldError::invalid(path.key(DELETION_COST), text, "must be a 32bit integer"));
    }
    for (key, profile) in annotations {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(errors, path.child(key), profile);
        } else if let Some(container) = key.strip_prefix(APP_ARMOR) {
            if !names(spec).any(|name| name == container) {
                errors.push(FieldError::invalid(path.key(key), container, "container not found"));
            }
            let known = matches!(profile.as_str(), "" | "runtime/default" | "unconfined");
            if !known && !profile.starts_with(LOCALHOST) {
                let why = format!("invalid AppArmor profile name: {}", crate::status::quoted(profile));
                errors.push(FieldError::invalid(path.key(key), profile, why));
            }
        }
    }
}

fn tolerations(text: &str) -> Option<Vec<Toleration>> {
    let list: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    list.iter().map(|one| proto::json::from_slice(one.to_string().as_bytes()).ok()).collect()
}

/// A number as upstream writes it: no plus, no leading zeros.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|number| number.to_string() == text)
}

fn seccomp(errors: &mut Errors, path: Path<'_>, profile: &str) {
    if matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
        return;
    }
    match profile.strip_prefix(LOCALHOST) {
        Some(file) => local_path(errors, path, file),
        None => errors.push(FieldError::invalid(path, profile, "must be a valid seccomp profile")),
    }
}

fn names(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let plain = spec.init_containers.iter().chain(&spec.containers).map(|container| container.name.as_str());
    plain.chain(spec.ephemeral_containers.iter().map(|container| container.ephemeral_container_common.name.as_str()))
}

/// Of a new pod or template, an annotation and the field that came after it say the same.
pub fn agree(errors: &mut Errors, path: Path<'_>, meta: &ObjectMeta, spec: &PodSpec) {
    let pod = spec.security_context.as_ref();
    if let Some((text, profile)) =
        meta.annotations.get(SECCOMP_POD).zip(pod.and_then(|pod| pod.seccomp_profile.as_ref()))
    {
        seccomp_agrees(errors, path.child("securityContext").child("seccompProfile"), text, profile);
    }
    let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows");
    let of_pod = pod.and_then(|pod| pod.app_armor_profile.as_ref());
    for (list, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        let path = path.child(list);
        for (index, container) in containers.iter().enumerate() {
            let path = path.index(index);
            let at = path.child("securityContext");
            let context = container.security_context.as_ref();
            let said = |prefix: &str| meta.annotations.get(&format!("{prefix}{}", container.name));
            let own = context.and_then(|context| context.seccomp_profile.as_ref());
            if let Some((text, profile)) = said(SECCOMP_CONTAINER).zip(own) {
                seccomp_agrees(errors, at.child("seccompProfile"), text, profile);
            }
            if let Some((text, profile)) = said(APP_ARMOR).zip(app_armor_of(context).or(of_pod)).filter(|_| !windows) {
                app_armor_agrees(errors, at.child("appArmorProfile"), text, profile);
            }
        }
    }
}

fn app_armor_of(context: Option<&SecurityContext>) -> Option<&AppArmorProfile> {
    context.and_then(|context| context.app_armor_profile.as_ref())
}

fn seccomp_agrees(errors: &mut Errors, path: Path<'_>, text: &str, profile: &SeccompProfile) {
    let same = match profile.r#type.as_str() {
        "Unconfined" => text == "unconfined",
        "RuntimeDefault" => matches!(text, "runtime/default" | "docker/default"),
        "Localhost" => text.starts_with(LOCALHOST),
        _ => true,
    };
    if !same {
        let why = "seccomp type in annotation and field must match";
        errors.push(FieldError::forbidden(path.child("type"), why));
    } else if profile.r#type == "Localhost" && text.strip_prefix(LOCALHOST) != profile.localhost_profile.as_deref() {
        let why = "seccomp profile in annotation and field must match";
        errors.push(FieldError::forbidden(path.child("localhostProfile"), why));
    }
}

fn app_armor_agrees(errors: &mut Errors, path: Path<'_>, text: &str, profile: &AppArmorProfile) {
    let same = match profile.r#type.as_str() {
        "Unconfined" => text == "unconfined",
        "RuntimeDefault" => text == "runtime/default",
        "Localhost" => text.starts_with(LOCALHOST),
        _ => true,
    };
    if !same {
        let why = "apparmor type in annotation and field must match";
        errors.push(FieldError::forbidden(path.child("type"), why));
    } else if profile.r#type == "Localhost" && text.strip_prefix(LOCALHOST) != profile.localhost_profile.as_deref() {
        let why = "apparmor profile in annotation and field must match";
        errors.push(FieldError::forbidden(path.child("localhostProfile"), why));
    }
}

/// Annotations that stay as they were when the pod was made.
pub fn kept(errors: &mut Errors, path: Path<'_>, new: &Annotations, old: &Annotations) {
    let fixed = |key: &str| {
        if key.starts_with(APP_ARMOR) {
            Some("AppArmor annotations")
        } else {
            (key == MIRROR).then_some("mirror pod annotation")
        }
    };
    for (key, value) in old {
        if let Some(what) = fixed(key)
            && new.get(key) != Some(value)
        {
            errors.push(FieldError::forbidden(path.key(key), format!("may not remove or update {what}")));
        }
    }
    for key in new.keys().filter(|key| !old.contains_key(*key)) {
        if let Some(what) = fixed(key) {
            errors.push(FieldError::forbidden(path.key(key), format!("may not add {what}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_annotation_is_judged(text in r#"\PC{0,40}|\[\{"(key|operator|effect|tolerationSeconds)":("a"|-?[0-9]{1,25}|null|\[\])\}\]"#) {
            let spec = PodSpec::default();
            for key in [MIRROR, TOLERATIONS, DELETION_COST, SECCOMP_POD, SECCOMP_CONTAINER, APP_ARMOR] {
                let annotations = Annotations::from([(key.to_owned(), text.clone())]);
                let (mut errors, path) = (Errors::new(), Path::root("annotations"));
                of_pod(&mut errors, path, &annotations, &spec);
                kept(&mut errors, path, &annotations, &Annotations::new());
                prop_assert!(errors.iter().all(|error| error.field.starts_with("annotations")));
            }
        }
    }
}
