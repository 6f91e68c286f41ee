//! Roles decoded once per revision, and bindings by whom they name: what a check looks up.

use std::collections::HashMap;
use std::sync::Arc;

use proto::rbac::v1::{PolicyRule, RoleRef, Subject};

use super::Attributes;
use super::rule;
use crate::authenticate::User;

const CLUSTER_ROLE: &str = "ClusterRole";
type Rules = Arc<[PolicyRule]>;

/// A RoleBinding, or with an empty namespace a ClusterRoleBinding.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    pub name: String,
    pub namespace: String,
    pub role: RoleRef,
    pub subjects: Vec<Subject>,
}

impl Binding {
    /// `ClusterRoleBinding "b" of ClusterRole "r" to User "u"`.
    pub fn describe(&self, subject: usize) -> String {
        let (kind, name) = match self.namespace.as_str() {
            "" => ("ClusterRoleBinding", self.name.clone()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.name)),
        };
        let to = self.subjects.get(subject).map(|subject| self.subject(subject)).unwrap_or_default();
        format!("{kind} \"{name}\" of {} \"{}\" to {to}", self.role.kind, self.role.name)
    }

    fn subject(&self, subject: &Subject) -> String {
        let Subject { kind, name, .. } = subject;
        match kind.as_str() {
            "ServiceAccount" => format!("{kind} \"{name}/{}\"", self.namespace_of(subject)),
            _ => format!("{kind} \"{name}\""),
        }
    }

    fn namespace_of<'a>(&'a self, subject: &'a Subject) -> &'a str {
        if subject.namespace.is_empty() { &self.namespace } else { &subject.namespace }
    }

    /// The user or the group that a subject stands for.
    fn principal(&self, subject: &Subject) -> Option<Principal> {
        match subject.kind.as_str() {
            "User" => Some(Principal::User(subject.name.as_str().into())),
            "Group" => Some(Principal::Group(subject.name.as_str().into())),
            "ServiceAccount" => {
                let namespace = self.namespace_of(subject);
                let name = format!("system:serviceaccount:{namespace}:{}", subject.name);
                (!namespace.is_empty()).then(|| Principal::User(name.into()))
            }
            _ => None,
        }
    }
}

enum Principal {
    User(Box<str>),
    Group(Box<str>),
}

/// A binding, and which of its subjects is meant.
type Bound = (Arc<Binding>, usize);

/// The bindings of one namespace, or of the cluster scope.
#[derive(Debug, Default)]
struct Bindings {
    by_name: HashMap<Box<str>, Arc<Binding>>,
    users: HashMap<Box<str>, Vec<Bound>>,
    groups: HashMap<Box<str>, Vec<Bound>>,
}

impl Bindings {
    fn put(&mut self, binding: Binding) {
        self.remove(&binding.name);
        let binding = Arc::new(binding);
        for (at, subject) in binding.subjects.iter().enumerate() {
            let list = match binding.principal(subject) {
                Some(Principal::User(name)) => self.users.entry(name).or_default(),
                Some(Principal::Group(name)) => self.groups.entry(name).or_default(),
                None => continue,
            };
            let place = list.partition_point(|(other, _)| other.name <= binding.name);
            list.insert(place, (Arc::clone(&binding), at));
        }
        self.by_name.insert(binding.name.as_str().into(), binding);
    }

    fn remove(&mut self, name: &str) {
        let Some(binding) = self.by_name.remove(name) else { return };
        for subject in &binding.subjects {
            let (map, key) = match binding.principal(subject) {
                Some(Principal::User(name)) => (&mut self.users, name),
                Some(Principal::Group(name)) => (&mut self.groups, name),
                None => continue,
            };
            if let Some(list) = map.get_mut(&key) {
                list.retain(|(other, _)| other.name != name);
                if list.is_empty() {
                    map.remove(&key);
                }
            }
        }
    }

    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Bound> {
        let named = self.users.get(user.name.as_str()).into_iter().flatten();
        named.chain(user.groups.iter().filter_map(|group| self.groups.get(group.as_str())).flatten())
    }
}

/// Every role and every binding.
#[derive(Debug, Default)]
pub struct Index {
    cluster_roles: HashMap<Box<str>, Rules>,
    roles: HashMap<Box<str>, HashMap<Box<str>, Rules>>,
    cluster_bindings: Bindings,
    bindings: HashMap<Box<str>, Bindings>,
}

impl Index {
    /// A role is there, or changed; with an empty namespace a ClusterRole.
    pub fn put_role(&mut self, namespace: &str, name: &str, rules: Vec<PolicyRule>) {
        let map = match namespace {
            "" => &mut self.cluster_roles,
            namespace => self.roles.entry(namespace.into()).or_default(),
        };
        map.insert(name.into(), rules.into());
    }

    /// A role is gone.
    pub fn remove_role(&mut self, namespace: &str, name: &str) {
        if namespace.is_empty() {
            self.cluster_roles.remove(name);
        } else if let Some(roles) = self.roles.get_mut(namespace) {
            roles.remove(name);
            if roles.is_empty() {
                self.roles.remove(namespace);
            }
        }
    }

    /// A binding is there, or changed.
    pub fn put_binding(&mut self, binding: Binding) {
        match binding.namespace.as_str() {
            "" => self.cluster_bindings.put(binding),
            namespace => self.bindings.entry(namespace.into()).or_default().put(binding),
        }
    }

    /// A binding is gone.
    pub fn remove_binding(&mut self, namespace: &str, name: &str) {
        if namespace.is_empty() {
            self.cluster_bindings.remove(name);
        } else if let Some(bindings) = self.bindings.get_mut(namespace) {
            bindings.remove(name);
            if bindings.by_name.is_empty() {
                self.bindings.remove(namespace);
            }
        }
    }

    /// Forgets all roles of the cluster scope, or all others.
    pub fn clear_roles(&mut self, cluster: bool) {
        if cluster { self.cluster_roles.clear() } else { self.roles.clear() }
    }

    /// Forgets all bindings of the cluster scope, or all others.
    pub fn clear_bindings(&mut self, cluster: bool) {
        if cluster { self.cluster_bindings = Bindings::default() } else { self.bindings.clear() }
    }

    /// The rules of a role.
    pub fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<Rules> {
        self.rules(kind, namespace, name).cloned()
    }

    fn rules(&self, kind: &str, namespace: &str, name: &str) -> Option<&Rules> {
        match kind {
            CLUSTER_ROLE => self.cluster_roles.get(name),
            _ => self.roles.get(namespace)?.get(name),
        }
    }

    /// The binding that allows it. The error tells which roles are missing that might have; empty: none.
    pub fn find(&self, user: &User, attributes: &Attributes<'_>) -> Result<Bound, String> {
        // Paths have no namespace: only what is bound at the cluster scope counts.
        let namespace = if attributes.path.is_empty() { attributes.namespace } else { "" };
        let mut missing = Vec::new();
        for bound in self.bound(user, namespace) {
            let role = &bound.0.role;
            match self.rules(&role.kind, &bound.0.namespace, &role.name) {
                Some(rules) if rule::any_allows(rules, attributes) => return Ok(bound.clone()),
                Some(_) => {}
                None => missing.push(not_found(role)),
            }
        }
        Err(match missing.as_slice() {
            [] => String::new(),
            missing => format!("RBAC: {}", together(missing)),
        })
    }

    /// Every rule that the user has there, and the roles that are missing.
    pub fn rules_of(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let (mut rules, mut missing) = (Vec::new(), Vec::new());
        for (binding, _) in self.bound(user, namespace) {
            match self.rules(&binding.role.kind, &binding.namespace, &binding.role.name) {
                Some(found) => rules.extend(found.iter().cloned()),
                None => missing.push(not_found(&binding.role)),
            }
        }
        (rules, missing)
    }

    fn bound<'a>(&'a self, user: &'a User, namespace: &str) -> impl Iterator<Item = &'a Bound> {
        let local = self.bindings.get(namespace).filter(|_| !namespace.is_empty());
        self.cluster_bindings.of(user).chain(local.into_iter().flat_map(|bindings| bindings.of(user)))
    }
}

fn not_found(role: &RoleRef) -> String {
    format!("{}.rbac.authorization.k8s.io \"{}\" not found", role.kind.to_ascii_lowercase(), role.name)
}

/// Several texts as upstream puts them together.
pub fn together(texts: &[String]) -> String {
    match texts {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
