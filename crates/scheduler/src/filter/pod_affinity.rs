//! Affinity and anti-affinity between pods, both ways: the pod's own terms, and those of the pods that are placed.

use std::collections::{HashMap, HashSet};

use crate::pod::{PodInfo, PodTerm};
use crate::reason::Reason;
use crate::snapshot::{NodeIx, Snapshot};

/// Something for each domain: by topology key, then by its value. Keys are few, values as many as nodes.
type ByDomain<'a, T> = HashMap<&'a str, HashMap<&'a str, T>>;

/// Weight of a placed pod's required affinity when it is counted as a preference.
const REQUIRED_WEIGHT: i64 = 1;

/// The terms about one pod, looked up in the placed pods.
pub struct PodAffinity<'a> {
    pod: &'a PodInfo,
    /// For each required term of the pod, the domains with a matching pod.
    wanted: Vec<HashSet<&'a str>>,
    /// Nobody matches any required term yet, and the pod itself matches all: it may be the first.
    may_be_first: bool,
    /// For each anti-affinity term, the domains with a matching pod.
    avoided: Vec<HashSet<&'a str>>,
    /// Domains from which placed pods keep this one away.
    closed: ByDomain<'a, ()>,
    /// Sum of preferences, both ways, by domain.
    liked: ByDomain<'a, i64>,
}

impl<'a> PodAffinity<'a> {
    pub fn prepare(snapshot: &'a Snapshot, pod: &'a PodInfo) -> Self {
        let mut this = Self {
            pod,
            wanted: pod.affinity.iter().map(|term| domains(snapshot, term)).collect(),
            may_be_first: false,
            avoided: pod.anti_affinity.iter().map(|term| domains(snapshot, term)).collect(),
            closed: HashMap::new(),
            liked: HashMap::new(),
        };
        this.may_be_first =
            this.wanted.iter().all(HashSet::is_empty) && pod.affinity.iter().all(|term| selects(snapshot, term, pod));
        this.own_preferences(snapshot);
        if snapshot.has_terms() {
            this.terms_of_others(snapshot);
        }
        this
    }

    /// The reason against a node.
    pub fn refuses(&self, snapshot: &Snapshot, ix: NodeIx) -> Option<Reason> {
        let labels = &snapshot.labels[ix];
        let value = |term: &PodTerm| labels.get(&term.key).map(String::as_str);
        let mut wanted = self.pod.affinity.iter().zip(&self.wanted);
        let near = wanted.all(|(term, domains)| value(term).is_some_and(|v| self.may_be_first || domains.contains(v)));
        if !near {
            return Some(Reason::PodAffinity);
        }
        let mut avoided = self.pod.anti_affinity.iter().zip(&self.avoided);
        if avoided.any(|(term, domains)| value(term).is_some_and(|v| domains.contains(v))) {
            return Some(Reason::PodAntiAffinity);
        }
        let closed =
            self.closed.iter().any(|(key, values)| labels.get(*key).is_some_and(|v| values.contains_key(v.as_str())));
        closed.then_some(Reason::ExistingAntiAffinity)
    }

    /// The sum of preferences for a node.
    pub fn liking(&self, snapshot: &Snapshot, ix: NodeIx) -> i64 {
        let labels = &snapshot.labels[ix];
        self.liked.iter().filter_map(|(key, values)| values.get(labels.get(*key)?.as_str())).sum()
    }

    pub fn has_preferences(&self) -> bool {
        !self.liked.is_empty()
    }

    fn own_preferences(&mut self, snapshot: &'a Snapshot) {
        let away = self.pod.preferred_anti_affinity.iter().map(|term| (term, -term.weight));
        let terms: Vec<_> = self.pod.preferred_affinity.iter().map(|term| (term, term.weight)).chain(away).collect();
        if terms.is_empty() {
            return;
        }
        for ix in snapshot.nodes() {
            for (term, weight) in &terms {
                let Some(value) = snapshot.labels[ix].get(&term.key) else {
                    continue;
                };
                let count = snapshot.pods[ix].iter().filter(|other| selects(snapshot, term, other)).count();
                if count > 0 {
                    *self.liked.entry(&term.key).or_default().entry(value).or_default() +=
                        weight * i64::try_from(count).unwrap_or(i64::MAX);
                }
            }
        }
    }

    fn terms_of_others(&mut self, snapshot: &'a Snapshot) {
        for ix in snapshot.nodes() {
            let labels = &snapshot.labels[ix];
            for other in snapshot.pods[ix].iter().filter(|other| other.has_terms()) {
                let about_us = |term: &&'a PodTerm| selects(snapshot, term, self.pod);
                for term in other.anti_affinity.iter().filter(about_us) {
                    if let Some(value) = labels.get(&term.key) {
                        self.closed.entry(&term.key).or_default().insert(value, ());
                    }
                }
                let required = other.affinity.iter().map(|term| (term, REQUIRED_WEIGHT));
                let liked = other.preferred_affinity.iter().map(|term| (term, term.weight));
                let disliked = other.preferred_anti_affinity.iter().map(|term| (term, -term.weight));
                for (term, weight) in required.chain(liked).chain(disliked).filter(|(term, _)| about_us(term)) {
                    if let Some(value) = labels.get(&term.key) {
                        *self.liked.entry(&term.key).or_default().entry(value).or_default() += weight;
                    }
                }
            }
        }
    }
}

fn domains<'a>(snapshot: &'a Snapshot, term: &PodTerm) -> HashSet<&'a str> {
    let nodes = snapshot.nodes().filter(|ix| snapshot.pods[*ix].iter().any(|other| selects(snapshot, term, other)));
    nodes.filter_map(|ix| snapshot.labels[ix].get(&term.key).map(String::as_str)).collect()
}

fn selects(snapshot: &Snapshot, term: &PodTerm, pod: &PodInfo) -> bool {
    let by_label = || {
        let selector = term.namespace_selector.as_ref();
        selector.is_some_and(|s| {
            s.is_empty() || snapshot.namespaces.get(&pod.namespace).is_some_and(|labels| s.matches(labels))
        })
    };
    (term.namespaces.contains(&pod.namespace) || by_label())
        && term.selector.as_ref().is_some_and(|selector| selector.matches(&pod.labels))
}
