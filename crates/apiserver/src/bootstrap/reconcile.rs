//! Brings the roles and bindings that every cluster has up to date: what is missing is added, what an administrator
//! added stays. One that says `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone, as upstream does.

use futures::{StreamExt, TryStreamExt};
use proto::dynamic::DynObject;
use proto::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::policy::{self, AUTOUPDATE};
use super::{create, place_of};
use crate::authorize::cover;
use crate::server::Server;
use crate::status::Result;
use crate::verbs::write::{Decision, Mutation, change};

/// Objects under way at once.
const CONCURRENT_MAX: usize = 16;
const RESOURCES: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];

/// Reconciles every object, and waits until checks know them.
pub async fn run(server: &Server) -> Result<()> {
    let all: Vec<_> = policy::objects().into_iter().map(|object| one(server, object)).collect();
    futures::stream::iter(all).buffer_unordered(CONCURRENT_MAX).try_collect::<()>().await?;
    for plural in RESOURCES {
        server.catch_up(server.registry.find("rbac.authorization.k8s.io", "v1", plural)?).await?;
    }
    Ok(())
}

async fn one(server: &Server, wanted: Box<dyn DynObject>) -> Result<()> {
    let target = place_of(server, wanted.as_ref())?;
    let resource = &target.resource;
    let cached = resource.cache.get(&resource.key(&target.namespace, &target.name));
    let decoded = cached.map(|entry| resource.decode(&entry.bytes)).transpose()?;
    if decoded.is_some_and(|current| matches!(plan(current.as_ref(), wanted.as_ref()), Plan::Keep)) {
        return Ok(());
    }
    let mut mutation = Reconcile { wanted: wanted.as_ref() };
    match change(server, &target, false, &mut mutation).await {
        Ok(outcome) if !outcome.removed => return Ok(()),
        Err(failure) if !failure.is_not_found() => return Err(failure),
        _ => {}
    }
    create(server, &target, wanted).await
}

struct Reconcile<'a> {
    wanted: &'a dyn DynObject,
}

#[async_trait::async_trait]
impl Mutation for Reconcile<'_> {
    async fn decide(&mut self, current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        Ok(match plan(current.as_ref(), self.wanted) {
            Plan::Keep => Decision::Keep,
            Plan::Write(object) => Decision::Write(object),
            Plan::MakeAnew => Decision::Remove(current),
        })
    }
}

/// What is to become of an object.
#[derive(Debug)]
enum Plan {
    Keep,
    Write(Box<dyn DynObject>),
    /// A binding cannot come to name another role.
    MakeAnew,
}

fn plan(current: &dyn DynObject, wanted: &dyn DynObject) -> Plan {
    if current.metadata().annotations.get(AUTOUPDATE).is_some_and(|value| value == "false") {
        return Plan::Keep;
    }
    let mut new = current.clone_box();
    if let (Some(new), Some(wanted)) = (new.downcast_mut::<ClusterRole>(), wanted.downcast_ref::<ClusterRole>()) {
        merge_cluster_role(new, wanted);
    } else if let (Some(new), Some(wanted)) = (new.downcast_mut::<Role>(), wanted.downcast_ref::<Role>()) {
        add_rules(&mut new.rules, &wanted.rules);
    } else if let (Some(new), Some(wanted)) =
        (new.downcast_mut::<ClusterRoleBinding>(), wanted.downcast_ref::<ClusterRoleBinding>())
    {
        if !add_subjects((&mut new.subjects, &new.role_ref), (&wanted.subjects, &wanted.role_ref)) {
            return Plan::MakeAnew;
        }
    } else if let (Some(new), Some(wanted)) = (new.downcast_mut::<RoleBinding>(), wanted.downcast_ref::<RoleBinding>())
        && !add_subjects((&mut new.subjects, &new.role_ref), (&wanted.subjects, &wanted.role_ref))
    {
        return Plan::MakeAnew;
    }
    let (meta, wanted) = (new.metadata_mut(), wanted.metadata());
    for (key, value) in &wanted.labels {
        meta.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (key, value) in &wanted.annotations {
        meta.annotations.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if new.equals(current) { Plan::Keep } else { Plan::Write(new) }
}

/// The rules of a role that gathers others' are its controller's.
fn merge_cluster_role(new: &mut ClusterRole, wanted: &ClusterRole) {
    let Some(wanted_rule) = &wanted.aggregation_rule else { return add_rules(&mut new.rules, &wanted.rules) };
    let rule = new.aggregation_rule.get_or_insert_default();
    for selector in &wanted_rule.cluster_role_selectors {
        if !rule.cluster_role_selectors.contains(selector) {
            rule.cluster_role_selectors.push(selector.clone());
        }
    }
}

fn add_rules(rules: &mut Vec<PolicyRule>, wanted: &[PolicyRule]) {
    let missing = cover::missing(rules, wanted);
    rules.extend(missing);
}

/// False: the binding is of another role.
fn add_subjects(new: (&mut Vec<Subject>, &RoleRef), wanted: (&[Subject], &RoleRef)) -> bool {
    for subject in wanted.0 {
        if !new.0.contains(subject) {
            new.0.push(subject.clone());
        }
    }
    new.1 == wanted.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str]) -> PolicyRule {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        let (verbs, resources) = (owned(verbs), owned(resources));
        PolicyRule { verbs, resources, api_groups: vec![String::new()], ..PolicyRule::default() }
    }

    fn role(rules: Vec<PolicyRule>) -> ClusterRole {
        ClusterRole { rules, ..ClusterRole::default() }
    }

    #[test]
    fn missing_rules_come_back_and_others_stay() {
        let wanted = role(vec![rule(&["get", "list"], &["pods"])]);
        let current = role(vec![rule(&["get"], &["pods", "secrets"])]);
        let Plan::Write(new) = plan(&current, &wanted) else { panic!("written") };
        let new = new.downcast_ref::<ClusterRole>().expect("a ClusterRole");
        assert_eq!(new.rules, [rule(&["get"], &["pods", "secrets"]), rule(&["list"], &["pods"])]);
        assert!(matches!(plan(new, &wanted), Plan::Keep));
    }

    #[test]
    fn an_object_that_wants_no_updates_is_left_alone() {
        let mut current = role(Vec::new());
        current.metadata.annotations.insert(AUTOUPDATE.into(), "false".into());
        assert!(matches!(plan(&current, &role(vec![rule(&["get"], &["pods"])])), Plan::Keep));
    }

    #[test]
    fn what_a_role_gathers_is_not_touched() {
        let mut wanted = role(Vec::new());
        wanted.aggregation_rule = Some(Default::default());
        let mut current = wanted.clone();
        current.rules = vec![rule(&["get"], &["pods"])];
        assert!(matches!(plan(&current, &wanted), Plan::Keep));
    }

    #[test]
    fn a_binding_of_another_role_is_made_anew() {
        let binding = |role: &str, subjects: &[&str]| {
            let subject = |name: &&str| Subject { kind: "User".into(), name: (*name).into(), ..Subject::default() };
            let role_ref = RoleRef { kind: "ClusterRole".into(), name: role.into(), ..RoleRef::default() };
            ClusterRoleBinding { role_ref, subjects: subjects.iter().map(subject).collect(), ..Default::default() }
        };
        assert!(matches!(plan(&binding("a", &[]), &binding("b", &[])), Plan::MakeAnew));
        let Plan::Write(new) = plan(&binding("a", &["x"]), &binding("a", &["y"])) else { panic!("written") };
        assert_eq!(new.downcast_ref::<ClusterRoleBinding>().map(|new| new.subjects.len()), Some(2));
    }
}
