//! Nobody grants what he does not have: who writes a role needs its rules himself, or the verb `escalate` on it; who
//! writes a binding needs the rules of its role, or the verb `bind` on it. As upstream, and with its words.

use proto::dynamic::DynObject;
use proto::meta::v1::ObjectMeta;
use proto::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef};

use super::cover::{describe, missing, quoted};
use super::index::together;
use super::{Access, Attributes, MASTERS};
use crate::authenticate::User;
use crate::registry::Resource;
use crate::status::{Failure, Result};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a new or changed role or binding by which the user would grant more than he has. `old`: what it was.
pub fn check(
    access: &Access,
    user: &User,
    resource: &Resource,
    new: &dyn DynObject,
    old: Option<&dyn DynObject>,
) -> Result<()> {
    if resource.row.group != GROUP || user.is_in(MASTERS) {
        return Ok(());
    }
    let writer = Writer { access, user, resource, meta: new.metadata() };
    if old.is_some_and(|old| only_owners_changed(new, old)) {
        return Ok(());
    }
    if let Some(role) = new.downcast_ref::<Role>() {
        let old = old.and_then(|old| old.downcast_ref::<Role>());
        writer.role(&role.rules, old.map(|old| old.rules.as_slice()))
    } else if let Some(role) = new.downcast_ref::<ClusterRole>() {
        writer.cluster_role(role, old.and_then(|old| old.downcast_ref()))
    } else if let Some(binding) = new.downcast_ref::<RoleBinding>() {
        writer.binding(&binding.role_ref)
    } else if let Some(binding) = new.downcast_ref::<ClusterRoleBinding>() {
        writer.binding(&binding.role_ref)
    } else {
        Ok(())
    }
}

/// Owners and finalizers are the garbage collector's; it may hold no rules.
fn only_owners_changed(new: &dyn DynObject, old: &dyn DynObject) -> bool {
    let bare = |object: &dyn DynObject| {
        let mut object = object.clone_box();
        let meta = object.metadata_mut();
        meta.owner_references.clear();
        meta.finalizers.clear();
        meta.managed_fields.clear();
        object.encode_to_vec()
    };
    bare(new) == bare(old)
}

struct Writer<'a> {
    access: &'a Access,
    user: &'a User,
    resource: &'a Resource,
    meta: &'a ObjectMeta,
}

impl Writer<'_> {
    fn role(&self, rules: &[PolicyRule], old: Option<&[PolicyRule]>) -> Result<()> {
        if old == Some(rules) || self.may("escalate", self.resource.row.plural, &self.meta.name) {
            return Ok(());
        }
        self.confirm(rules)
    }

    fn cluster_role(&self, role: &ClusterRole, old: Option<&ClusterRole>) -> Result<()> {
        if self.may("escalate", self.resource.row.plural, &self.meta.name) {
            return Ok(());
        }
        let gathers = role.aggregation_rule.is_some();
        let gathered = old.map(|old| &old.aggregation_rule);
        // What an aggregation gathers is nobody's to foresee.
        if gathered.map_or(gathers, |old| *old != role.aggregation_rule) && self.uncovered(&everything()).is_some() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(self.resource.forbidden(&self.meta.name, why));
        }
        if old.is_some_and(|old| old.rules == role.rules) { Ok(()) } else { self.confirm(&role.rules) }
    }

    fn binding(&self, role: &RoleRef) -> Result<()> {
        let plural = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
        if self.may("bind", plural, &role.name) {
            return Ok(());
        }
        match self.access.role(&role.kind, &self.meta.namespace, &role.name) {
            Some(rules) => self.confirm(&rules),
            None => Err(Failure::not_found(GROUP, &role.kind.to_ascii_lowercase(), &role.name)),
        }
    }

    fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let namespace = &self.meta.namespace;
        let attributes = Attributes { verb, group: GROUP, resource, namespace, name, ..Attributes::default() };
        self.access.judge(self.user, &attributes).allowed
    }

    /// What the user lacks of the rules, told as upstream does.
    fn uncovered(&self, rules: &[PolicyRule]) -> Option<String> {
        let (owned, errors) = self.access.rules_of(self.user, &self.meta.namespace);
        let lacks = missing(&owned, rules);
        if lacks.is_empty() {
            return None;
        }
        let User { name, groups, .. } = self.user;
        let mut text = format!(
            "user \"{name}\" (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            quoted(groups),
            describe(&lacks).join("\n")
        );
        if !errors.is_empty() {
            text.push_str(&format!("; resolution errors: [{}]", together(&errors)));
        }
        Some(text)
    }

    fn confirm(&self, rules: &[PolicyRule]) -> Result<()> {
        match self.uncovered(rules) {
            Some(why) => Err(self.resource.forbidden(&self.meta.name, &why)),
            None => Ok(()),
        }
    }
}

fn everything() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    let resources = PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() };
    [resources, PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() }]
}
