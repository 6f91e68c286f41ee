//! A pod as the scheduler sees it: read once from the API object, then only compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::core::v1 as core;

use crate::resource::{self, Resources};
use crate::selector::{Labels, NodeTerm, Selector};

/// Namespace and name.
pub type PodKey = (String, String);

/// All that decides where a pod can go, apart from labels and pod-to-pod terms. Pods of equal shape are decided once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub requests: Resources,
    pub scored: [i64; 2],
    /// The uid of the controller that made the pod, unless the pod says itself how it wants to be spread: its siblings
    /// are kept apart where that costs nothing.
    pub siblings: Option<String>,
    pub node_selector: Selector,
    /// Any of these terms must match; `None`: every node will do.
    pub required_nodes: Option<Vec<NodeTerm>>,
    pub preferred_nodes: Vec<(i64, NodeTerm)>,
    pub tolerations: Vec<Toleration>,
    pub ports: Vec<HostPort>,
    pub images: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    pub key: String,
    pub operator: String,
    pub value: String,
    pub effect: String,
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

impl Toleration {
    /// An empty key with Exists tolerates everything; an empty effect every effect.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if !self.effect.is_empty() && self.effect != taint.effect {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        let number = |text: &str| text.parse::<i64>().ok();
        match self.operator.as_str() {
            "Exists" => true,
            "" | "Equal" => !self.key.is_empty() && self.value == taint.value,
            "Lt" => {
                matches!((number(&taint.value), number(&self.value)), (Some(taint), Some(mine)) if taint < mine)
            }
            "Gt" => {
                matches!((number(&taint.value), number(&self.value)), (Some(taint), Some(mine)) if taint > mine)
            }
            _ => false,
        }
    }
}

/// A port that a pod takes on the node itself. An empty address is every address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    pub fn conflicts(&self, other: &Self) -> bool {
        let everywhere = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || everywhere(&self.ip) || everywhere(&other.ip))
    }
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    pub key: String,
    pub max_skew: i64,
    pub min_domains: i64,
    /// DoNotSchedule; otherwise a preference.
    pub hard: bool,
    pub selector: Option<Selector>,
    pub honor_affinity: bool,
    pub honor_taints: bool,
}

/// A pod (anti-)affinity term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTerm {
    pub key: String,
    pub selector: Option<Selector>,
    pub namespaces: BTreeSet<String>,
    /// Namespaces by label, in addition to those named.
    pub namespace_selector: Option<Selector>,
    /// 0 for required terms.
    pub weight: i64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct PodInfo {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub generation: i64,
    pub labels: Labels,
    /// The node it is bound to; empty while it waits.
    pub node: String,
    pub scheduler: String,
    pub priority: i32,
    /// preemptionPolicy: Never.
    pub never_preempts: bool,
    pub gated: bool,
    pub terminating: bool,
    /// Succeeded or Failed: it takes no room.
    pub finished: bool,
    /// Seconds and nanoseconds since 1970.
    pub created: (i64, i32),
    pub shape: Arc<Shape>,
    pub spreads: Vec<Spread>,
    pub affinity: Vec<PodTerm>,
    pub anti_affinity: Vec<PodTerm>,
    pub preferred_affinity: Vec<PodTerm>,
    pub preferred_anti_affinity: Vec<PodTerm>,
}

impl PodInfo {
    pub fn from_api(pod: &core::Pod) -> Self {
        let (meta, spec) = (&pod.metadata, &pod.spec);
        let affinity = spec.affinity.clone().unwrap_or_default();
        let nodes = affinity.node_affinity.unwrap_or_default();
        let requests = resource::taken(pod);
        let (to, away) = (affinity.pod_affinity.unwrap_or_default(), affinity.pod_anti_affinity.unwrap_or_default());
        let term = |weight, term: &core::PodAffinityTerm| pod_term(term, weight, meta);
        let weighted = |t: &core::WeightedPodAffinityTerm| pod_term(&t.pod_affinity_term, t.weight.into(), meta);
        let required = nodes.required_during_scheduling_ignored_during_execution;
        let preferred = nodes.preferred_during_scheduling_ignored_during_execution;
        let shape = Shape {
            scored: resource::scored(spec, &requests),
            requests,
            siblings: spec.topology_spread_constraints.is_empty().then(|| controller(meta)).flatten(),
            node_selector: Selector::from_labels(&spec.node_selector),
            required_nodes: required.map(|s| s.node_selector_terms.iter().map(NodeTerm::from_api).collect()),
            preferred_nodes: preferred.iter().map(|t| (t.weight.into(), NodeTerm::from_api(&t.preference))).collect(),
            tolerations: spec.tolerations.iter().map(toleration).collect(),
            ports: host_ports(spec),
            images: spec.containers.iter().map(|c| c.image.clone()).collect(),
        };
        Self {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            generation: meta.generation,
            labels: meta.labels.clone(),
            node: spec.node_name.clone(),
            scheduler: spec.scheduler_name.clone(),
            priority: spec.priority.unwrap_or_default(),
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
            gated: !spec.scheduling_gates.is_empty(),
            terminating: meta.deletion_timestamp.is_some(),
            finished: matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"),
            created: (meta.creation_timestamp.seconds, meta.creation_timestamp.nanos),
            shape: Arc::new(shape),
            spreads: spec.topology_spread_constraints.iter().map(|s| spread(s, meta)).collect(),
            affinity: to.required_during_scheduling_ignored_during_execution.iter().map(|t| term(0, t)).collect(),
            anti_affinity: away
                .required_during_scheduling_ignored_during_execution
                .iter()
                .map(|t| term(0, t))
                .collect(),
            preferred_affinity: to.preferred_during_scheduling_ignored_during_execution.iter().map(weighted).collect(),
            preferred_anti_affinity: away
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .map(weighted)
                .collect(),
        }
    }

    pub fn key(&self) -> PodKey {
        (self.namespace.clone(), self.name.clone())
    }

    /// Whether other pods decide where this one can go: then its answers cannot be reused for its equals.
    pub fn looks_at_pods(&self) -> bool {
        !(self.spreads.is_empty()
            && self.affinity.is_empty()
            && self.anti_affinity.is_empty()
            && self.preferred_affinity.is_empty()
            && self.preferred_anti_affinity.is_empty())
    }

    /// Whether it has terms that concern pods that come later.
    pub fn has_terms(&self) -> bool {
        !(self.affinity.is_empty()
            && self.anti_affinity.is_empty()
            && self.preferred_affinity.is_empty()
            && self.preferred_anti_affinity.is_empty())
    }
}

fn controller(meta: &proto::meta::v1::ObjectMeta) -> Option<String> {
    meta.owner_references.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}

fn toleration(toleration: &core::Toleration) -> Toleration {
    Toleration {
        key: toleration.key.clone(),
        operator: toleration.operator.clone(),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
    }
}

fn host_ports(spec: &core::PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    let mut all: Vec<HostPort> = ports
        .filter(|port| port.host_port > 0)
        .map(|port| HostPort {
            ip: port.host_ip.clone(),
            protocol: if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() },
            port: port.host_port,
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

fn spread(constraint: &core::TopologySpreadConstraint, meta: &proto::meta::v1::ObjectMeta) -> Spread {
    let mut selector = Selector::from_api(constraint.label_selector.as_ref());
    if let Some(selector) = &mut selector {
        same_labels(selector, &constraint.match_label_keys, meta, true);
    }
    Spread {
        key: constraint.topology_key.clone(),
        max_skew: constraint.max_skew.into(),
        min_domains: constraint.min_domains.unwrap_or(1).into(),
        hard: constraint.when_unsatisfiable != "ScheduleAnyway",
        selector,
        honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
        honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
    }
}

fn pod_term(term: &core::PodAffinityTerm, weight: i64, meta: &proto::meta::v1::ObjectMeta) -> PodTerm {
    let mut selector = Selector::from_api(term.label_selector.as_ref());
    if let Some(selector) = &mut selector {
        same_labels(selector, &term.match_label_keys, meta, true);
        same_labels(selector, &term.mismatch_label_keys, meta, false);
    }
    let mut namespaces: BTreeSet<String> = term.namespaces.iter().cloned().collect();
    let namespace_selector = Selector::from_api(term.namespace_selector.as_ref());
    if namespaces.is_empty() && namespace_selector.is_none() {
        namespaces.insert(meta.namespace.clone());
    }
    PodTerm { key: term.topology_key.clone(), selector, namespaces, namespace_selector, weight }
}

fn same_labels(selector: &mut Selector, keys: &[String], meta: &proto::meta::v1::ObjectMeta, equal: bool) {
    for (key, value) in keys.iter().filter_map(|key| Some((key, meta.labels.get(key)?))) {
        if equal { selector.require(key, value) } else { selector.exclude(key, value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, operator: &str, value: &str, effect: &str, expect: bool) {
        let taint = Taint { key: "k".into(), value: "v".into(), effect: "NoSchedule".into() };
        let toleration =
            Toleration { key: key.into(), operator: operator.into(), value: value.into(), effect: effect.into() };
        assert_eq!(toleration.tolerates(&taint), expect, "{toleration:?}");
    }

    #[test]
    fn tolerations_match_as_documented() {
        check("k", "Equal", "v", "NoSchedule", true);
        check("k", "", "v", "", true);
        check("k", "Equal", "other", "", false);
        check("k", "Exists", "", "", true);
        check("", "Exists", "", "", true);
        check("", "Exists", "", "NoExecute", false);
        check("other", "Exists", "", "", false);
    }

    #[test]
    fn host_ports_conflict_on_the_same_or_on_every_address() {
        let port = |ip: &str, port| HostPort { ip: ip.into(), protocol: "TCP".into(), port };
        assert!(port("", 80).conflicts(&port("10.0.0.1", 80)));
        assert!(port("0.0.0.0", 80).conflicts(&port("10.0.0.1", 80)));
        assert!(!port("10.0.0.2", 80).conflicts(&port("10.0.0.1", 80)));
        assert!(!port("", 80).conflicts(&port("", 81)));
    }
}
