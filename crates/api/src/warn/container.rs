//! Containers: resources, variables and ports.

use std::collections::{BTreeMap, BTreeSet};

use proto::core::v1::{ContainerPort, EnvVar, PodSpec, ResourceRequirements, SecurityContext};

use super::Warnings;
use crate::quantity::ResourceList;
use crate::status::quoted;
use crate::validate::Path;

/// What containers of every kind have.
pub struct Container<'a> {
    pub name: &'a str,
    pub env: &'a [EnvVar],
    pub ports: &'a [ContainerPort],
    pub resources: &'a ResourceRequirements,
    pub security: Option<&'a SecurityContext>,
    /// It ends before the others begin, and so shares no port with them.
    pub before: bool,
}

macro_rules! common {
    ($container:expr, $before:expr) => {
        Container {
            name: &$container.name,
            env: &$container.env,
            ports: &$container.ports,
            resources: &$container.resources,
            security: $container.security_context.as_ref(),
            before: $before,
        }
    };
}

/// Visits all containers of a pod.
pub fn each(spec_path: Path<'_>, spec: &PodSpec, mut visit: impl FnMut(Path<'_>, Container<'_>)) {
    let path = spec_path.child("initContainers");
    for (index, container) in spec.init_containers.iter().enumerate() {
        visit(path.index(index), common!(container, container.restart_policy.as_deref() != Some("Always")));
    }
    let path = spec_path.child("containers");
    for (index, container) in spec.containers.iter().enumerate() {
        visit(path.index(index), common!(container, false));
    }
    let path = spec_path.child("ephemeralContainers");
    for (index, container) in spec.ephemeral_containers.iter().enumerate() {
        visit(path.index(index), common!(container.ephemeral_container_common, false));
    }
}

/// All containers of a pod.
pub fn all(warnings: &mut Warnings, spec_path: Path<'_>, spec: &PodSpec) {
    let mut ports = Ports::default();
    each(spec_path, spec, |path, container| {
        let resources = path.child("resources");
        for name in ["memory", "ephemeral-storage"] {
            whole_bytes(warnings, resources.child("limits"), name, &container.resources.limits);
            whole_bytes(warnings, resources.child("requests"), name, &container.resources.requests);
        }
        variables(warnings, path.child("env"), container.env);
        if !container.before {
            let path = path.child("ports");
            for (index, port) in container.ports.iter().enumerate() {
                ports.add(warnings, path.index(index), port);
            }
        }
    });
}

/// A quantity of bytes that counts parts of bytes.
pub fn whole_bytes(warnings: &mut Warnings, path: Path<'_>, name: &str, list: &ResourceList) {
    let Some(quantity) = list.get(name) else { return };
    if !quantity.amount().is_whole() {
        let shown = quoted(&quantity.string);
        warnings.push(format!("{}: fractional byte value {shown} is invalid, must be an integer", path.key(name)));
    }
}

/// A variable that is said twice, except where the later one builds upon the earlier.
fn variables(warnings: &mut Warnings, path: Path<'_>, variables: &[EnvVar]) {
    let mut known = BTreeSet::new();
    for (index, variable) in variables.iter().enumerate() {
        if known.insert(&variable.name) {
            continue;
        }
        let earlier = format!("$({})", variable.name);
        let builds = variable.value_from.is_none() && variable.value.contains(&earlier) && variable.value != earlier;
        if !builds {
            let (path, name) = (path.index(index), quoted(&variable.name));
            warnings
                .push(format!("{path}: hides previous definition of {name}, which may be dropped when using apply"));
        }
    }
}

/// The ports seen so far, with the texts of their paths.
#[derive(Default)]
struct Ports {
    by_number: BTreeMap<(i32, String), Vec<(String, ContainerPort)>>,
    by_name: BTreeMap<String, String>,
}

impl Ports {
    fn add(&mut self, warnings: &mut Warnings, path: Path<'_>, port: &ContainerPort) {
        let others = self.by_number.entry((port.container_port, port.protocol.clone())).or_default();
        for (other_path, other) in others.iter() {
            let how = match (port.host_port, other.host_port) {
                (mine, its) if mine == its && (mine == 0 || port.host_ip == other.host_ip) => "duplicate",
                // On one address, and on all of them.
                (mine, its) if mine == its && (port.host_ip.is_empty() || other.host_ip.is_empty()) => "overlapping",
                (mine, its) if mine != its && (mine == 0 || its == 0) => "overlapping",
                _ => continue,
            };
            warnings.push(format!("{path}: {how} port definition with {other_path}"));
        }
        if port.host_port == 0 && !port.host_ip.is_empty() {
            warnings.push(format!("{path}: hostIP set without hostPort: {}", shown(port)));
        }
        others.push((path.to_string(), port.clone()));
        if port.name.is_empty() {
            return;
        }
        match self.by_name.get(&port.name) {
            Some(other) => warnings.push(format!(
                "{path}: duplicate port name {} with {other}, services and probes that select ports by name will use \
                 {other}",
                quoted(&port.name)
            )),
            None => {
                self.by_name.insert(port.name.clone(), path.to_string());
            }
        }
    }
}

fn shown(port: &ContainerPort) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.name, port.host_port, port.container_port, port.protocol, port.host_ip
    )
}
