//! The roles and bindings that every cluster has, as data: upstream's ([`UPSTREAM`]), and those of ours for what
//! upstream's do not cover ([`OURS`]). Their form is told at the top of `policy.txt`.

use proto::dynamic::DynObject;
use proto::meta::v1::{LabelSelector, ObjectMeta};
use proto::rbac::v1::{
    AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};

const UPSTREAM: &str = include_str!("policy.txt");
const OURS: &str = include_str!("policy_keelson.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
/// `false` on an object: it is left as its administrator made it.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Controllers run as this one user here, not as a service account each.
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// Every role and binding, roles first.
pub fn objects() -> Vec<Box<dyn DynObject>> {
    let mut objects: Vec<Box<dyn DynObject>> = [UPSTREAM, OURS].into_iter().flat_map(parse).collect();
    let controllers: Vec<_> = objects.iter().filter_map(|object| controller(object.as_ref())).collect();
    objects.extend(controllers);
    objects.sort_by_key(|object| object.info().kind.ends_with("Binding"));
    objects
}

/// The rules of every node that depend on no object: those of upstream's role for nodes.
pub fn node_rules() -> Vec<PolicyRule> {
    let mut roles = parse(UPSTREAM).filter_map(|object| object.downcast_ref::<ClusterRole>().cloned());
    roles.find(|role| role.metadata.name == "system:node").map(|role| role.rules).unwrap_or_default()
}

/// Gives what upstream gives to a controller's service account to the user of all controllers.
fn controller(object: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let mut binding = object.downcast_ref::<ClusterRoleBinding>()?.clone();
    let name = binding.metadata.name.strip_prefix("system:controller:")?;
    binding.metadata.name = format!("system:keelson:controller:{name}");
    let (kind, name, api_group) = ("User".to_owned(), CONTROLLER_MANAGER.to_owned(), GROUP.to_owned());
    binding.subjects = vec![Subject { kind, name, api_group, namespace: String::new() }];
    Some(Box::new(binding))
}

fn parse(text: &'static str) -> impl Iterator<Item = Box<dyn DynObject>> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let paragraphs: Vec<Vec<&str>> = lines.split(|line| line.is_empty()).map(<[&str]>::to_vec).collect();
    paragraphs.into_iter().filter(|lines| !lines.is_empty()).filter_map(|lines| object(lines[0], &lines[1..]))
}

/// What stands below an object's head.
#[derive(Default)]
struct Parts {
    metadata: ObjectMeta,
    rules: Vec<PolicyRule>,
    selectors: Vec<LabelSelector>,
    subjects: Vec<Subject>,
}

fn object(head: &str, lines: &[&str]) -> Option<Box<dyn DynObject>> {
    let words: Vec<&str> = head.split(' ').collect();
    let (namespace, name) = words.get(1)?.split_once('/').unwrap_or(("", words[1]));
    let mut parts = Parts::default();
    parts.metadata.name = name.to_owned();
    parts.metadata.namespace = namespace.to_owned();
    parts.metadata.labels.insert("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".to_owned());
    parts.metadata.annotations.insert(AUTOUPDATE.to_owned(), "true".to_owned());
    for line in lines {
        parts.read(line);
    }
    let Parts { metadata, rules, selectors, subjects } = parts;
    let aggregation_rule = (!selectors.is_empty()).then_some(AggregationRule { cluster_role_selectors: selectors });
    let role_ref = RoleRef {
        api_group: GROUP.to_owned(),
        kind: words.get(3).copied().unwrap_or_default().to_owned(),
        name: words.get(4).copied().unwrap_or_default().to_owned(),
    };
    Some(match words[0] {
        "ClusterRole" => Box::new(ClusterRole { metadata, rules, aggregation_rule }),
        "Role" => Box::new(Role { metadata, rules }),
        "ClusterRoleBinding" => Box::new(ClusterRoleBinding { metadata, subjects, role_ref }),
        "RoleBinding" => Box::new(RoleBinding { metadata, subjects, role_ref }),
        _ => return None,
    })
}

impl Parts {
    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        match words.as_slice() {
            ["label", pair] => self.metadata.labels.extend(pair_of(pair)),
            ["aggregate", pair] => {
                let match_labels = pair_of(pair).into_iter().collect();
                self.selectors.push(LabelSelector { match_labels, ..LabelSelector::default() });
            }
            ["ServiceAccount", place] => {
                let (namespace, name) = place.split_once('/').unwrap_or(("", place));
                let (kind, namespace, name) = ("ServiceAccount".to_owned(), namespace.to_owned(), name.to_owned());
                self.subjects.push(Subject { kind, namespace, name, api_group: String::new() });
            }
            [kind @ ("User" | "Group"), name] => {
                let (kind, name, api_group) = ((*kind).to_owned(), (*name).to_owned(), GROUP.to_owned());
                self.subjects.push(Subject { kind, name, api_group, namespace: String::new() });
            }
            [verbs, "urls", urls] => self.rules.push(PolicyRule {
                verbs: list(verbs),
                non_resource_urls: list(urls),
                ..PolicyRule::default()
            }),
            [verbs, groups, resources, names @ ..] => {
                let core = |group: String| if group == "core" { String::new() } else { group };
                self.rules.push(PolicyRule {
                    verbs: list(verbs),
                    api_groups: list(groups).into_iter().map(core).collect(),
                    resources: list(resources),
                    resource_names: names.iter().flat_map(|names| list(names)).collect(),
                    ..PolicyRule::default()
                });
            }
            _ => {}
        }
    }
}

fn pair_of(text: &str) -> Option<(String, String)> {
    text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(object: &dyn DynObject) -> (String, String, String) {
        let meta = object.metadata();
        (object.info().kind.to_owned(), meta.namespace.clone(), meta.name.clone())
    }

    #[test]
    fn every_line_of_the_tables_is_read() {
        let keys: BTreeSet<_> = objects().iter().map(|object| key(object.as_ref())).collect();
        assert_eq!(keys.len(), objects().len(), "an object is there twice");
        let objects: Vec<_> = [UPSTREAM, OURS].into_iter().flat_map(parse).collect();
        let mut read = 0;
        for object in &objects {
            read += match object.downcast_ref::<ClusterRole>() {
                Some(role) => {
                    let labels = role.metadata.labels.len() - 1;
                    let selectors = role.aggregation_rule.iter().flat_map(|rule| &rule.cluster_role_selectors).count();
                    labels + selectors + role.rules.len()
                }
                None if object.info().kind == "Role" => object.downcast_ref::<Role>().expect("a Role").rules.len(),
                None => subjects(object.as_ref()).len(),
            };
        }
        let lines = UPSTREAM.lines().chain(OURS.lines()).filter(|line| line.starts_with("  ")).count();
        assert_eq!(read, lines);
        assert!(!node_rules().is_empty());
    }

    fn subjects(object: &dyn DynObject) -> &[Subject] {
        match object.downcast_ref::<ClusterRoleBinding>() {
            Some(binding) => &binding.subjects,
            None => &object.downcast_ref::<RoleBinding>().expect("a binding").subjects,
        }
    }

    #[test]
    fn bindings_name_roles_that_are_there() {
        let objects = objects();
        let keys: BTreeSet<_> = objects.iter().map(|object| key(object.as_ref())).collect();
        for object in &objects {
            let role = match (object.downcast_ref::<ClusterRoleBinding>(), object.downcast_ref::<RoleBinding>()) {
                (Some(binding), _) => &binding.role_ref,
                (_, Some(binding)) => &binding.role_ref,
                _ => continue,
            };
            let namespace = if role.kind == "Role" { object.metadata().namespace.clone() } else { String::new() };
            assert!(keys.contains(&(role.kind.clone(), namespace, role.name.clone())), "{role:?}");
        }
    }
}
