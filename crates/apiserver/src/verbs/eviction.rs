//! Eviction: a deletion that asks the pod's disruption budgets first, and says on the pod why it goes.

use proto::core::v1::{Pod, PodCondition};
use proto::dynamic::DynObject;
use proto::meta::v1::Time;
use proto::policy::v1::{Eviction, PodDisruptionBudget};

use super::decode::{self, Body};
use super::delete::{check_preconditions, delete_unasked};
use super::options::{DeleteOptions, Propagation, WriteOptions};
use super::write::{Decision, Mutation, change};
use super::{Target, get};
use crate::admit::node_restriction;
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::admit::plugins::Plugin;
use crate::authenticate::User;
use crate::registry::Versioned;
use crate::server::Server;
use crate::status::{Failure, Result, cause};
use crate::watch_cache::Filter;

/// Disrupted pods that a budget remembers at most before it says no.
const DISRUPTED_LEN_MAX: usize = 2000;

/// Evicts the pod.
pub async fn evict(
    server: &Server,
    user: &User,
    target: &Target,
    body: Body<'_>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    target.require_name()?;
    let kind = <Eviction as proto::Object>::kind_info();
    let eviction = decode::object(kind, body, options.field_validation, warnings)?;
    let said = Options::Write("CreateOptions", options);
    let asking = Asking { server, user, target, operation: Operation::Create, options: said };
    let eviction = asking.admit(eviction, None, 0, warnings).await?;
    let eviction = eviction.downcast_ref::<Eviction>().ok_or_else(Failure::no_resource)?;
    if !eviction.metadata.name.is_empty() && eviction.metadata.name != target.name {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    let deletion = deletion(eviction, options)?;
    let object = get::newest(server, &target.named(&target.namespace, &target.name)).await?;
    let pod: Pod = object.read()?;
    if server.runs(Plugin::NodeRestriction) {
        node_restriction::on_evict(user, target, &pod)?;
    }
    check_preconditions(&target.resource, &target.name, &deletion, &pod.metadata, object.rev)?;
    if needs_budget(&pod) {
        spend(server, target, &pod, deletion.dry_run).await?;
    }
    let mut deletion = DeleteOptions { uid: pod.metadata.uid.clone(), ..deletion };
    if !deletion.dry_run {
        let status = Target { subresource: "status".to_owned(), ..target.clone() };
        let mut mutation = Explain { target, deletion: &deletion, now: server.now() };
        let told = change(server, &status, false, &mut mutation).await?.object;
        if !deletion.resource_version.is_empty() {
            deletion.resource_version = told.rev.to_string();
        }
    }
    let whole = Target { subresource: String::new(), ..target.clone() };
    delete_unasked(server, user, &whole, &deletion).await?;
    Ok(Versioned::of(eviction, 0))
}

/// Writes the condition that says who ended the pod.
struct Explain<'a> {
    target: &'a Target,
    deletion: &'a DeleteOptions,
    now: Time,
}

#[async_trait::async_trait]
impl Mutation for Explain<'_> {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, rev: i64) -> Result<Decision> {
        check_preconditions(&self.target.resource, &self.target.name, self.deletion, current.metadata(), rev)?;
        let Some(pod) = current.downcast_mut::<Pod>() else { return Err(Failure::no_resource()) };
        explain(pod, self.now);
        Ok(Decision::Write(current))
    }
}

fn explain(pod: &mut Pod, now: Time) {
    let wanted = PodCondition {
        r#type: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: "EvictionByEvictionAPI".to_owned(),
        message: "Eviction API: evicting".to_owned(),
        last_transition_time: now,
        ..Default::default()
    };
    match pod.status.conditions.iter_mut().find(|condition| condition.r#type == wanted.r#type) {
        None => pod.status.conditions.push(wanted),
        Some(condition) if condition.status == wanted.status => {
            *condition = PodCondition { last_transition_time: condition.last_transition_time, ..wanted };
        }
        Some(condition) => *condition = wanted,
    }
}

fn deletion(eviction: &Eviction, options: &WriteOptions) -> Result<DeleteOptions> {
    let Some(asked) = &eviction.delete_options else {
        return Ok(DeleteOptions { dry_run: options.dry_run, ..Default::default() });
    };
    let preconditions = asked.preconditions.clone().unwrap_or_default();
    Ok(DeleteOptions {
        uid: preconditions.uid.unwrap_or_default(),
        resource_version: preconditions.resource_version.unwrap_or_default(),
        grace_period_s: asked.grace_period_seconds,
        propagation: Propagation::parse(asked.propagation_policy.as_deref().unwrap_or_default())?,
        dry_run: options.dry_run || !asked.dry_run.is_empty(),
    })
}

/// A pod that has ended, or does not run yet, disrupts nothing.
fn needs_budget(pod: &Pod) -> bool {
    let idle = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed" | "Pending");
    !idle && pod.metadata.deletion_timestamp.is_none()
}

fn is_ready(pod: &Pod) -> bool {
    pod.status.conditions.iter().any(|condition| condition.r#type == "Ready" && condition.status == "True")
}

/// Takes one disruption from the pod's budget, where it has one.
async fn spend(server: &Server, target: &Target, pod: &Pod, dry_run: bool) -> Result<()> {
    let Ok(resource) = server.registry.find("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
    // A budget that was made a moment ago counts.
    server.catch_up(resource).await?;
    let filter = Filter { namespace: target.namespace.clone(), ..Default::default() };
    let mut budgets = Vec::new();
    for entry in resource.cache.list(&filter).0 {
        let object = resource.decode(&entry.bytes)?;
        let Some(budget) = object.downcast_ref::<PodDisruptionBudget>() else { continue };
        let selector = api::selector::labels::Selector::from_selector(budget.spec.selector.as_ref());
        if selector.is_ok_and(|selector| selector.matches(&pod.metadata.labels)) {
            budgets.push(budget.metadata.name.clone());
        }
    }
    let name = match budgets.as_slice() {
        [] => return Ok(()),
        [name] => name,
        _ => {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            // As upstream, without a reason.
            return Err(Failure::new(500, "", message));
        }
    };
    let budget = Target {
        resource: resource.clone(),
        namespace: target.namespace.clone(),
        name: name.clone(),
        subresource: "status".to_owned(),
    };
    let mut mutation = Spend { pod, ready: is_ready(pod), now: server.now() };
    change(server, &budget, dry_run, &mut mutation).await?;
    Ok(())
}

struct Spend<'a> {
    pod: &'a Pod,
    ready: bool,
    now: proto::meta::v1::Time,
}

#[async_trait::async_trait]
impl Mutation for Spend<'_> {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let Some(budget) = current.downcast_mut::<PodDisruptionBudget>() else { return Err(Failure::no_resource()) };
        if !self.ready && may_evict_unready(budget) {
            return Ok(Decision::Keep);
        }
        let status = &mut budget.status;
        if status.observed_generation < budget.metadata.generation {
            return Err(refused("The disruption budget is being computed anew.", 10));
        }
        if status.disruptions_allowed <= 0 || status.disrupted_pods.len() > DISRUPTED_LEN_MAX {
            let (name, wanted, healthy) = (&budget.metadata.name, status.desired_healthy, status.current_healthy);
            let why = format!("The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently");
            return Err(refused(&why, 0));
        }
        status.disruptions_allowed -= 1;
        status.disrupted_pods.insert(self.pod.metadata.name.clone(), self.now);
        Ok(Decision::Write(current))
    }
}

/// A pod that is not ready may go where its budget says so, or where the budget is met without it.
fn may_evict_unready(budget: &PodDisruptionBudget) -> bool {
    budget.spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow")
        || (budget.status.current_healthy >= budget.status.desired_healthy && budget.status.desired_healthy > 0)
}

fn refused(why: &str, retry_s: i32) -> Failure {
    let failure =
        Failure::new(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
            .because(vec![cause("DisruptionBudget", "", why)]);
    if retry_s > 0 { failure.retry_after(retry_s) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicted_pod_says_once_why_it_goes() {
        let mut pod = Pod::default();
        explain(&mut pod, Time { seconds: 7, nanos: 0 });
        explain(&mut pod, Time { seconds: 9, nanos: 0 });
        let [told] = pod.status.conditions.as_slice() else { panic!("one condition") };
        assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "EvictionByEvictionAPI"));
        assert_eq!(told.last_transition_time.seconds, 7);
    }
}
