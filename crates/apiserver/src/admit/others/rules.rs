//! Which requests a rule of a webhook or of a policy is about.

use proto::admissionregistration::v1::RuleWithOperations;

use super::attributes::{Attributes, Named};

const ANY: &str = "*";

/// Whether the rule is about the request, were it one for `resource`.
pub fn matches(rule: &RuleWithOperations, asked: &Attributes<'_>, resource: Named<'_>) -> bool {
    let names = |list: &[String], wanted: &str| list.iter().any(|item| item == ANY || item == wanted);
    let what = &rule.rule;
    names(&rule.operations, asked.operation.name())
        && names(&what.api_groups, resource.group)
        && names(&what.api_versions, resource.version)
        && what.resources.iter().any(|pattern| is_of(pattern, resource.plural, asked.subresource))
        && in_scope(what.scope.as_deref(), asked)
}

/// `pods`, `pods/log`, `pods/*`, `*/scale`, `*` (no subresources) and `*/*`.
fn is_of(pattern: &str, plural: &str, subresource: &str) -> bool {
    let (resource, sub) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == ANY || resource == plural) && (sub == ANY || sub == subresource)
}

/// A Namespace is cluster-scoped, though its request names a namespace: itself.
fn in_scope(scope: Option<&str>, asked: &Attributes<'_>) -> bool {
    let in_namespace = !asked.is_namespace() && !asked.namespace.is_empty();
    match scope {
        None | Some("" | ANY) => true,
        Some("Namespaced") => in_namespace,
        Some("Cluster") => !in_namespace,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proto::admissionregistration::v1::Rule;

    use super::super::attributes::Operation;
    use super::super::attributes::tests::asked;
    use super::*;

    /// `operations groups versions resources [scope]`, lists with commas; `core` is the empty group.
    fn rule(text: &str) -> RuleWithOperations {
        let words: Vec<&str> = text.split(' ').collect();
        let list = |at: usize| -> Vec<String> {
            words[at].split(',').map(|word| if word == "core" { String::new() } else { word.to_owned() }).collect()
        };
        RuleWithOperations {
            operations: list(0),
            rule: Rule {
                api_groups: list(1),
                api_versions: list(2),
                resources: list(3),
                scope: words.get(4).map(|&scope| scope.to_owned()),
            },
        }
    }

    #[track_caller]
    fn check(text: &str, operation: Operation, path: &str, expect: bool) {
        let user = crate::authenticate::User::default();
        let attributes = asked(&user, operation, path);
        assert_eq!(matches(&rule(text), &attributes, attributes.resource), expect, "{text}: {path}");
    }

    #[test]
    fn a_rule_names_operations_groups_versions_and_resources() {
        use Operation::{Connect, Create, Delete, Update};
        check("CREATE core v1 pods", Create, "core/v1/pods/default/p", true);
        check("CREATE core v1 pods", Update, "core/v1/pods/default/p", false);
        check("UPDATE,DELETE core v1 pods", Delete, "core/v1/pods/default/p", true);
        check("* core v1 pods", Connect, "core/v1/pods/default/p/exec", false);
        check("* core v1 pods/exec", Connect, "core/v1/pods/default/p/exec", true);
        check("CREATE apps v1 pods", Create, "core/v1/pods/default/p", false);
        check("CREATE * v1 pods", Create, "core/v1/pods/default/p", true);
        check("CREATE apps v1,v2 deployments", Create, "apps/v1/deployments/default/d", true);
        check("CREATE apps v2 deployments", Create, "apps/v1/deployments/default/d", false);
        check("CREATE apps * deployments", Create, "apps/v1/deployments/default/d", true);
    }

    #[test]
    fn a_star_is_every_resource_and_no_subresource() {
        use Operation::Update;
        check("* * * *", Update, "core/v1/pods/default/p", true);
        check("* * * *", Update, "core/v1/pods/default/p/status", false);
        check("* * * */*", Update, "core/v1/pods/default/p", true);
        check("* * * */*", Update, "core/v1/pods/default/p/status", true);
        check("* * * pods/*", Update, "core/v1/pods/default/p", true);
        check("* * * pods/*", Update, "core/v1/pods/default/p/status", true);
        check("* * * pods/*", Update, "core/v1/nodes//n/status", false);
        check("* * * */status", Update, "core/v1/nodes//n/status", true);
        check("* * * */status", Update, "core/v1/nodes//n", false);
    }

    #[test]
    fn a_namespace_is_in_the_cluster() {
        use Operation::Create;
        check("* * * * Namespaced", Create, "core/v1/pods/default/p", true);
        check("* * * * Cluster", Create, "core/v1/pods/default/p", false);
        check("* * * * Namespaced", Create, "core/v1/nodes//n", false);
        check("* * * * Cluster", Create, "core/v1/nodes//n", true);
        check("* * * * Namespaced", Create, "core/v1/namespaces/a/a", false);
        check("* * * * Cluster", Create, "core/v1/namespaces/a/a", true);
        check("* * * * *", Create, "core/v1/namespaces/a/a", true);
    }
}
