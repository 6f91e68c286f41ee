//! Whether somebody's rules cover others, and how what they do not cover is told: pure.

use std::collections::BTreeSet;

use proto::rbac::v1::PolicyRule;

use super::rule::url_covers;

const ALL: &str = "*";

/// The parts of `wanted` that no rule of `owned` covers, one thing to one verb each.
pub fn missing(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !owned.iter().any(|rule| covers(rule, part))).collect()
}

/// One rule for each thing and verb that a rule names.
fn parts(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut parts = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let part = PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..PolicyRule::default()
                };
                match rule.resource_names.as_slice() {
                    [] => parts.push(part),
                    names => {
                        parts.extend(
                            names.iter().map(|name| PolicyRule { resource_names: vec![name.clone()], ..part.clone() }),
                        );
                    }
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            let (verbs, non_resource_urls) = (vec![verb.clone()], vec![url.clone()]);
            parts.push(PolicyRule { verbs, non_resource_urls, ..PolicyRule::default() });
        }
    }
    parts
}

/// Whether a rule allows all that `part`, one of [`parts`], allows.
fn covers(rule: &PolicyRule, part: &PolicyRule) -> bool {
    let all = |list: &[String], wanted: &[String]| {
        list.iter().any(|item| item == ALL) || wanted.iter().all(|item| list.contains(item))
    };
    let names = rule.resource_names.is_empty()
        || (!part.resource_names.is_empty()
            && part.resource_names.iter().all(|name| rule.resource_names.contains(name)));
    all(&rule.verbs, &part.verbs)
        && all(&rule.api_groups, &part.api_groups)
        && part.resources.iter().all(|resource| covers_resource(&rule.resources, resource))
        && part.non_resource_urls.iter().all(|url| rule.non_resource_urls.iter().any(|rule| url_covers(rule, url)))
        && names
}

fn covers_resource(rules: &[String], wanted: &str) -> bool {
    let below = wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
    rules.iter().any(|rule| rule == ALL || rule == wanted || below.as_ref() == Some(rule))
}

/// The parts as upstream lists them: a line for each resource with all its verbs, in order of the text.
pub fn describe(missing: &[PolicyRule]) -> Vec<String> {
    let mut rules: Vec<PolicyRule> = Vec::new();
    for part in missing {
        let same = |rule: &&mut PolicyRule| {
            !part.resources.is_empty()
                && rule.api_groups == part.api_groups
                && rule.resources == part.resources
                && rule.resource_names == part.resource_names
        };
        match rules.iter_mut().find(same) {
            Some(rule) => rule.verbs.extend(part.verbs.iter().cloned()),
            None => rules.push(part.clone()),
        }
    }
    let lines: BTreeSet<String> = rules.iter().map(text).collect();
    lines.into_iter().collect()
}

fn text(rule: &PolicyRule) -> String {
    let fields = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let given = fields.iter().filter(|(_, list)| !list.is_empty());
    let texts: Vec<String> = given.map(|(name, list)| format!("{name}:{}", quoted(list))).collect();
    format!("{{{}}}", texts.join(", "))
}

/// `["a" "b"]`, as upstream prints lists.
pub fn quoted(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(" "))
}
