//! Validation of FlowSchemas and PriorityLevelConfigurations.

use proto::flowcontrol::v1::{
    FlowSchema, LimitResponse, LimitedPriorityLevelConfiguration, NonResourcePolicyRule, PolicyRulesWithSubjects,
    PriorityLevelConfiguration, QueuingConfiguration, ResourcePolicyRule, Subject,
};

use super::check::{Errors, one_of, shape};
use super::{FieldError, Path};
use crate::name;

const SPEC: Path<'static> = Path::root("spec");
/// The schema, and the level, of requests that are never queued.
const EXEMPT: &str = "exempt";
const PRECEDENCE_MAX: i32 = 10_000;
const QUEUES_MAX: i32 = 10_000_000;
/// Bits of a hash that dealing a hand takes.
const ENTROPY_BITS_MAX: f64 = 60.0;
const VERBS: &[&str] =
    &["*", "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const NON_RESOURCE_VERBS: &[&str] =
    &["*", "connect", "delete", "get", "head", "options", "patch", "post", "put", "trace"];

pub fn schema(errors: &mut Errors, schema: &FlowSchema) {
    let spec = &schema.spec;
    let path = SPEC.child("matchingPrecedence");
    let precedence = spec.matching_precedence;
    if precedence <= 0 {
        errors.push(FieldError::invalid(path, precedence, "must be a positive value"));
    }
    if precedence > PRECEDENCE_MAX {
        errors.push(FieldError::invalid(path, precedence, format!("must not be greater than {PRECEDENCE_MAX}")));
    }
    if precedence == 1 && schema.metadata.name != EXEMPT {
        let why = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(FieldError::invalid(path, precedence, why));
    }
    if let Some(method) = &spec.distinguisher_method {
        one_of(errors, SPEC.child("distinguisherMethod"), &method.r#type, &["ByNamespace", "ByUser"]);
    }
    let path = SPEC.child("priorityLevelConfiguration");
    let level = &spec.priority_level_configuration.name;
    if level.is_empty() {
        errors.push(FieldError::required(path.child("name"), "must reference a priority level"));
    } else {
        shape(errors, path.child("name"), level, name::dns_subdomain);
    }
    let path = SPEC.child("rules");
    for (index, rule) in spec.rules.iter().enumerate() {
        rules(errors, path.index(index), rule);
    }
}

fn rules(errors: &mut Errors, path: Path<'_>, rules: &PolicyRulesWithSubjects) {
    let at = path.child("subjects");
    if rules.subjects.is_empty() {
        errors.push(FieldError::required(at, "subjects must contain at least one value"));
    }
    for (index, subject) in rules.subjects.iter().enumerate() {
        self::subject(errors, at.index(index), subject);
    }
    if rules.resource_rules.is_empty() && rules.non_resource_rules.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, why));
    }
    let at = path.child("resourceRules");
    for (index, rule) in rules.resource_rules.iter().enumerate() {
        resource_rule(errors, at.index(index), rule);
    }
    let at = path.child("nonResourceRules");
    for (index, rule) in rules.non_resource_rules.iter().enumerate() {
        non_resource_rule(errors, at.index(index), rule);
    }
}

fn subject(errors: &mut Errors, path: Path<'_>, subject: &Subject) {
    let given = [
        ("serviceAccount", "ServiceAccount", subject.service_account.is_some()),
        ("user", "User", subject.user.is_some()),
        ("group", "Group", subject.group.is_some()),
    ];
    if !given.iter().any(|(_, kind, _)| *kind == subject.kind) {
        one_of(errors, path.child("kind"), &subject.kind, &["Group", "ServiceAccount", "User"]);
        return;
    }
    for (field, kind, given) in given {
        match (kind == subject.kind, given) {
            (true, false) => {
                let why = format!("{field} is required when subject kind is '{kind}'");
                errors.push(FieldError::required(path.child(field), why));
            }
            (false, true) => {
                let why = format!("{field} is forbidden when subject kind is not '{kind}'");
                errors.push(FieldError::forbidden(path.child(field), why));
            }
            (true, true) => subject_name(errors, path.child(field), subject),
            (false, false) => {}
        }
    }
}

fn subject_name(errors: &mut Errors, path: Path<'_>, subject: &Subject) {
    match (&subject.service_account, &subject.user, &subject.group) {
        (Some(account), ..) if subject.kind == "ServiceAccount" => {
            if account.name.is_empty() {
                errors.push(FieldError::required(path.child("name"), ""));
            } else if account.name != "*" {
                shape(errors, path.child("name"), &account.name, name::dns_subdomain);
            }
            if account.namespace.is_empty() {
                let why = "must specify namespace for service account";
                errors.push(FieldError::required(path.child("namespace"), why));
            } else {
                shape(errors, path.child("namespace"), &account.namespace, name::dns_label);
            }
        }
        (_, Some(user), _) if subject.kind == "User" && user.name.is_empty() => {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        (_, _, Some(group)) if subject.kind == "Group" && group.name.is_empty() => {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        _ => {}
    }
}

/// A list that is there, and where `*` stands alone.
fn list(errors: &mut Errors, path: Path<'_>, items: &Vec<String>, missing: &str, what: &str) {
    if items.is_empty() {
        errors.push(FieldError::required(path, missing));
    } else if items.len() > 1 && items.iter().any(|item| item == "*") {
        let why = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path, items, why));
    }
}

fn verbs(errors: &mut Errors, path: Path<'_>, verbs: &Vec<String>, known: &[&str]) {
    list(errors, path, verbs, "verbs must contain at least one value", "verbs");
    if verbs.iter().any(|verb| !known.contains(&verb.as_str())) {
        errors.push(FieldError::not_supported(path, verbs, known));
    }
}

fn resource_rule(errors: &mut Errors, path: Path<'_>, rule: &ResourcePolicyRule) {
    verbs(errors, path.child("verbs"), &rule.verbs, VERBS);
    let missing = "resource rules must supply at least one api group";
    list(errors, path.child("apiGroups"), &rule.api_groups, missing, "api groups");
    let missing = "resource rules must supply at least one resource";
    list(errors, path.child("resources"), &rule.resources, missing, "resources");
    let at = path.child("namespaces");
    if !rule.cluster_scope || !rule.namespaces.is_empty() {
        let missing = "resource rules that are not cluster scoped must supply at least one namespace";
        list(errors, at, &rule.namespaces, missing, "namespaces");
    }
    for (index, namespace) in rule.namespaces.iter().enumerate().filter(|(_, namespace)| namespace.as_str() != "*") {
        shape(errors, at.index(index), namespace, name::dns_label);
    }
}

fn non_resource_rule(errors: &mut Errors, path: Path<'_>, rule: &NonResourcePolicyRule) {
    verbs(errors, path.child("verbs"), &rule.verbs, NON_RESOURCE_VERBS);
    let at = path.child("nonResourceURLs");
    let missing = "nonResourceURLs must contain at least one value";
    list(errors, at, &rule.non_resource_urls, missing, "non-resource URLs");
    for (index, url) in rule.non_resource_urls.iter().enumerate().filter(|(_, url)| url.as_str() != "*") {
        let why = if url.is_empty() {
            "must not be empty"
        } else if !url.starts_with('/') {
            "must start with slash"
        } else if url.contains(' ') {
            "must not contain white-space"
        } else if url.contains("//") {
            "must not contain double slash"
        } else if url.contains('*') && (!url.ends_with("/*") || url.matches('*').count() > 1) {
            "wildcard can only do suffix matching"
        } else {
            continue;
        };
        errors.push(FieldError::invalid(at.index(index), url, why));
    }
}

pub fn level(errors: &mut Errors, level: &PriorityLevelConfiguration) {
    let spec = &level.spec;
    if (level.metadata.name == EXEMPT) != (spec.r#type == "Exempt") {
        let why = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(FieldError::invalid(SPEC.child("type"), &spec.r#type, why));
    }
    match spec.r#type.as_str() {
        "Exempt" => {
            if spec.limited.is_some() {
                let why = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(SPEC.child("limited"), why));
            }
            let Some(exempt) = &spec.exempt else { return };
            let path = SPEC.child("exempt");
            shares(errors, path, exempt.nominal_concurrency_shares, exempt.lendable_percent);
        }
        "Limited" => {
            if spec.exempt.is_some() {
                let why = "must be nil if the type is Limited";
                errors.push(FieldError::forbidden(SPEC.child("exempt"), why));
            }
            match &spec.limited {
                None => {
                    errors.push(FieldError::required(SPEC.child("limited"), "must not be empty when type is Limited"))
                }
                Some(limited) => self::limited(errors, SPEC.child("limited"), limited),
            }
        }
        other => one_of(errors, SPEC.child("type"), other, &["Exempt", "Limited"]),
    }
}

fn shares(errors: &mut Errors, path: Path<'_>, shares: Option<i32>, lendable: Option<i32>) {
    if let Some(shares) = shares.filter(|shares| *shares < 0) {
        let why = "must be a non-negative integer";
        errors.push(FieldError::invalid(path.child("nominalConcurrencyShares"), shares, why));
    }
    if let Some(percent) = lendable.filter(|percent| !(0..=100).contains(percent)) {
        let why = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(path.child("lendablePercent"), percent, why));
    }
}

fn limited(errors: &mut Errors, path: Path<'_>, limited: &LimitedPriorityLevelConfiguration) {
    shares(errors, path, limited.nominal_concurrency_shares, None);
    response(errors, path.child("limitResponse"), &limited.limit_response);
    shares(errors, path, None, limited.lendable_percent);
    if let Some(percent) = limited.borrowing_limit_percent.filter(|percent| *percent < 0) {
        let why = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(path.child("borrowingLimitPercent"), percent, why));
    }
}

fn response(errors: &mut Errors, path: Path<'_>, response: &LimitResponse) {
    let at = path.child("queuing");
    match (response.r#type.as_str(), &response.queuing) {
        ("Reject", Some(_)) => {
            errors.push(FieldError::forbidden(at, "must be nil if limited.limitResponse.type is not Limited"));
        }
        ("Reject", None) => {}
        ("Queue", None) => {
            errors.push(FieldError::required(at, "must not be empty if limited.limitResponse.type is Limited"));
        }
        ("Queue", Some(queuing)) => self::queuing(errors, at, queuing),
        (other, _) => one_of(errors, path.child("type"), other, &["Queue", "Reject"]),
    }
}

fn queuing(errors: &mut Errors, path: Path<'_>, queuing: &QueuingConfiguration) {
    let positive = "must be positive";
    if queuing.queue_length_limit <= 0 {
        errors.push(FieldError::invalid(path.child("queueLengthLimit"), queuing.queue_length_limit, positive));
    }
    let queues = queuing.queues;
    if queues <= 0 {
        errors.push(FieldError::invalid(path.child("queues"), queues, positive));
    } else if queues > QUEUES_MAX {
        let why = format!("must not be greater than {QUEUES_MAX}");
        errors.push(FieldError::invalid(path.child("queues"), queues, why));
    }
    let at = path.child("handSize");
    let hand = queuing.hand_size;
    if hand <= 0 {
        errors.push(FieldError::invalid(at, hand, positive));
    } else if hand > queues {
        errors.push(FieldError::invalid(at, hand, format!("should not be greater than queues ({queues})")));
    } else if entropy_bits(queues, hand) > ENTROPY_BITS_MAX {
        let why = format!(
            "required entropy bits of deck size {queues} and hand size {hand} should not be greater than {ENTROPY_BITS_MAX}"
        );
        errors.push(FieldError::invalid(at, hand, why));
    }
}

/// Bits that tell one hand of distinct queues from every other.
fn entropy_bits(queues: i32, hand: i32) -> f64 {
    // No more cards matter than bits are allowed for.
    let dealt = hand.min(64);
    (0..dealt).map(|card| f64::from(queues - card).log2()).sum::<f64>().ceil()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_needs_fewer_bits_than_a_hash_has() {
        assert!(entropy_bits(128, 6) <= ENTROPY_BITS_MAX);
        assert!(entropy_bits(10_000_000, 3) > ENTROPY_BITS_MAX);
        assert!(entropy_bits(i32::MAX, i32::MAX) > ENTROPY_BITS_MAX);
    }
}
