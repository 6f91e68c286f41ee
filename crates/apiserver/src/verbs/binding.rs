//! Binding a pod to a node: what the scheduler does instead of an update.

use proto::core::v1::{Binding, Pod, PodCondition};
use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use super::Target;
use super::decode::{self, Body};
use super::options::WriteOptions;
use super::write::{Decision, Mutation, change};
use crate::admit;
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::authenticate::User;
use crate::registry::Versioned;
use crate::server::Server;
use crate::status::{Failure, Result};

/// Binds the pod to the node that the Binding in `body` names.
pub async fn bind(
    server: &Server,
    user: &User,
    target: &Target,
    body: Body<'_>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    target.require_name()?;
    let kind = <Binding as proto::Object>::kind_info();
    let mut binding = decode::object(kind, body, options.field_validation, warnings)?;
    decode::place(target, binding.as_mut())?;
    let said = Options::Write("CreateOptions", options);
    let asking = Asking { server, user, target, operation: Operation::Create, options: said };
    admit::on_bind(server, binding.as_mut());
    let binding = asking.admit(binding, None, 0, warnings).await?;
    let binding = binding.downcast_ref::<Binding>().ok_or_else(Failure::no_resource)?;
    check(binding)?;
    let mut mutation = Bind { target, binding, now: server.now() };
    Ok(change(server, target, options.dry_run, &mut mutation).await?.object)
}

fn check(binding: &Binding) -> Result<()> {
    // As upstream: these refusals carry no reason.
    let refuse = |text: String| Err(Failure::new(500, "", text));
    if !matches!(binding.target.kind.as_str(), "" | "Node") {
        return refuse(format!(
            "target.kind: Unsupported value: \"{}\": supported values: \"Node\", \"<empty>\"",
            binding.target.kind
        ));
    }
    if binding.target.name.is_empty() {
        return refuse("target.name: Required value".to_owned());
    }
    Ok(())
}

struct Bind<'a> {
    target: &'a Target,
    binding: &'a Binding,
    now: Time,
}

#[async_trait::async_trait]
impl Mutation for Bind<'_> {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let (binding, name) = (self.binding, &self.target.name);
        let Some(pod) = current.downcast_mut::<Pod>() else { return Err(Failure::no_resource()) };
        let refuse = |why: String| Err(Failure::conflict("", "pods/binding", name, &why));
        if !binding.metadata.uid.is_empty() && binding.metadata.uid != pod.metadata.uid {
            let (asked, found) = (&binding.metadata.uid, &pod.metadata.uid);
            return refuse(format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"));
        }
        if pod.metadata.deletion_timestamp.is_some() {
            return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if !pod.spec.node_name.is_empty() {
            return refuse(format!("pod {name} is already assigned to node \"{}\"", pod.spec.node_name));
        }
        if !pod.spec.scheduling_gates.is_empty() {
            return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        pod.spec.node_name.clone_from(&binding.target.name);
        for (key, value) in &binding.metadata.annotations {
            pod.metadata.annotations.insert(key.clone(), value.clone());
        }
        for (key, value) in &binding.metadata.labels {
            pod.metadata.labels.insert(key.clone(), value.clone());
        }
        mark_scheduled(pod, self.now);
        Ok(Decision::Write(current))
    }
}

fn mark_scheduled(pod: &mut Pod, now: Time) {
    let scheduled = PodCondition {
        r#type: "PodScheduled".to_owned(),
        status: "True".to_owned(),
        last_transition_time: now,
        ..Default::default()
    };
    match pod.status.conditions.iter_mut().find(|condition| condition.r#type == scheduled.r#type) {
        Some(condition) if condition.status == "True" => {}
        Some(condition) => *condition = scheduled,
        None => pod.status.conditions.push(scheduled),
    }
}
