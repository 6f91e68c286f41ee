//! Who may do what: upstream's authorizers Node and RBAC, asked in this order; the first that allows decides.
//!
//! [`Access`] is what they know. It hears of every change of a watch cache before any watcher does, so that who sees
//! a pod on its node may read the pod's secrets. A check takes microseconds and allocates nothing while it allows.

pub mod cover;
pub mod grant;
mod graph;
mod index;
mod node;
mod observe;
pub mod references;
pub mod rule;

use std::sync::Arc;

use parking_lot::RwLock;
use proto::rbac::v1::PolicyRule;

use crate::authenticate::User;
use crate::registry::Registry;
use crate::server::Server;
use crate::status::{Failure, Result, qualified};
use graph::Graph;
use index::{Binding, Index};

/// Members may do everything, whatever roles say.
pub const MASTERS: &str = "system:masters";

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a> {
    /// get, list, watch, create, update, patch, delete, deletecollection, and verbs without a request: bind, escalate,
    /// impersonate. Of paths: an HTTP method in lower case.
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty: cluster-scoped, or all namespaces.
    pub namespace: &'a str,
    /// Empty where no single object is meant.
    pub name: &'a str,
    /// The field selector of a list, watch or deletion of many, as it was sent.
    pub fields: &'a str,
    /// What is asked for where it is no resource: `/metrics`. Empty otherwise; then nothing else but the verb counts.
    pub path: &'a str,
}

impl Attributes<'_> {
    /// `pods/status`.
    fn resource_path(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// As upstream refuses it: `User "u" cannot get resource "pods" in API group "" in the namespace "n"`.
    fn refusal(&self, user: &User) -> String {
        let (name, verb) = (&user.name, self.verb);
        if !self.path.is_empty() {
            return format!("User \"{name}\" cannot {verb} path \"{}\"", self.path);
        }
        let place = match self.namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let (resource, group) = (self.resource_path(), self.group);
        format!("User \"{name}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}")
    }
}

/// The object that a field selector names: with it, a list or a watch is judged like a reading of that object.
pub fn name_in(fields: &str) -> String {
    let selector = api::selector::fields::Selector::parse(fields).unwrap_or_default();
    let name = selector.required_value("metadata.name").unwrap_or_default();
    // What cannot be a step of a path is no name.
    if name.contains(['/', '%']) || matches!(name, "." | "..") { String::new() } else { name.to_owned() }
}

/// The verdict.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    why: Why,
}

#[derive(Debug, Clone)]
enum Why {
    Nothing,
    Text(String),
    Subject(Arc<Binding>, usize),
}

impl Verdict {
    fn allowed(why: Why) -> Self {
        Self { allowed: true, why }
    }

    /// Which binding allows it, or what was amiss; empty where there is nothing to say.
    pub fn reason(&self) -> String {
        match &self.why {
            Why::Nothing => String::new(),
            Why::Text(text) => text.clone(),
            Why::Subject(binding, subject) => format!("RBAC: allowed by {}", binding.describe(*subject)),
        }
    }
}

/// What the authorizers know: roles and bindings, and which objects concern which node.
#[derive(Debug)]
pub struct Access {
    index: RwLock<Index>,
    graph: RwLock<Graph>,
    /// What every node may do, where it depends on no object.
    node_rules: Vec<PolicyRule>,
}

impl Access {
    /// Knows nobody yet. `node_rules` are those of upstream's role `system:node`.
    pub fn new(node_rules: Vec<PolicyRule>) -> Self {
        Self { index: RwLock::default(), graph: RwLock::default(), node_rules }
    }

    /// Follows the caches of roles, bindings, and of what nodes read because of pods.
    pub fn follow(self: &Arc<Self>, registry: &Registry) {
        observe::follow(self, registry);
    }

    /// Judges.
    pub fn judge(&self, user: &User, attributes: &Attributes<'_>) -> Verdict {
        if user.is_in(MASTERS) {
            return Verdict::allowed(Why::Nothing);
        }
        let node = match user.node() {
            Some(_) => node::judge(&self.graph.read(), &self.node_rules, user, attributes),
            None => None,
        };
        if let Some(node::Opinion::Allowed) = node {
            return Verdict::allowed(Why::Nothing);
        }
        let found = self.index.read().find(user, attributes);
        match found {
            Ok((binding, subject)) => Verdict::allowed(Why::Subject(binding, subject)),
            Err(missing) => {
                let node = match node {
                    Some(node::Opinion::Refused(why)) => why,
                    _ => String::new(),
                };
                let reasons: Vec<String> = [node, missing].into_iter().filter(|text| !text.is_empty()).collect();
                let why = if reasons.is_empty() { Why::Nothing } else { Why::Text(reasons.join("\n")) };
                Verdict { allowed: false, why }
            }
        }
    }

    /// The rules that the user has at the cluster scope and in the namespace, and the roles that are missing.
    pub fn rules_of(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        self.index.read().rules_of(user, namespace)
    }

    /// The rules of a role; none where there is no such role. `namespace` counts for kind Role only.
    pub fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<[PolicyRule]>> {
        self.index.read().role(kind, namespace, name)
    }
}

/// Judges.
pub fn judge(server: &Server, user: &User, attributes: &Attributes<'_>) -> Verdict {
    server.access.judge(user, attributes)
}

/// Refuses what is not allowed.
pub fn check(server: &Server, user: &User, attributes: &Attributes<'_>) -> Result<()> {
    check_with(&server.access, user, attributes)
}

/// Refuses a path that is not allowed. `verb`: the HTTP method in lower case.
pub fn check_path(server: &Server, user: &User, verb: &str, path: &str) -> Result<()> {
    check(server, user, &Attributes { verb, path, ..Attributes::default() })
}

fn check_with(access: &Access, user: &User, attributes: &Attributes<'_>) -> Result<()> {
    let verdict = access.judge(user, attributes);
    if verdict.allowed {
        return Ok(());
    }
    let mut why = attributes.refusal(user);
    let reason = verdict.reason();
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    let Attributes { verb, group, resource, namespace, name, path, .. } = *attributes;
    tracing::debug!(user = user.name, verb, resource = qualified(group, resource), namespace, path, "forbidden");
    match path {
        "" => Err(Failure::forbidden(group, resource, name, &why)),
        _ => Err(Failure::forbidden("", "", "", &why)),
    }
}

#[cfg(test)]
mod tests;
