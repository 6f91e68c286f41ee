//! Validation of a Job's policies: when its pods' failures count, and when it has succeeded.

use std::collections::BTreeSet;

use proto::batch::v1::{
    JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule, SuccessPolicy, SuccessPolicyRule,
};

use super::check::{Errors, not_negative, one_of_required, shape};
use super::{FieldError, Path};
use crate::name;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const INDEXES_BYTES_MAX: usize = 64 * 1024;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];

pub fn failure(errors: &mut Errors, path: Path<'_>, policy: &PodFailurePolicy, spec: &JobSpec) {
    let rules = path.child("rules");
    if policy.rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(rules, policy.rules.len(), RULES_MAX));
    }
    let pod = &spec.template.spec;
    let names: BTreeSet<&str> =
        pod.containers.iter().chain(&pod.init_containers).map(|container| container.name.as_str()).collect();
    for (index, rule) in policy.rules.iter().enumerate() {
        failure_rule(errors, rules.index(index), rule, spec, &names);
    }
}

fn failure_rule(
    errors: &mut Errors,
    path: Path<'_>,
    rule: &PodFailurePolicyRule,
    spec: &JobSpec,
    names: &BTreeSet<&str>,
) {
    if rule.action == "FailIndex" {
        if spec.backoff_limit_per_index.is_none() {
            let why = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(path.child("action"), &rule.action, why));
        }
    } else {
        one_of_required(errors, path.child("action"), Some(&rule.action), ACTIONS);
    }
    if let Some(codes) = &rule.on_exit_codes {
        exit_codes(errors, path.child("onExitCodes"), codes, names);
    }
    if !rule.on_pod_conditions.is_empty() {
        conditions(errors, path.child("onPodConditions"), &rule.on_pod_conditions);
    }
    match (rule.on_exit_codes.is_some(), rule.on_pod_conditions.is_empty()) {
        (true, false) => {
            errors.push(FieldError::wrong(path, "specifying both OnExitCodes and OnPodConditions is not supported"));
        }
        (false, true) => {
            errors.push(FieldError::wrong(path, "specifying one of OnExitCodes and OnPodConditions is required"));
        }
        _ => {}
    }
}

fn conditions(errors: &mut Errors, path: Path<'_>, patterns: &[PodFailurePolicyOnPodConditionsPattern]) {
    if patterns.len() > RULES_MAX {
        errors.push(FieldError::too_many(path, patterns.len(), RULES_MAX));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let path = path.index(index);
        shape(errors, path.child("type"), &pattern.r#type, name::qualified_name);
        one_of_required(errors, path.child("status"), Some(&pattern.status), &["False", "True", "Unknown"]);
    }
}

fn exit_codes(
    errors: &mut Errors,
    path: Path<'_>,
    codes: &PodFailurePolicyOnExitCodesRequirement,
    names: &BTreeSet<&str>,
) {
    one_of_required(errors, path.child("operator"), Some(&codes.operator), &["In", "NotIn"]);
    if let Some(container) = codes.container_name.as_ref().filter(|name| !names.contains(name.as_str())) {
        let why = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(path.child("containerName"), container, why));
    }
    let path = path.child("values");
    let values = &codes.values;
    if values.is_empty() {
        errors.push(FieldError::invalid(path, values, "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(path, values.len(), EXIT_CODES_MAX));
    }
    for (index, value) in values.iter().enumerate() {
        if codes.operator == "In" && *value == 0 {
            errors.push(FieldError::invalid(path.index(index), *value, "must not be 0 for the In operator"));
        }
        if values[..index].contains(value) {
            errors.push(FieldError::duplicate(path.index(index), *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(path, values, "must be ordered"));
    }
}

pub fn success(errors: &mut Errors, path: Path<'_>, policy: &SuccessPolicy, spec: &JobSpec) {
    let rules = path.child("rules");
    if policy.rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(rules, why));
    }
    if policy.rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(rules, policy.rules.len(), RULES_MAX));
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        success_rule(errors, rules.index(index), rule, spec.completions.unwrap_or_default());
    }
}

fn success_rule(errors: &mut Errors, path: Path<'_>, rule: &SuccessPolicyRule, completions: i32) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        errors.push(FieldError::required(path, "at least one of succeededCount or succeededIndexes must be specified"));
    }
    let mut total = None;
    if let Some(text) = &rule.succeeded_indexes {
        let path = path.child("succeededIndexes");
        if text.len() > INDEXES_BYTES_MAX {
            errors.push(FieldError::too_long(path, INDEXES_BYTES_MAX));
        }
        match indexes(text, completions) {
            Ok(found) => total = Some(found.len()),
            Err(why) => {
                errors.push(FieldError::invalid(path, text, format!("error parsing succeededIndexes: {why}")));
            }
        }
    }
    let Some(count) = rule.succeeded_count else { return };
    let path = path.child("succeededCount");
    not_negative(errors, path, i64::from(count));
    if count > completions {
        let why = format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(FieldError::invalid(path, count, why));
    }
    if let Some(total) = total.filter(|total| usize::try_from(count).is_ok_and(|count| count > *total)) {
        let why = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(path, count, why));
    }
}

/// The indexes in `1,3-5`, each larger than the one before and smaller than `completions`, as ranges whose lengths
/// count; or what is wrong.
pub fn indexes(text: &str, completions: i32) -> Result<Indexes, String> {
    let mut found = Indexes::default();
    if text.is_empty() {
        return Ok(found);
    }
    let number = |text: &str| {
        let value: i32 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if value >= completions {
            return Err(format!("too large index: {text:?}"));
        }
        Ok(value)
    };
    for part in text.split(',') {
        let limits: Vec<&str> = part.split('-').collect();
        let (first, last) = match limits.as_slice() {
            [one] => (number(one)?, number(one)?),
            [first, last] => (number(first)?, number(last)?),
            _ => {
                return Err(format!(
                    "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
                ));
            }
        };
        if found.0.last().is_some_and(|(_, before)| *before >= first) {
            return Err(format!("non-increasing order, current: {first}"));
        }
        if last < first || (limits.len() == 2 && last == first) {
            return Err(format!("non-increasing order, previous: {first}, current: {last}"));
        }
        found.0.push((first, last));
    }
    Ok(found)
}

/// Indexes of completions, as ranges in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    pub fn len(&self) -> usize {
        self.0.iter().map(|(first, last)| usize::try_from(last - first).unwrap_or_default() + 1).sum()
    }

    pub fn overlap(&self, other: &Self) -> bool {
        self.0.iter().any(|one| other.0.iter().any(|two| one.0 <= two.1 && two.0 <= one.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_ordered_and_within_the_completions() {
        assert_eq!(indexes("0,2-4", 5).map(|found| found.len()), Ok(4));
        assert_eq!(indexes("", 5).map(|found| found.len()), Ok(0));
        for text in ["5", "1,1", "3-2", "2-2", "a", "1-2-3", "1,", "-1"] {
            assert!(indexes(text, 5).is_err(), "{text}");
        }
        let (one, two) = (indexes("0-3", 9), indexes("3,5", 9));
        assert!(one.and_then(|one| two.map(|two| one.overlap(&two))).is_ok_and(|overlap| overlap));
    }
}
