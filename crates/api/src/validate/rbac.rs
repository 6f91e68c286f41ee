//! Validation of roles and of what binds them.

use proto::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::check::{Errors, label_selector, one_of, required, shape};
use super::error::Json;
use super::{FieldError, Path, meta};
use crate::name;

const GROUP: &str = "rbac.authorization.k8s.io";
const REF: Path<'static> = Path::root("roleRef");

pub fn role(errors: &mut Errors, role: &Role) {
    rules(errors, &role.rules, true);
}

pub fn cluster_role(errors: &mut Errors, role: &ClusterRole) {
    rules(errors, &role.rules, false);
    let Some(aggregation) = &role.aggregation_rule else { return };
    let path = Path::root("aggregationRule");
    let path = path.child("clusterRoleSelectors");
    if aggregation.cluster_role_selectors.is_empty() {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(path, why));
    }
    for (index, selector) in aggregation.cluster_role_selectors.iter().enumerate() {
        label_selector(errors, path.index(index), selector);
    }
}

fn rules(errors: &mut Errors, rules: &[PolicyRule], namespaced: bool) {
    let path = Path::root("rules");
    for (index, rule) in rules.iter().enumerate() {
        self::rule(errors, path.index(index), rule, namespaced);
    }
}

fn rule(errors: &mut Errors, path: Path<'_>, rule: &PolicyRule, namespaced: bool) {
    if rule.verbs.is_empty() {
        errors.push(FieldError::required(path.child("verbs"), "verbs must contain at least one value"));
    }
    if !rule.non_resource_urls.is_empty() {
        let path = path.child("nonResourceURLs");
        let urls = &rule.non_resource_urls;
        if namespaced {
            errors.push(FieldError::invalid(path, urls, "namespaced rules cannot apply to non-resource URLs"));
        }
        if !rule.api_groups.is_empty() || !rule.resources.is_empty() || !rule.resource_names.is_empty() {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(path, urls, why));
        }
        return;
    }
    if rule.api_groups.is_empty() {
        let why = "resource rules must supply at least one api group";
        errors.push(FieldError::required(path.child("apiGroups"), why));
    }
    if rule.resources.is_empty() {
        let why = "resource rules must supply at least one resource";
        errors.push(FieldError::required(path.child("resources"), why));
    }
}

pub fn binding(errors: &mut Errors, binding: &RoleBinding) {
    role_ref(errors, &binding.role_ref, &["ClusterRole", "Role"]);
    subjects(errors, &binding.subjects);
}

pub fn cluster_binding(errors: &mut Errors, binding: &ClusterRoleBinding) {
    role_ref(errors, &binding.role_ref, &["ClusterRole"]);
    subjects(errors, &binding.subjects);
}

pub fn role_ref(errors: &mut Errors, role: &RoleRef, kinds: &[&str]) {
    one_of(errors, REF.child("apiGroup"), &role.api_group, &[GROUP]);
    one_of(errors, REF.child("kind"), &role.kind, kinds);
    required(errors, REF.child("name"), &role.name);
    shape(errors, REF.child("name"), &role.name, name::path_segment);
}

fn subjects(errors: &mut Errors, subjects: &[Subject]) {
    let path = Path::root("subjects");
    for (index, subject) in subjects.iter().enumerate() {
        let path = path.index(index);
        required(errors, path.child("name"), &subject.name);
        match subject.kind.as_str() {
            "ServiceAccount" => {
                if !subject.name.is_empty() {
                    shape(errors, path.child("name"), &subject.name, name::dns_subdomain);
                }
                one_of(errors, path.child("apiGroup"), &subject.api_group, &[""]);
                required(errors, path.child("namespace"), &subject.namespace);
            }
            "User" | "Group" => one_of(errors, path.child("apiGroup"), &subject.api_group, &[GROUP]),
            other => one_of(errors, path.child("kind"), other, &["Group", "ServiceAccount", "User"]),
        }
    }
}

pub fn binding_update(errors: &mut Errors, new: &RoleBinding, old: &RoleBinding) {
    meta::create(errors, new);
    binding(errors, new);
    same_role(errors, &new.role_ref, &old.role_ref);
}

pub fn cluster_binding_update(errors: &mut Errors, new: &ClusterRoleBinding, old: &ClusterRoleBinding) {
    meta::create(errors, new);
    cluster_binding(errors, new);
    same_role(errors, &new.role_ref, &old.role_ref);
}

fn same_role(errors: &mut Errors, new: &RoleRef, old: &RoleRef) {
    if new != old {
        errors.push(FieldError::invalid(REF, Json(new), "cannot change roleRef"));
    }
}
