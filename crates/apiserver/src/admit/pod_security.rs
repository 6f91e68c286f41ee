//! PodSecurity: a namespace's level of the Pod Security Standards, which its labels say.
//!
//! What is enforced refuses pods; what is warned of is told of pods and of what makes pods. Audit annotations are not
//! made. `baseline` and `restricted` are judged as their latest version has them.

mod checks;

use proto::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use proto::batch::v1::{CronJob, Job};
use proto::core::v1::{Namespace, Pod, PodTemplate, PodTemplateSpec, ReplicationController};
use proto::dynamic::DynObject;

use super::{Target, View};
use crate::registry::Resource;
use crate::status::{Result, cause};

const PREFIX: &str = "pod-security.kubernetes.io/";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const WARN: &str = "pod-security.kubernetes.io/warn";
const LEVELS: &[&str] = &["privileged", "baseline", "restricted"];

/// A level, and the version of it that is named in texts.
#[derive(PartialEq, Eq)]
struct Policy {
    level: &'static str,
    version: String,
}

impl Policy {
    /// What the namespace's label says; none: everything is allowed.
    fn of(namespace: &Namespace, label: &str) -> Option<Self> {
        let labels = &namespace.metadata.labels;
        let level = match labels.get(label).map(String::as_str) {
            None | Some("privileged") => return None,
            Some("baseline") => "baseline",
            // What is not known is taken for the strictest.
            Some(_) => "restricted",
        };
        let version = labels.get(&format!("{label}-version")).map_or("latest", String::as_str).to_owned();
        Some(Self { level, version })
    }

    /// What of the pod the policy does not allow; nothing: all of it is fine.
    fn violated(&self, pod: &Pod) -> Option<String> {
        let wrong = checks::violations(pod, self.level == "restricted");
        let Self { level, version } = self;
        (!wrong.is_empty()).then(|| format!("PodSecurity \"{level}:{version}\": {}", wrong.join(", ")))
    }
}

/// Refuses a pod that its namespace's level does not allow, and a namespace whose labels name no level.
pub fn admit(target: &Target, object: &dyn DynObject, view: &impl View) -> Result<()> {
    if object.downcast_ref::<Namespace>().is_some() {
        return labels(&target.resource, object);
    }
    let Some(pod) = object.downcast_ref::<Pod>() else { return Ok(()) };
    let namespace = view.namespace(&target.namespace);
    let policy = namespace.and_then(|namespace| Policy::of(&namespace, ENFORCE));
    match policy.and_then(|policy| policy.violated(pod)) {
        None => Ok(()),
        Some(violated) => Err(target.resource.forbidden(&pod.metadata.name, &format!("violates {violated}"))),
    }
}

/// What is told of a pod, or of a template of pods, that goes beyond the level of which its namespace warns.
pub fn warning(object: &dyn DynObject, view: &impl View) -> Option<String> {
    let pod = object.downcast_ref::<Pod>();
    let template = template(object);
    if pod.is_none() && template.is_none() {
        return None;
    }
    let namespace = view.namespace(&object.metadata().namespace)?;
    let policy = Policy::of(&namespace, WARN)?;
    let violated = match (pod, template) {
        // A pod that was let in breaks nothing of what is enforced.
        (Some(_), _) if Policy::of(&namespace, ENFORCE).is_some_and(|enforced| enforced == policy) => None,
        (Some(pod), _) => policy.violated(pod),
        (None, template) => {
            let PodTemplateSpec { metadata, spec } = template?.clone();
            policy.violated(&Pod { metadata, spec, ..Pod::default() })
        }
    };
    violated.map(|violated| format!("would violate {violated}"))
}

fn template(object: &dyn DynObject) -> Option<&PodTemplateSpec> {
    macro_rules! first {
        ($($kind:ty => $template:expr,)*) => {
            $(if let Some(object) = object.downcast_ref::<$kind>() {
                let template: fn(&$kind) -> Option<&PodTemplateSpec> = $template;
                return template(object);
            })*
        };
    }
    first! {
        Deployment => |object| Some(&object.spec.template),
        ReplicaSet => |object| Some(&object.spec.template),
        DaemonSet => |object| Some(&object.spec.template),
        StatefulSet => |object| Some(&object.spec.template),
        ReplicationController => |object| object.spec.template.as_ref(),
        Job => |object| Some(&object.spec.template),
        CronJob => |object| Some(&object.spec.job_template.spec.template),
        PodTemplate => |object| Some(&object.template),
    }
    None
}

/// Refuses a changed namespace whose labels name no level any more.
pub fn admit_update(resource: &Resource, new: &dyn DynObject, old: &dyn DynObject) -> Result<()> {
    if new.downcast_ref::<Namespace>().is_some() && new.metadata().labels != old.metadata().labels {
        return labels(resource, new);
    }
    Ok(())
}

fn labels(resource: &Resource, namespace: &dyn DynObject) -> Result<()> {
    let mut causes = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        for (key, fits, why) in [
            (
                format!("{PREFIX}{mode}"),
                is_level as fn(&str) -> bool,
                "must be one of privileged, baseline, restricted",
            ),
            (format!("{PREFIX}{mode}-version"), is_version, "must be \"latest\" or \"v1.x\""),
        ] {
            if let Some(value) = namespace.metadata().labels.get(&key).filter(|value| !fits(value)) {
                let message = format!("Invalid value: \"{value}\": {why}");
                causes.push(cause("FieldValueInvalid", format!("metadata.labels[{key}]"), message));
            }
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(resource.invalid(&namespace.metadata().name, causes)) }
}

fn is_level(text: &str) -> bool {
    LEVELS.contains(&text)
}

fn is_version(text: &str) -> bool {
    let minor = text.strip_prefix("v1.");
    text == "latest" || minor.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()))
}
