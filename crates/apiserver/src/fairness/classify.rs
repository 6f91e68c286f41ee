//! Which FlowSchema a request belongs to, and which flow in it.

use proto::flowcontrol::v1::{FlowSchemaSpec, NonResourcePolicyRule, ResourcePolicyRule, Subject};

use crate::authenticate::User;
use crate::authorize::Attributes;

const ACCOUNT: &str = "system:serviceaccount:";

/// True where one of the schema's rules is about this request of this user.
pub fn matches(spec: &FlowSchemaSpec, user: &User, asked: &Attributes<'_>) -> bool {
    spec.rules.iter().any(|rule| {
        rule.subjects.iter().any(|subject| is_subject(subject, user))
            && match asked.path {
                "" => rule.resource_rules.iter().any(|rule| is_about(rule, asked)),
                _ => rule.non_resource_rules.iter().any(|rule| is_path(rule, asked)),
            }
    })
}

/// What tells the flows of a schema apart.
pub fn distinguisher<'a>(spec: &FlowSchemaSpec, user: &'a User, asked: &Attributes<'a>) -> &'a str {
    match spec.distinguisher_method.as_ref().map(|method| method.r#type.as_str()) {
        Some("ByUser") => &user.name,
        Some("ByNamespace") => asked.namespace,
        _ => "",
    }
}

fn is_subject(subject: &Subject, user: &User) -> bool {
    let Subject { user: named, group, service_account, .. } = subject;
    match subject.kind.as_str() {
        "User" => named.as_ref().is_some_and(|named| named.name == "*" || named.name == user.name),
        "Group" => group.as_ref().is_some_and(|group| group.name == "*" || user.is_in(&group.name)),
        "ServiceAccount" => service_account.as_ref().is_some_and(|account| {
            let named = user.name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once(':'));
            named.is_some_and(|(namespace, name)| {
                account.namespace == namespace && (account.name == "*" || account.name == name)
            })
        }),
        _ => false,
    }
}

fn is_about(rule: &ResourcePolicyRule, asked: &Attributes<'_>) -> bool {
    let in_scope = match asked.namespace {
        "" => rule.cluster_scope,
        namespace => has(&rule.namespaces, namespace),
    };
    in_scope
        && has(&rule.verbs, asked.verb)
        && has(&rule.api_groups, asked.group)
        && rule.resources.iter().any(|resource| resource == "*" || is_resource(resource, asked))
}

/// `pods`, `pods/status`.
fn is_resource(named: &str, asked: &Attributes<'_>) -> bool {
    match asked.subresource {
        "" => named == asked.resource,
        subresource => named.split_once('/') == Some((asked.resource, subresource)),
    }
}

fn is_path(rule: &NonResourcePolicyRule, asked: &Attributes<'_>) -> bool {
    let covers = |named: &String| match named.strip_suffix('*') {
        Some(begin) => asked.path.starts_with(begin),
        None => asked.path == named,
    };
    has(&rule.verbs, asked.verb) && rule.non_resource_urls.iter().any(covers)
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap;
    use super::*;

    fn user(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// The schema of those that every cluster has.
    fn schema(user: &User, asked: &Attributes<'_>) -> String {
        let mut schemas = bootstrap::flow_schemas();
        schemas.sort_by_key(|schema| (schema.spec.matching_precedence, schema.metadata.name.clone()));
        schemas
            .into_iter()
            .find(|schema| matches(&schema.spec, user, asked))
            .expect("there is one for all")
            .metadata
            .name
    }

    #[track_caller]
    fn check(user: &User, asked: Attributes<'_>, expect: &str) {
        assert_eq!(schema(user, &asked), expect);
    }

    #[test]
    fn every_request_has_its_schema() {
        let get_pods = Attributes { verb: "get", resource: "pods", namespace: "n", ..Default::default() };
        let lease = Attributes {
            verb: "update",
            group: "coordination.k8s.io",
            resource: "leases",
            namespace: "kube-system",
            ..Default::default()
        };
        let status = Attributes { verb: "patch", resource: "nodes", subresource: "status", ..Default::default() };
        let path = |path| Attributes { verb: "get", path, ..Default::default() };
        let node = user("system:node:n", &["system:nodes", "system:authenticated"]);
        let account = user("system:serviceaccount:kube-system:a", &["system:serviceaccounts", "system:authenticated"]);
        let other = user("system:serviceaccount:n:a", &["system:serviceaccounts", "system:authenticated"]);
        let alice = user("alice", &["system:authenticated"]);
        check(&user("root", &["system:masters"]), get_pods, "exempt");
        check(&alice, path("/healthz"), "probes");
        check(&alice, path("/healthz/etcd"), "global-default");
        check(&alice, get_pods, "global-default");
        check(&node, get_pods, "system-nodes");
        check(&node, status, "system-node-high");
        check(&node, lease, "system-node-high");
        check(&account, lease, "system-leader-election");
        check(&account, get_pods, "kube-system-service-accounts");
        check(&other, lease, "service-accounts");
        check(&user("system:kube-scheduler", &["system:authenticated"]), get_pods, "kube-scheduler");
    }

    #[test]
    fn flows_are_told_apart_by_user_or_namespace() {
        let alice = user("alice", &[]);
        let asked = Attributes { namespace: "n", ..Default::default() };
        let of = |name: &str| {
            let schemas = bootstrap::flow_schemas();
            let schema = schemas.into_iter().find(|schema| schema.metadata.name == name).expect("it is there");
            distinguisher(&schema.spec, &alice, &asked).to_owned()
        };
        assert_eq!(
            (of("global-default"), of("kube-scheduler"), of("exempt")),
            ("alice".into(), "n".into(), String::new())
        );
    }
}
