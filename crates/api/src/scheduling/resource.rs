//! Amounts of resources: what a pod asks for and what a node has.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::Quantity;
use proto::core::v1 as core;

use crate::quantity::ResourceList;

/// Milli-CPUs and bytes that a container without requests counts for when nodes are scored.
const SCORED_CPU_M: i64 = 100;
const SCORED_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource. Extended resources are sorted by name and few, so most pods allocate nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    pub cpu_m: i64,
    pub memory: i64,
    pub ephemeral: i64,
    pub extended: Vec<(Arc<str>, i64)>,
}

impl Resources {
    /// From a list of the API; `pods` is not among the amounts.
    pub fn from_list(list: &BTreeMap<String, Quantity>) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in list {
            match name.as_str() {
                "cpu" => amounts.cpu_m = milli(quantity),
                "memory" => amounts.memory = value(quantity),
                "ephemeral-storage" => amounts.ephemeral = value(quantity),
                "pods" => {}
                other => amounts.extended.push((other.into(), value(quantity))),
            }
        }
        amounts
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine.saturating_add(theirs));
    }

    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine.saturating_sub(theirs));
    }

    /// Whether an amount was cut off at what can be counted.
    pub fn is_saturated(&self) -> bool {
        let extended = self.extended.iter().map(|(_, amount)| *amount);
        [self.cpu_m, self.memory, self.ephemeral].into_iter().chain(extended).any(|amount| amount == i64::MAX)
    }

    /// The larger amount of each resource.
    pub fn max(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    /// The amount of an extended resource.
    pub fn extended(&self, name: &str) -> i64 {
        self.extended.iter().find(|(mine, _)| &**mine == name).map_or(0, |(_, amount)| *amount)
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.cpu_m = with(self.cpu_m, other.cpu_m);
        self.memory = with(self.memory, other.memory);
        self.ephemeral = with(self.ephemeral, other.ephemeral);
        for (name, amount) in &other.extended {
            match self.extended.binary_search_by(|(mine, _)| mine.cmp(name)) {
                Ok(at) => self.extended[at].1 = with(self.extended[at].1, *amount),
                Err(at) => self.extended.insert(at, (name.clone(), with(0, *amount))),
            }
        }
    }
}

/// What a pod asks for: the larger of its containers together and of each init container in turn (sidecars count from
/// their start on), overhead added. Requests of the pod as a whole replace those of its containers.
pub fn requests(spec: &core::PodSpec) -> Resources {
    let mut running = Resources::default();
    let mut starting = Resources::default();
    for container in &spec.init_containers {
        let mut needs = of_container(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&needs);
            starting.max(&running);
        } else {
            needs.add(&running);
            starting.max(&needs);
        }
    }
    for container in &spec.containers {
        running.add(&of_container(container));
    }
    running.max(&starting);
    if let Some(whole) = &spec.resources {
        let amounts = Resources::from_list(&whole.requests);
        if whole.requests.contains_key("cpu") {
            running.cpu_m = amounts.cpu_m;
        }
        if whole.requests.contains_key("memory") {
            running.memory = amounts.memory;
        }
    }
    running.add(&Resources::from_list(&spec.overhead));
    running
}

/// What a pod takes of its node: while it is resized, of what it asks, was granted and has, the most. What can never be
/// granted does not count.
pub fn taken(pod: &core::Pod) -> Resources {
    let infeasible = |one: &core::PodCondition| {
        one.r#type == "PodResizePending" && one.reason == "Infeasible" && one.status == "True"
    };
    let counts_asked = !pod.status.conditions.iter().any(infeasible);
    let statuses = || pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let resized = |container: &core::Container| {
        let status = statuses().find(|status| status.name == container.name)?;
        let requests = taken_by(container, status, counts_asked);
        (requests != container.resources.requests).then_some(requests)
    };
    if pod.spec.containers.iter().chain(&pod.spec.init_containers).all(|container| resized(container).is_none()) {
        return requests(&pod.spec);
    }
    let mut spec = pod.spec.clone();
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        if let Some(requests) = resized(container) {
            container.resources.requests = requests;
        }
    }
    requests(&spec)
}

fn taken_by(container: &core::Container, status: &core::ContainerStatus, counts_asked: bool) -> ResourceList {
    let asked = &container.resources.requests;
    let mut most = asked.clone();
    for name in ["cpu", "memory"] {
        let has = status.resources.as_ref().and_then(|resources| resources.requests.get(name));
        let known = status.allocated_resources.get(name).into_iter().chain(has);
        let all = known.chain(asked.get(name).filter(|_| counts_asked));
        if let Some(largest) = all.max_by_key(|quantity| quantity.amount()) {
            most.insert(name.to_owned(), largest.clone());
        }
    }
    most
}

/// CPU and memory that scores count: containers that ask for nothing count for a little.
pub fn scored(spec: &core::PodSpec, requests: &Resources) -> [i64; 2] {
    let lacking = |name: &str| spec.containers.iter().filter(|c| !c.resources.requests.contains_key(name)).count();
    let count = |name: &str| i64::try_from(lacking(name)).unwrap_or(i64::MAX);
    [
        requests.cpu_m.saturating_add(count("cpu").saturating_mul(SCORED_CPU_M)),
        requests.memory.saturating_add(count("memory").saturating_mul(SCORED_MEMORY)),
    ]
}

fn of_container(container: &core::Container) -> Resources {
    Resources::from_list(&container.resources.requests)
}

/// Whole units, rounded up. What cannot be read counts as nothing: the API server has checked it.
pub fn value(quantity: &Quantity) -> i64 {
    quantity.amount().value()
}

/// Thousandths, rounded up.
pub fn milli(quantity: &Quantity) -> i64 {
    quantity.amount().milli()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity { string: text.into() }
    }

    fn container(cpu: &str, policy: Option<&str>) -> core::Container {
        let mut container = core::Container { restart_policy: policy.map(str::to_owned), ..Default::default() };
        container.resources.requests.insert("cpu".into(), quantity(cpu));
        container
    }

    #[test]
    fn init_containers_count_one_at_a_time() {
        let spec = core::PodSpec {
            init_containers: vec![container("3", None), container("1", None)],
            containers: vec![container("1", None), container("1", None)],
            ..Default::default()
        };
        assert_eq!(requests(&spec).cpu_m, 3000);
    }

    #[test]
    fn sidecars_count_from_their_start_on() {
        let spec = core::PodSpec {
            init_containers: vec![container("1", Some("Always")), container("3", None)],
            containers: vec![container("2", None)],
            ..Default::default()
        };
        assert_eq!(requests(&spec).cpu_m, 4000);
    }

    #[test]
    fn a_pod_that_is_resized_takes_the_most_of_what_it_asks_was_granted_and_has() {
        let check = |asked: &str, granted: &str, has: &str, reason: &str, expect: i64| {
            let mut pod = core::Pod::default();
            pod.spec.containers = vec![core::Container { name: "c".into(), ..container(asked, None) }];
            let resources = Some(container(has, None).resources);
            let mut status = core::ContainerStatus { name: "c".into(), resources, ..Default::default() };
            status.allocated_resources.insert("cpu".into(), quantity(granted));
            pod.status.container_statuses = vec![status];
            pod.status.conditions = vec![core::PodCondition {
                r#type: "PodResizePending".into(),
                status: "True".into(),
                reason: reason.into(),
                ..Default::default()
            }];
            assert_eq!(taken(&pod).cpu_m, expect);
        };
        check("1", "1", "1", "", 1000);
        check("3", "1", "1", "Deferred", 3000);
        check("1", "1", "2", "", 2000);
        check("100", "2", "1", "Infeasible", 2000);
    }

    #[test]
    fn overhead_and_whole_pod_requests_count() {
        let mut spec = core::PodSpec { containers: vec![container("1", None)], ..Default::default() };
        spec.overhead.insert("cpu".into(), quantity("250m"));
        assert_eq!(requests(&spec).cpu_m, 1250);
        spec.resources = Some(core::ResourceRequirements::default());
        spec.resources.as_mut().unwrap().requests.insert("cpu".into(), quantity("4"));
        assert_eq!(requests(&spec).cpu_m, 4250);
    }
}
