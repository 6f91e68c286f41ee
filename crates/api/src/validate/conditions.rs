//! Validation of conditions in the form that newer kinds share (metav1.Condition).

use proto::meta::v1::Condition;

use super::check::{Errors, not_negative, one_of, shape};
use super::{FieldError, Path};
use crate::name;

const REASON_BYTES_MAX: usize = 1024;
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

pub fn list(errors: &mut Errors, path: Path<'_>, conditions: &[Condition]) {
    for (index, condition) in conditions.iter().enumerate() {
        if conditions[..index].iter().any(|other| other.r#type == condition.r#type) {
            errors.push(FieldError::duplicate(path.index(index).child("type"), &condition.r#type));
        }
        one(errors, path.index(index), condition);
    }
}

fn one(errors: &mut Errors, path: Path<'_>, condition: &Condition) {
    if condition.r#type.is_empty() {
        errors.push(FieldError::required(path.child("type"), ""));
    } else {
        shape(errors, path.child("type"), &condition.r#type, name::qualified_name);
    }
    one_of(errors, path.child("status"), &condition.status, &["False", "True", "Unknown"]);
    not_negative(errors, path.child("observedGeneration"), condition.observed_generation);
    if condition.last_transition_time == proto::time::Time::default() {
        errors.push(FieldError::required(path.child("lastTransitionTime"), "must be set"));
    }
    let reason = &condition.reason;
    if reason.is_empty() {
        errors.push(FieldError::required(path.child("reason"), ""));
    } else if !is_reason(reason) {
        let why = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
        errors.push(FieldError::invalid(path.child("reason"), reason, why));
    }
    if reason.len() > REASON_BYTES_MAX {
        errors.push(FieldError::too_long(path.child("reason"), REASON_BYTES_MAX));
    }
    if condition.message.len() > MESSAGE_BYTES_MAX {
        errors.push(FieldError::too_long(path.child("message"), MESSAGE_BYTES_MAX));
    }
}

fn is_reason(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let ends = text.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    begins && ends && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_,:".contains(&byte))
}
