//! The proxy's view and what follows from it: changes in, a transaction and stale flows out. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::core::v1 as core;
use proto::discovery::v1 as discovery;

use crate::conntrack::{self, StaleFlow};
use crate::diff::{self, Found, Ruleset};
use crate::endpoint::Endpoints;
use crate::ruleset::{self, Fragment, Settings};
use crate::service::{Service, ServiceName};
use crate::table::Transaction;

/// Label of an EndpointSlice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Steps for the kernel's tables, and the flows to forget after them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub steps: Transaction,
    pub stale: Vec<StaleFlow>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    settings: Settings,
    services: BTreeMap<ServiceName, Service>,
    slices: BTreeMap<ServiceName, BTreeMap<String, Arc<discovery::EndpointSlice>>>,
    dirty: BTreeSet<ServiceName>,
    rules: Ruleset,
}

impl State {
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Default::default() }
    }

    /// A Service came, changed, or (`None`) is gone.
    pub fn service_changed(&mut self, name: ServiceName, service: Option<&core::Service>) {
        match service.and_then(Service::from_api) {
            Some(service) => self.services.insert(name.clone(), service),
            None => self.services.remove(&name),
        };
        self.dirty.insert(name);
    }

    /// An EndpointSlice came, changed, or is gone (`old` is what it was). It may have moved to another Service.
    pub fn slice_changed(
        &mut self,
        old: Option<&discovery::EndpointSlice>,
        new: Option<Arc<discovery::EndpointSlice>>,
    ) {
        if let Some((slice, name)) = old.and_then(|slice| Some((slice, owner(slice)?))) {
            if let Some(slices) = self.slices.get_mut(&name) {
                slices.remove(&slice.metadata.name);
                if slices.is_empty() {
                    self.slices.remove(&name);
                }
            }
            self.dirty.insert(name);
        }
        if let Some((name, slice)) = new.and_then(|slice| Some((owner(&slice)?, slice))) {
            self.slices.entry(name.clone()).or_default().insert(slice.metadata.name.clone(), slice);
            self.dirty.insert(name);
        }
    }

    /// The node moved to another zone; true: every Service must be looked at again.
    pub fn zone_changed(&mut self, zone: Option<String>) -> bool {
        if self.settings.place.zone == zone {
            return false;
        }
        self.settings.place.zone = zone;
        self.dirty.extend(self.services.keys().cloned());
        true
    }

    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// How many Services and endpoints (of all slices) there are.
    pub fn counts(&self) -> (usize, usize) {
        let slices = self.slices.values().flat_map(BTreeMap::values);
        (self.services.len(), slices.map(|slice| slice.endpoints.len()).sum())
    }

    /// What must change for the Services that changed. The plan counts as done: if it fails, [`State::reconcile`] is next.
    pub fn plan(&mut self) -> Plan {
        let mut plan = Plan::default();
        for name in std::mem::take(&mut self.dirty) {
            let new = self.fragment(&name);
            let none = Fragment::default();
            let old = self.rules.part(&name).unwrap_or(&none);
            plan.stale.extend(conntrack::stale(old, new.as_ref().unwrap_or(&none)));
            plan.steps.extend(self.rules.replace(&name, new));
        }
        plan
    }

    /// What makes the tables found in the kernel right, whatever they hold.
    pub fn reconcile(&mut self, found: &Found) -> Plan {
        let stale = self.plan().stale;
        Plan { steps: diff::reconcile(found, &self.rules), stale }
    }

    /// The steps that make the tables anew, where what was found cannot be mended.
    pub fn rebuild(&self, found: &Found) -> Transaction {
        let deleted = found.families.iter().map(|family| crate::table::Op::DeleteTable(*family));
        deleted.chain(self.rules.build()).collect()
    }

    /// What the kernel holds if nobody else touched it.
    pub fn expected(&self) -> Found {
        self.rules.expected()
    }

    /// For each Service with a health check node port: the port and how many endpoints are ready here.
    pub fn health_checks(&self) -> BTreeMap<u16, (ServiceName, usize)> {
        let with_port = self.services.values().filter(|service| service.external_local);
        with_port
            .filter_map(|service| {
                let local = self.endpoints(&service.name).local_ready(&self.settings.place);
                Some((service.health_check_node_port?, (service.name.clone(), local)))
            })
            .collect()
    }

    fn endpoints(&self, name: &ServiceName) -> Endpoints {
        Endpoints::from_slices(self.slices.get(name).into_iter().flat_map(BTreeMap::values).map(|slice| &**slice))
    }

    fn fragment(&self, name: &ServiceName) -> Option<Fragment> {
        let service = self.services.get(name)?;
        Some(ruleset::fragment(service, &self.endpoints(name), &self.settings))
    }
}

fn owner(slice: &discovery::EndpointSlice) -> Option<ServiceName> {
    let name = slice.metadata.labels.get(SERVICE_LABEL)?;
    Some(ServiceName::new(&slice.metadata.namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeKernel;

    fn service(name: &str, ip: &str) -> core::Service {
        let mut service = core::Service::default();
        service.metadata.namespace = "n".into();
        service.metadata.name = name.into();
        service.spec.cluster_ips = vec![ip.into()];
        service.spec.ports = vec![core::ServicePort { port: 80, protocol: "UDP".into(), ..Default::default() }];
        service
    }

    fn slice(name: &str, of: &str, addresses: &[&str]) -> Arc<discovery::EndpointSlice> {
        let mut slice = discovery::EndpointSlice { address_type: "IPv4".into(), ..Default::default() };
        slice.metadata.namespace = "n".into();
        slice.metadata.name = name.into();
        slice.metadata.labels.insert(SERVICE_LABEL.into(), of.into());
        slice.ports =
            vec![discovery::EndpointPort { port: Some(80), protocol: Some("UDP".into()), ..Default::default() }];
        slice.endpoints = addresses
            .iter()
            .map(|a| discovery::Endpoint { addresses: vec![(*a).into()], ..Default::default() })
            .collect();
        Arc::new(slice)
    }

    fn name(text: &str) -> ServiceName {
        ServiceName::new("n", text)
    }

    #[test]
    fn one_change_touches_one_service() {
        let mut state = State::default();
        for (n, ip) in [("a", "10.96.0.1"), ("b", "10.96.0.2")] {
            state.service_changed(name(n), Some(&service(n, ip)));
            state.slice_changed(None, Some(slice(n, n, &["10.244.0.1"])));
        }
        let kernel = FakeKernel::default();
        kernel.apply_now(&state.plan().steps).unwrap();
        state.slice_changed(Some(&slice("a", "a", &["10.244.0.1"])), Some(slice("a", "a", &["10.244.0.2"])));
        let plan = state.plan();
        kernel.apply_now(&plan.steps).unwrap();
        assert!(!plan.steps.is_empty() && !plan.steps.iter().any(|step| step.to_string().contains("n/b")));
        assert_eq!(plan.stale.len(), 1, "{:?}", plan.stale);
        assert_eq!(kernel.found(), state.expected());
        assert!(!state.is_dirty());
    }

    #[test]
    fn slices_may_come_before_their_service_and_outlive_it() {
        let mut state = State::default();
        state.slice_changed(None, Some(slice("a", "a", &["10.244.0.1"])));
        assert_eq!(state.plan().steps, []);
        state.service_changed(name("a"), Some(&service("a", "10.96.0.1")));
        let kernel = FakeKernel::default();
        kernel.apply_now(&state.plan().steps).unwrap();
        assert!(kernel.dump().contains("10.244.0.1:80"));
        state.service_changed(name("a"), None);
        kernel.apply_now(&state.plan().steps).unwrap();
        assert_eq!(kernel.dump(), "");
    }

    #[test]
    fn whatever_was_found_can_be_mended() {
        let mut state = State::default();
        state.service_changed(name("a"), Some(&service("a", "10.96.0.1")));
        let kernel = FakeKernel::default();
        kernel.apply_now(&state.plan().steps).unwrap();
        state.service_changed(name("b"), Some(&service("b", "10.96.0.2")));
        kernel.apply_now(&state.reconcile(&Found::default()).steps).unwrap();
        assert_eq!(kernel.found(), state.expected());
    }
}
