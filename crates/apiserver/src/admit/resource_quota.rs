//! ResourceQuota: nothing is made beyond what the quotas of a namespace say is left.
//!
//! What a quota counts as used is its status, which its controller keeps; an object is judged by it, not yet added to it.

mod usage;

use api::quantity::ResourceList;
use proto::core::v1::ResourceQuota;
use proto::dynamic::DynObject;

use super::{Request, View};
use crate::status::Result;

/// Refuses an object that a quota has no room for, or that does not say what the quota counts.
pub fn admit(request: Request<'_>, object: &dyn DynObject, view: &impl View) -> Result<()> {
    if request.target.namespace.is_empty() {
        return Ok(());
    }
    let quotas: Vec<ResourceQuota> = view.all(&request.target.namespace);
    for quota in quotas {
        if let Some(why) = judge(request, object, &quota) {
            return Err(request.target.resource.forbidden(&object.metadata().name, &why));
        }
    }
    Ok(())
}

fn judge(request: Request<'_>, object: &dyn DynObject, quota: &ResourceQuota) -> Option<String> {
    let hard = &quota.status.hard;
    let name = &quota.metadata.name;
    if hard.is_empty() || !usage::is_counted(object, quota) {
        return None;
    }
    let missing = usage::unsaid(object, hard);
    if !missing.is_empty() {
        return Some(format!("failed quota: {name}: must specify {}", missing.join("; ")));
    }
    let row = request.target.resource.row;
    let asked = usage::of(object, row.group, row.plural);
    let used = &quota.status.used;
    let beyond: Vec<&String> = asked
        .iter()
        .filter(|(resource, more)| {
            let Some(most) = hard.get(*resource) else { return false };
            let total = api::quantity::amount(used, resource).add(&more.amount());
            !more.amount().is_zero() && total > most.amount()
        })
        .map(|(resource, _)| resource)
        .collect();
    if beyond.is_empty() {
        return None;
    }
    let shown = |list: &ResourceList| {
        let parts = beyond.iter().map(|resource| {
            let quantity = list.get(*resource).map_or_else(|| "0".to_owned(), ToString::to_string);
            format!("{resource}={quantity}")
        });
        parts.collect::<Vec<_>>().join(",")
    };
    Some(format!(
        "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
        shown(&asked),
        shown(used),
        shown(hard)
    ))
}
