//! PodSecurity: a namespace's level of the Pod Security Standards, which its labels say.
//!
//! Only what is enforced is judged; warnings and audit annotations are not made. `baseline` and `restricted` are judged
//! as their latest version has them.

mod checks;

use proto::core::v1::Pod;
use proto::dynamic::DynObject;

use super::{Request, View};
use crate::status::Result;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const VERSION: &str = "pod-security.kubernetes.io/enforce-version";

/// Refuses a pod that its namespace's level does not allow.
pub fn admit(request: Request<'_>, object: &dyn DynObject, view: &impl View) -> Result<()> {
    let Some(pod) = object.downcast_ref::<Pod>() else { return Ok(()) };
    let labels = view.namespace(&request.target.namespace).map(|namespace| namespace.metadata.labels);
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
    Err(request.target.resource.forbidden(&pod.metadata.name, &why))
}
