//! LimitRanger: what the limit ranges of a namespace give to containers, and what they refuse.

use std::collections::BTreeSet;

use api::quantity::{Amount, ResourceList, add, raise};
use proto::Quantity;
use proto::core::v1::{Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod};
use proto::dynamic::DynObject;

use super::{Request, Target, View};
use crate::status::Result;

/// Tells what was added to a pod's containers.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives containers the default requests and limits of their namespace.
pub fn fill(request: Request<'_>, object: &mut dyn DynObject, view: &impl View) {
    let Some(pod) = object.downcast_mut::<Pod>() else { return };
    let mut told = Vec::new();
    for range in ranges(request.target, view) {
        let of_containers = range.spec.limits.iter().filter(|item| item.r#type == "Container");
        let (mut requests, mut limits) = (ResourceList::new(), ResourceList::new());
        for item in of_containers {
            requests.extend(item.default_request.clone());
            limits.extend(item.default.clone());
        }
        for container in &mut pod.spec.containers {
            merge(container, "container", &requests, &limits, &mut told);
        }
        for container in &mut pod.spec.init_containers {
            merge(container, "init container", &requests, &limits, &mut told);
        }
    }
    if !told.is_empty() {
        pod.metadata.annotations.insert(ANNOTATION.to_owned(), format!("LimitRanger plugin set: {}", told.join("; ")));
    }
}

fn merge(
    container: &mut Container,
    what: &str,
    requests: &ResourceList,
    limits: &ResourceList,
    told: &mut Vec<String>,
) {
    for (of, defaults, list) in
        [("request", requests, &mut container.resources.requests), ("limit", limits, &mut container.resources.limits)]
    {
        let missing: Vec<&String> = defaults.keys().filter(|name| !list.contains_key(*name)).collect();
        if missing.is_empty() {
            continue;
        }
        let names: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
        told.push(format!("{} {of} for {what} {}", names.join(", "), container.name));
        for name in missing {
            list.insert(name.clone(), defaults[name].clone());
        }
    }
}

/// Refuses a pod or a claim that is beyond the limits of its namespace.
pub fn judge(target: &Target, object: &dyn DynObject, view: &impl View) -> Result<()> {
    let mut wrong = Vec::new();
    if let Some(pod) = object.downcast_ref::<Pod>() {
        for item in ranges(target, view).iter().flat_map(|range| &range.spec.limits) {
            self::pod(&mut wrong, item, pod);
        }
    } else if let Some(claim) = object.downcast_ref::<PersistentVolumeClaim>() {
        for item in ranges(target, view).iter().flat_map(|range| &range.spec.limits) {
            if item.r#type == "PersistentVolumeClaim" {
                requested_only(&mut wrong, item, &claim.spec.resources.requests);
            }
        }
    }
    let why = match wrong.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    Err(target.resource.forbidden(&object.metadata().name, &why))
}

fn ranges(target: &Target, view: &impl View) -> Vec<LimitRange> {
    view.all(&target.namespace)
}

fn pod(wrong: &mut Vec<String>, item: &LimitRangeItem, pod: &Pod) {
    match item.r#type.as_str() {
        "Container" => {
            for container in pod.spec.containers.iter().chain(&pod.spec.init_containers) {
                bounds(wrong, item, &container.resources.requests, &container.resources.limits);
            }
        }
        "Pod" => {
            let requests = together(pod, |container| &container.resources.requests);
            let limits = together(pod, |container| &container.resources.limits);
            bounds(wrong, item, &requests, &limits);
        }
        _ => {}
    }
}

/// What all containers have together, of the resources that each of them has; or one init container, if that has more.
fn together(pod: &Pod, of: impl Fn(&Container) -> &ResourceList) -> ResourceList {
    let everywhere = |containers: &[Container]| -> BTreeSet<String> {
        let mut lists = containers.iter().map(|container| of(container).keys().cloned().collect::<BTreeSet<_>>());
        let first = lists.next().unwrap_or_default();
        lists.fold(first, |all, one| all.intersection(&one).cloned().collect())
    };
    let mut total = ResourceList::new();
    for container in &pod.spec.containers {
        add(&mut total, of(container));
    }
    let names = everywhere(&pod.spec.containers);
    total.retain(|name, _| names.contains(name));
    for container in &pod.spec.init_containers {
        raise(&mut total, of(container));
    }
    total
}

fn bounds(wrong: &mut Vec<String>, item: &LimitRangeItem, requests: &ResourceList, limits: &ResourceList) {
    let kind = &item.r#type;
    for (name, least) in &item.min {
        let begin = format!("minimum {name} usage per {kind} is {least}");
        match (requests.get(name), limits.get(name)) {
            (None, _) => wrong.push(format!("{begin}.  No request is specified")),
            (Some(request), _) if request.amount() < least.amount() => {
                wrong.push(format!("{begin}, but request is {request}"));
            }
            (_, Some(limit)) if limit.amount() < least.amount() => {
                wrong.push(format!("{begin}, but limit is {limit}"));
            }
            _ => {}
        }
    }
    for (name, most) in &item.max {
        let begin = format!("maximum {name} usage per {kind} is {most}");
        match (requests.get(name), limits.get(name)) {
            (_, None) => wrong.push(format!("{begin}.  No limit is specified")),
            (_, Some(limit)) if limit.amount() > most.amount() => {
                wrong.push(format!("{begin}, but limit is {limit}"));
            }
            (Some(request), _) if request.amount() > most.amount() => {
                wrong.push(format!("{begin}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, ratio) in &item.max_limit_request_ratio {
        self::ratio(wrong, kind, name, ratio, (requests.get(name), limits.get(name)));
    }
}

fn ratio(wrong: &mut Vec<String>, kind: &str, name: &str, most: &Quantity, of: (Option<&Quantity>, Option<&Quantity>)) {
    let begin = format!("{name} max limit to request ratio per {kind} is {most}");
    let some = |quantity: Option<&Quantity>| quantity.map(Quantity::amount).filter(|amount| !amount.is_zero());
    match (some(of.0), some(of.1)) {
        (None, _) => wrong.push(format!("{begin}, but no request is specified or request is 0")),
        (_, None) => wrong.push(format!("{begin}, but no limit is specified or limit is 0")),
        (Some(request), Some(limit)) => {
            let share = as_float(limit) / as_float(request);
            if share > as_float(most.amount()) {
                wrong.push(format!("{begin}, but provided ratio is {share:.6}"));
            }
        }
    }
}

fn as_float(amount: Amount) -> f64 {
    amount.milli() as f64 / 1000.0
}

/// A claim has no limits: its request is judged alone.
fn requested_only(wrong: &mut Vec<String>, item: &LimitRangeItem, requests: &ResourceList) {
    let kind = &item.r#type;
    for (name, least) in &item.min {
        let begin = format!("minimum {name} usage per {kind} is {least}");
        match requests.get(name) {
            None => wrong.push(format!("{begin}.  No request is specified")),
            Some(request) if request.amount() < least.amount() => {
                wrong.push(format!("{begin}, but request is {request}"));
            }
            Some(_) => {}
        }
    }
    for (name, most) in &item.max {
        let begin = format!("maximum {name} usage per {kind} is {most}");
        match requests.get(name) {
            None => wrong.push(format!("{begin}.  No request is specified")),
            Some(request) if request.amount() > most.amount() => {
                wrong.push(format!("{begin}, but request is {request}"));
            }
            Some(_) => {}
        }
    }
}
