//! PodSecurity: a namespace's level of the Pod Security Standards, which its labels say.
//!
//! Only what is enforced is judged; warnings and audit annotations are not made. `baseline` and `restricted` are judged
//! as their latest version has them.

mod checks;

use proto::core::v1::{Namespace, Pod};
use proto::dynamic::DynObject;

use super::{Target, View};
use crate::registry::Resource;
use crate::status::{Result, cause};

const PREFIX: &str = "pod-security.kubernetes.io/";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const VERSION: &str = "pod-security.kubernetes.io/enforce-version";
const LEVELS: &[&str] = &["privileged", "baseline", "restricted"];

/// Refuses a pod that its namespace's level does not allow, and a namespace whose labels name no level.
pub fn admit(target: &Target, object: &dyn DynObject, view: &impl View) -> Result<()> {
    if object.downcast_ref::<Namespace>().is_some() {
        return labels(&target.resource, object);
    }
    let Some(pod) = object.downcast_ref::<Pod>() else { return Ok(()) };
    let labels = view.namespace(&target.namespace).map(|namespace| namespace.metadata.labels);
    let label = |key: &str| labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let level = match label(ENFORCE) {
        None | Some("privileged") => return Ok(()),
        Some("baseline") => "baseline",
        // What is not known is taken for the strictest.
        Some(_) => "restricted",
    };
    let wrong = checks::violations(pod, level == "restricted");
    if wrong.is_empty() {
        return Ok(());
    }
    let version = label(VERSION).unwrap_or("latest");
    let why = format!("violates PodSecurity \"{level}:{version}\": {}", wrong.join(", "));
    Err(target.resource.forbidden(&pod.metadata.name, &why))
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
