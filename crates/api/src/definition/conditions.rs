//! The conditions of a definition's status.

use proto::apiextensions::v1::{CustomResourceDefinition, CustomResourceDefinitionCondition as Condition};
use proto::meta::v1::Time;

pub const NAMES_ACCEPTED: &str = "NamesAccepted";
pub const ESTABLISHED: &str = "Established";
pub const TERMINATING: &str = "Terminating";
pub const APPROVED: &str = "KubernetesAPIApprovalPolicyConformant";

/// A condition without its times.
pub fn condition(r#type: &str, status: bool, reason: &str, message: impl Into<String>) -> Condition {
    Condition {
        r#type: r#type.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        ..Condition::default()
    }
}

/// The condition of that type.
pub fn find<'a>(definition: &'a CustomResourceDefinition, r#type: &str) -> Option<&'a Condition> {
    definition.status.conditions.iter().find(|condition| condition.r#type == r#type)
}

/// Whether the condition of that type is true.
pub fn is_true(definition: &CustomResourceDefinition, r#type: &str) -> bool {
    find(definition, r#type).is_some_and(|condition| condition.status == "True")
}

/// Sets the condition of the same type; its transition is now where its status changes. True: something changed.
pub fn set(definition: &mut CustomResourceDefinition, mut wanted: Condition, now: Time) -> bool {
    let all = &mut definition.status.conditions;
    let Some(found) = all.iter_mut().find(|condition| condition.r#type == wanted.r#type) else {
        wanted.last_transition_time = now;
        all.push(wanted);
        return true;
    };
    wanted.last_transition_time = if found.status == wanted.status { found.last_transition_time } else { now };
    wanted.observed_generation = found.observed_generation;
    let changed = *found != wanted;
    *found = wanted;
    changed
}
