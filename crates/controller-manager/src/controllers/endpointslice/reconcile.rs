//! Turns the slices that exist into those that should, with as few writes as can be.
//!
//! Endpoints stay in the slice that has them; new ones fill what room there is; then slices are added. A family without
//! any endpoint keeps one empty slice, so that readers know that the Service was looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::meta::controller_reference;
use proto::core::v1::Service;
use proto::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use super::{Group, HEADLESS, MANAGED_BY, MANAGER, SERVICE_NAME, TRIGGER_TIME};
use crate::view::View;
use crate::write::{Plan, Write};

/// Decides. `found`: the slices that exist.
pub fn plan(
    view: &View,
    service: &Service,
    found: Vec<Arc<EndpointSlice>>,
    desired: Vec<(Group, Vec<Endpoint>)>,
    trigger: String,
) -> Plan {
    let room = view.settings.max_endpoints_per_slice;
    let labels = labels(service);
    let mut plan = Plan::none();
    let mut spare = found;
    for ((family, ports), endpoints) in desired {
        let (mut mine, rest): (Vec<_>, Vec<_>) = spare.into_iter().partition(|slice| {
            // Where the family has no endpoint left, any slice of it can become the empty one.
            let can_turn = slice.endpoints.is_empty() || endpoints.is_empty();
            slice.address_type == family && (slice.ports == ports || can_turn)
        });
        spare = rest;
        // Slices with the very ports first; empty ones may take any ports over.
        mine.sort_by_key(|slice| (slice.ports != ports, slice.metadata.name.clone()));
        let target = Target { service, family: &family, ports: &ports, labels: &labels, trigger: &trigger };
        target.fill(mine, endpoints, room, &mut plan, &mut spare);
    }
    for slice in spare {
        plan.push(Write::delete(&*slice));
    }
    plan
}

/// What slices of one group look like.
struct Target<'a> {
    service: &'a Service,
    family: &'a str,
    ports: &'a [EndpointPort],
    labels: &'a BTreeMap<String, String>,
    trigger: &'a str,
}

impl Target<'_> {
    fn fill(
        &self,
        mine: Vec<Arc<EndpointSlice>>,
        endpoints: Vec<Endpoint>,
        room: usize,
        plan: &mut Plan,
        spare: &mut Vec<Arc<EndpointSlice>>,
    ) {
        let mut waiting: BTreeMap<(String, Vec<String>), Endpoint> =
            endpoints.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
        let mut kept: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)> = mine
            .into_iter()
            .map(|slice| {
                let stay = slice.endpoints.iter().filter_map(|endpoint| waiting.remove(&identity(endpoint))).collect();
                (slice, stay)
            })
            .collect();
        let mut waiting = waiting.into_values();
        for (_, endpoints) in &mut kept {
            let free = room.saturating_sub(endpoints.len());
            endpoints.extend(waiting.by_ref().take(free));
        }
        let rest: Vec<Endpoint> = waiting.collect();
        // One empty slice stays where there is nothing at all.
        let mut placeholder_needed = rest.is_empty() && kept.iter().all(|(_, endpoints)| endpoints.is_empty());
        for (slice, endpoints) in kept {
            if endpoints.is_empty() && !std::mem::take(&mut placeholder_needed) {
                spare.push(slice);
            } else {
                self.update(&slice, endpoints, plan);
            }
        }
        if placeholder_needed {
            plan.push(Write::create(self.slice(EndpointSlice::default(), Vec::new())));
        }
        for chunk in rest.chunks(room) {
            plan.push(Write::create(self.slice(EndpointSlice::default(), chunk.to_vec())));
        }
    }

    fn update(&self, slice: &EndpointSlice, endpoints: Vec<Endpoint>, plan: &mut Plan) {
        let mut wanted = self.slice(slice.clone(), endpoints);
        let trigger = wanted.metadata.annotations.remove(TRIGGER_TIME);
        let mut before = slice.clone();
        before.metadata.annotations.remove(TRIGGER_TIME);
        if wanted == before {
            return;
        }
        if let Some(trigger) = trigger {
            wanted.metadata.annotations.insert(TRIGGER_TIME.to_owned(), trigger);
        }
        plan.push(Write::update(wanted));
    }

    fn slice(&self, base: EndpointSlice, endpoints: Vec<Endpoint>) -> EndpointSlice {
        let mut slice = base;
        let meta = &mut slice.metadata;
        if meta.name.is_empty() {
            meta.namespace = self.service.metadata.namespace.clone();
            meta.generate_name = format!("{}-", self.service.metadata.name);
            meta.owner_references = vec![controller_reference(self.service)];
        }
        meta.labels = self.labels.clone();
        meta.annotations.insert(TRIGGER_TIME.to_owned(), self.trigger.to_owned());
        slice.address_type = self.family.to_owned();
        slice.ports = if endpoints.is_empty() { Vec::new() } else { self.ports.to_vec() };
        slice.endpoints = endpoints;
        slice
    }
}

/// The Service's labels and ours.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    if service.spec.cluster_ip == "None" {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// What makes an endpoint the same one.
fn identity(endpoint: &Endpoint) -> (String, Vec<String>) {
    let target = endpoint.target_ref.as_ref().map(|target| format!("{}/{}", target.name, target.uid));
    (target.unwrap_or_default(), endpoint.addresses.clone())
}
