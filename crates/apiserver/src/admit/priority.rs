//! Priority: a pod's class becomes a number, without a class the cluster's default.

use proto::core::v1::Pod;
use proto::dynamic::DynObject;
use proto::scheduling::v1::PriorityClass;

use super::{Request, View};
use crate::registry::Resource;
use crate::status::Result;

const LOWER: &str = "PreemptLowerPriority";

/// Resolves the pod's priority class.
pub fn admit(request: Request<'_>, object: &mut dyn DynObject, view: &impl View) -> Result<()> {
    let resource = &request.target.resource;
    if let Some(class) = object.downcast_ref::<PriorityClass>() {
        return one_default(resource, class, view);
    }
    let Some(pod) = object.downcast_mut::<Pod>() else { return Ok(()) };
    let name = pod.metadata.name.clone();
    let (class, value, preemption) = match pod.spec.priority_class_name.as_str() {
        "" => default_class(view),
        class => match view.priority_class(class) {
            Some(found) => (class.to_owned(), found.value, found.preemption_policy),
            None => {
                let why = format!("no PriorityClass with name {class} was found");
                return Err(resource.forbidden(&name, &why));
            }
        },
    };
    let preemption = preemption.unwrap_or_else(|| LOWER.to_owned());
    if pod.spec.priority.is_some_and(|given| given != value) {
        let given = pod.spec.priority.unwrap_or_default();
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(resource.forbidden(&name, &why));
    }
    if pod.spec.preemption_policy.as_ref().is_some_and(|given| *given != preemption) {
        let given = pod.spec.preemption_policy.clone().unwrap_or_default();
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {preemption} from the given PriorityClass name"
        );
        return Err(resource.forbidden(&name, &why));
    }
    pod.spec.priority_class_name = class;
    pod.spec.priority = Some(value);
    pod.spec.preemption_policy = Some(preemption);
    Ok(())
}

/// A changed object: a class cannot become a second default, a pod keeps what its class once gave it.
pub fn admit_update(resource: &Resource, new: &mut dyn DynObject, old: &dyn DynObject, view: &impl View) -> Result<()> {
    if let Some(class) = new.downcast_ref::<PriorityClass>() {
        return one_default(resource, class, view);
    }
    keep(new, old);
    Ok(())
}

fn keep(new: &mut dyn DynObject, old: &dyn DynObject) {
    let (Some(new), Some(old)) = (new.downcast_mut::<Pod>(), old.downcast_ref::<Pod>()) else { return };
    if new.spec.priority.is_none() {
        new.spec.priority = old.spec.priority;
    }
    if new.spec.preemption_policy.is_none() {
        new.spec.preemption_policy.clone_from(&old.spec.preemption_policy);
    }
}

/// Of several default classes the lowest counts.
fn default_class(view: &impl View) -> (String, i32, Option<String>) {
    let defaults = view.priority_classes().into_iter().filter(|class| class.global_default);
    match defaults.min_by_key(|class| class.value) {
        Some(class) => (class.metadata.name, class.value, class.preemption_policy),
        None => (String::new(), 0, None),
    }
}

fn one_default(resource: &Resource, class: &PriorityClass, view: &impl View) -> Result<()> {
    if !class.global_default {
        return Ok(());
    }
    let name = &class.metadata.name;
    match view.priority_classes().iter().find(|other| other.global_default && other.metadata.name != *name) {
        Some(other) => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                other.metadata.name
            );
            Err(resource.forbidden(name, &why))
        }
        None => Ok(()),
    }
}
