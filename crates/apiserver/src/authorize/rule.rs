//! Whether one rule of a role allows a request: pure, without allocation.

use proto::rbac::v1::PolicyRule;

use super::Attributes;

const ALL: &str = "*";

/// Whether any of the rules allows it.
pub fn any_allows(rules: &[PolicyRule], attributes: &Attributes<'_>) -> bool {
    rules.iter().any(|rule| allows(rule, attributes))
}

/// Whether the rule allows it.
pub fn allows(rule: &PolicyRule, attributes: &Attributes<'_>) -> bool {
    if !has(&rule.verbs, attributes.verb) {
        return false;
    }
    if !attributes.path.is_empty() {
        return rule.non_resource_urls.iter().any(|url| url_covers(url, attributes.path));
    }
    has(&rule.api_groups, attributes.group)
        && rule.resources.iter().any(|resource| resource_covers(resource, attributes.resource, attributes.subresource))
        && (rule.resource_names.is_empty() || rule.resource_names.iter().any(|name| name == attributes.name))
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == ALL || item == wanted)
}

/// `*`, `pods`, `pods/status` and `*/scale` are what rules can say. `pods/*` is no pattern, as upstream has it.
pub(super) fn resource_covers(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == ALL {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    rule.split_once('/').is_some_and(|(left, right)| right == subresource && (left == ALL || left == resource))
}

/// `*`, `/healthz`, and `/apis/*` for everything that begins so.
pub(super) fn url_covers(rule: &str, path: &str) -> bool {
    rule == ALL || rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}
