//! ResourceQuota: nothing is made beyond what the quotas of a namespace say is left.
//!
//! What is used stands in a quota's status. An object is judged by it and, once nothing else speaks against the object,
//! added to it in the store; what went away again, or was not made after all, the quota's controller takes off.

mod usage;

use api::quantity::ResourceList;
use proto::core::v1::ResourceQuota;
use proto::dynamic::DynObject;

use super::{Target, View};
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::write::{Decision, Mutation, change};

/// Refuses an object that a quota has no room for, or that does not say what the quota counts.
pub fn admit(target: &Target, object: &dyn DynObject, view: &impl View) -> Result<()> {
    for quota in quotas(target, object, view) {
        if let Some(why) = judge(target, object, &quota) {
            return Err(target.resource.forbidden(&object.metadata().name, &why));
        }
    }
    Ok(())
}

/// Quotas that count the object.
fn quotas(target: &Target, object: &dyn DynObject, view: &impl View) -> Vec<ResourceQuota> {
    if target.namespace.is_empty() {
        return Vec::new();
    }
    let mut quotas: Vec<ResourceQuota> = view.all(&target.namespace);
    quotas.retain(|quota| !quota.status.hard.is_empty() && usage::is_counted(object, quota));
    quotas
}

/// What the object uses of what a quota counts, where that is anything.
fn charge_of(target: &Target, object: &dyn DynObject, quota: &ResourceQuota) -> ResourceList {
    let row = target.resource.row;
    let mut asked = usage::of(object, row.group, row.plural);
    asked.retain(|resource, more| quota.status.hard.contains_key(resource) && !more.amount().is_zero());
    asked
}

fn judge(target: &Target, object: &dyn DynObject, quota: &ResourceQuota) -> Option<String> {
    let name = &quota.metadata.name;
    let missing = usage::unsaid(object, &quota.status.hard);
    if !missing.is_empty() {
        return Some(format!("failed quota: {name}: must specify {}", missing.join("; ")));
    }
    beyond(quota, &charge_of(target, object, quota))
}

/// Why a quota has no room for that; `None`: it has.
fn beyond(quota: &ResourceQuota, asked: &ResourceList) -> Option<String> {
    let (hard, used) = (&quota.status.hard, &quota.status.used);
    let too_much = |(resource, more): &(&String, &proto::Quantity)| {
        let total = api::quantity::amount(used, resource).add(&more.amount());
        hard.get(*resource).is_some_and(|most| total > most.amount())
    };
    let over: Vec<&String> = asked.iter().filter(too_much).map(|(resource, _)| resource).collect();
    if over.is_empty() {
        return None;
    }
    let shown = |list: &ResourceList| {
        let parts = over.iter().map(|resource| {
            let quantity = list.get(*resource).map_or_else(|| "0".to_owned(), ToString::to_string);
            format!("{resource}={quantity}")
        });
        parts.collect::<Vec<_>>().join(",")
    };
    Some(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.metadata.name,
        shown(asked),
        shown(used),
        shown(hard)
    ))
}

/// Adds the object to what its quotas count as used; refuses it where somebody else was faster.
pub async fn charge(server: &Server, target: &Target, object: &dyn DynObject) -> Result<()> {
    for quota in quotas(target, object, server) {
        let asked = charge_of(target, object, &quota);
        if asked.is_empty() {
            continue;
        }
        let status = Target {
            resource: server.registry.core("resourcequotas")?.clone(),
            namespace: target.namespace.clone(),
            name: quota.metadata.name.clone(),
            subresource: "status".to_owned(),
        };
        let mut mutation = Charge { target, name: &object.metadata().name, asked: &asked };
        match change(server, &status, false, &mut mutation).await {
            // A quota that is gone counts nothing.
            Err(failure) if failure.is_not_found() => {}
            outcome => {
                outcome?;
            }
        }
    }
    Ok(())
}

struct Charge<'a> {
    target: &'a Target,
    name: &'a str,
    asked: &'a ResourceList,
}

#[async_trait::async_trait]
impl Mutation for Charge<'_> {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let Some(quota) = current.downcast_mut::<ResourceQuota>() else { return Err(Failure::no_resource()) };
        if let Some(why) = beyond(quota, self.asked) {
            return Err(self.target.resource.forbidden(self.name, &why));
        }
        api::quantity::add(&mut quota.status.used, self.asked);
        Ok(Decision::Write(current))
    }
}
