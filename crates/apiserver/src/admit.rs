//! Admission: what the cluster adds to a new object, or why it does not take it. One plugin a file, in upstream's order.
//!
//! Plugins are plain functions over a [`View`] of the cluster. They are asked with what the caches hold; a refusal is
//! judged again once the caches have caught up with the store, so that what was created a moment ago counts.

mod certificate;
mod claim_resize;
mod default_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
pub mod node_restriction;
mod optional;
pub mod others;
pub mod plugins;
mod pod_resize_validator;
mod pod_security;
mod pod_topology_labels;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod view;

use proto::dynamic::DynObject;

use crate::authenticate::User;
use crate::registry::Resource;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::Target;
use crate::verbs::decode;
use others::Asking;
use others::again::Rounds;
use plugins::Plugin;

pub use view::View;

/// What a plugin is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Where the object is to be.
    pub target: &'a Target,
    /// Who asks.
    pub user: &'a User,
    /// For the names of generated volumes.
    pub seed: u64,
}

/// Runs everybody who may change a new object: plugins, then others; once more where others changed it.
pub async fn on_create(
    asking: &Asking<'_>,
    object: Box<dyn DynObject>,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn DynObject>> {
    let generate_name = object.metadata().generate_name.clone();
    let refused = |failure: Failure| failure.named_for(&generate_name);
    let request = Request { target: asking.target, user: asking.user, seed: rand::random() };
    look_first(asking.server, &asking.target.resource).await?;
    let mut rounds = Rounds::default();
    let mut object = plugins_on_create(asking.server, request, object).await.map_err(refused)?;
    loop {
        object = asking.mutate(object, None, 0, &mut rounds, warnings).await?;
        if !rounds.begin_next() {
            break;
        }
        object = plugins_on_create(asking.server, request, object).await.map_err(refused)?;
    }
    decode::place(asking.target, object.as_mut())?;
    Ok(object)
}

async fn plugins_on_create(
    server: &Server,
    request: Request<'_>,
    object: Box<dyn DynObject>,
) -> Result<Box<dyn DynObject>> {
    let mut admitted = object.clone();
    if run(request, admitted.as_mut(), server).is_ok() {
        return Ok(admitted);
    }
    catch_up(server).await?;
    admitted = object;
    run(request, admitted.as_mut(), server)?;
    Ok(admitted)
}

/// Runs everybody who may change a changed object; plugins have a say on whole objects only.
pub async fn on_update(
    asking: &Asking<'_>,
    mut new: Box<dyn DynObject>,
    old: &dyn DynObject,
    rev: i64,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn DynObject>> {
    let Asking { server, target, .. } = *asking;
    let mut rounds = Rounds::default();
    loop {
        if target.subresource.is_empty() {
            plugins_on_update(server, &target.resource, new.as_mut(), old)?;
        }
        check_certificate(asking, new.as_ref(), old)?;
        new = asking.mutate(new, Some(old), rev, &mut rounds, warnings).await?;
        if !rounds.begin_next() {
            break;
        }
    }
    decode::place(target, new.as_mut())?;
    Ok(new)
}

/// Runs the plugins that concern changes over a changed object: what they once added is not lost by leaving it out.
fn plugins_on_update(
    view: &impl View,
    resource: &Resource,
    new: &mut dyn DynObject,
    old: &dyn DynObject,
) -> Result<()> {
    if view.runs(Plugin::PodSecurity) {
        pod_security::admit_update(resource, new, old)?;
    }
    if view.runs(Plugin::Priority) {
        priority::admit_update(resource, new, old, view)?;
    }
    if view.runs(Plugin::DefaultTolerationSeconds) {
        default_toleration_seconds::admit(new);
    }
    if view.runs(Plugin::PersistentVolumeClaimResize) {
        claim_resize::admit(resource, new, old, view)?;
    }
    if view.runs(Plugin::DenyServiceExternalIPs) {
        optional::check_external_ips(resource, new, Some(old))?;
    }
    refuse_everything(view, resource, &new.metadata().name)
}

/// AlwaysDeny: nothing is let in, for tests.
fn refuse_everything(view: &impl View, resource: &Resource, name: &str) -> Result<()> {
    match view.runs(Plugin::AlwaysDeny) {
        false => Ok(()),
        true => Err(resource.forbidden(name, "admission control is denying all modifications")),
    }
}

/// Who decides about or signs a request for a certificate may do so.
fn check_certificate(asking: &Asking<'_>, new: &dyn DynObject, old: &dyn DynObject) -> Result<()> {
    let Asking { server, user, target, .. } = *asking;
    let plugin = match target.subresource.as_str() {
        "approval" => Plugin::CertificateApproval,
        _ => Plugin::CertificateSigning,
    };
    match server.runs(plugin) {
        true => certificate::on_update(&server.access, user, &target.resource, &target.subresource, new, old),
        false => Ok(()),
    }
}

/// Runs the plugin that concerns the binding of a pod.
pub fn on_bind(server: &Server, binding: &mut dyn DynObject) {
    if let Some(binding) = binding.downcast_mut().filter(|_| server.runs(Plugin::PodTopologyLabels)) {
        pod_topology_labels::on_bind(binding, server);
    }
}

/// What plugins say of an object that they let in.
pub fn warnings(view: &impl View, new: &dyn DynObject) -> Vec<String> {
    if !view.runs(Plugin::PodSecurity) {
        return Vec::new();
    }
    pod_security::warning(new, view).into_iter().collect()
}

/// Runs the plugin that concerns resizes of pods.
pub fn on_resize(view: &impl View, resource: &Resource, new: &dyn DynObject, old: &dyn DynObject) -> Result<()> {
    if !view.runs(Plugin::PodResizeValidator) {
        return Ok(());
    }
    pod_resize_validator::admit(resource, new, old, view)
}

/// Runs the plugins that concern deletions.
pub fn on_delete(view: &impl View, target: &Target) -> Result<()> {
    if view.runs(Plugin::NamespaceLifecycle) {
        namespace_lifecycle::admit_delete(target)?;
    }
    refuse_everything(view, &target.resource, &target.name)
}

/// The plugins that add to a new object, in upstream's order.
fn run(request: Request<'_>, object: &mut dyn DynObject, view: &impl View) -> Result<()> {
    let on = |plugin| view.runs(plugin);
    if on(Plugin::NamespaceLifecycle) {
        namespace_lifecycle::admit(request, object, view)?;
    }
    if on(Plugin::LimitRanger) {
        limit_ranger::fill(request, object, view);
    }
    if on(Plugin::ServiceAccount) {
        service_account::admit(request, object, view)?;
    }
    if on(Plugin::NodeRestriction) {
        node_restriction::on_create(request.user, request.target, object, view)?;
    }
    if on(Plugin::TaintNodesByCondition) {
        taint_nodes_by_condition::admit(object);
    }
    if on(Plugin::AlwaysPullImages) {
        optional::always_pull(object);
    }
    if on(Plugin::Priority) {
        priority::admit(request, object, view)?;
    }
    if on(Plugin::DefaultTolerationSeconds) {
        default_toleration_seconds::admit(object);
    }
    if on(Plugin::ExtendedResourceToleration) {
        optional::tolerate_extended(object);
    }
    if on(Plugin::DefaultStorageClass) {
        default_class::storage(object, view);
    }
    if on(Plugin::StorageObjectInUseProtection) {
        storage_object_in_use_protection::admit(object);
    }
    if on(Plugin::RuntimeClass) {
        runtime_class::admit(request, object, view)?;
    }
    if on(Plugin::DefaultIngressClass) {
        default_class::ingress(object, view);
    }
    if on(Plugin::PodTopologyLabels) {
        pod_topology_labels::on_create(object, view);
    }
    Ok(())
}

/// Judges a new object that breaks no rules of its kind, and takes from quotas what it uses.
pub async fn validate(asking: &Asking<'_>, object: &dyn DynObject, warnings: &mut Vec<String>) -> Result<()> {
    let Asking { server, target, .. } = *asking;
    if judge(target, object, server).is_err() {
        catch_up(server).await?;
        judge(target, object, server)?;
    }
    asking.validate(Some(object), None, 0, warnings).await?;
    refuse_everything(server, &target.resource, &object.metadata().name)?;
    if !server.runs(Plugin::ResourceQuota) {
        return Ok(());
    }
    if resource_quota::admit(target, object, server).is_err() {
        catch_up(server).await?;
        resource_quota::admit(target, object, server)?;
    }
    if asking.options.dry_run() { Ok(()) } else { resource_quota::charge(server, target, object).await }
}

/// The plugins that only refuse, in upstream's order, but for quotas: they count what everybody else let in.
fn judge(target: &Target, object: &dyn DynObject, view: &impl View) -> Result<()> {
    if view.runs(Plugin::LimitPodHardAntiAffinityTopology) {
        optional::check_anti_affinity(&target.resource, object)?;
    }
    if view.runs(Plugin::LimitRanger) {
        limit_ranger::judge(target, object, view)?;
    }
    if view.runs(Plugin::PodSecurity) {
        pod_security::admit(target, object, view)?;
    }
    if view.runs(Plugin::CertificateSubjectRestriction) {
        certificate::on_create(&target.resource, object)?;
    }
    if view.runs(Plugin::DenyServiceExternalIPs) {
        optional::check_external_ips(&target.resource, object, None)?;
    }
    Ok(())
}

/// Where a cache that is behind would let through what must be refused, it catches up first: of default classes one at most.
pub async fn look_first(server: &Server, resource: &Resource) -> Result<()> {
    match (resource.row.group, resource.row.plural) {
        ("scheduling.k8s.io", "priorityclasses") => server.catch_up(resource).await,
        _ => Ok(()),
    }
}

/// Waits until the caches that plugins read hold what the store holds.
pub async fn catch_up(server: &Server) -> Result<()> {
    let rows = [
        ("", "v1", "namespaces"),
        ("", "v1", "serviceaccounts"),
        ("scheduling.k8s.io", "v1", "priorityclasses"),
        ("node.k8s.io", "v1", "runtimeclasses"),
        ("", "v1", "limitranges"),
        ("", "v1", "resourcequotas"),
    ];
    for (group, version, plural) in rows {
        server.catch_up(server.registry.find(group, version, plural)?).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
