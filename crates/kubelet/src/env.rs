//! The environment, command and working directory of a container. Pure, given the objects it refers to.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use proto::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret, Service};

/// The objects that a container's environment refers to, by name; None where one does not exist.
#[derive(Clone, Debug, Default)]
pub struct Referred {
    pub config_maps: HashMap<String, Option<ConfigMap>>,
    pub secrets: HashMap<String, Option<Secret>>,
    pub services: Vec<Arc<Service>>,
}

/// What of the node the environment may name.
#[derive(Clone, Debug)]
pub struct Place {
    pub node_name: String,
    pub host_ip: IpAddr,
    pub pod_ip: Option<IpAddr>,
    /// For limits that a container leaves out.
    pub allocatable: BTreeMap<String, i64>,
}

/// The names of the ConfigMaps and Secrets that the container's environment needs.
pub fn references(container: &Container) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for from in &container.env_from {
        maps.extend(from.config_map_ref.as_ref().map(|reference| reference.local_object_reference.name.clone()));
        secrets.extend(from.secret_ref.as_ref().map(|reference| reference.local_object_reference.name.clone()));
    }
    for source in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
        maps.extend(source.config_map_key_ref.as_ref().map(|key| key.local_object_reference.name.clone()));
        secrets.extend(source.secret_key_ref.as_ref().map(|key| key.local_object_reference.name.clone()));
    }
    for list in [&mut maps, &mut secrets] {
        list.sort();
        list.dedup();
    }
    (maps, secrets)
}

/// The container's own variables, in order. The error is what the container's state shows.
pub fn environment(
    pod: &Pod,
    container: &Container,
    referred: &Referred,
    place: &Place,
) -> Result<Vec<(String, String)>, String> {
    let mut env = Environment::default();
    for (name, value) in service_variables(pod, &referred.services) {
        env.set(&name, value);
    }
    for from in &container.env_from {
        if let Some(reference) = &from.config_map_ref {
            let name = &reference.local_object_reference.name;
            match referred.config_maps.get(name).and_then(Option::as_ref) {
                Some(map) => {
                    map.data.iter().for_each(|(key, value)| env.set(&format!("{}{key}", from.prefix), value.clone()))
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap \"{name}\" not found")),
            }
        }
        if let Some(reference) = &from.secret_ref {
            let name = &reference.local_object_reference.name;
            match referred.secrets.get(name).and_then(Option::as_ref) {
                Some(secret) => secret.data.iter().for_each(|(key, value)| {
                    env.set(&format!("{}{key}", from.prefix), String::from_utf8_lossy(value).into_owned());
                }),
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret \"{name}\" not found")),
            }
        }
    }
    for variable in &container.env {
        match &variable.value_from {
            None => {
                let value = env.expand(&variable.value);
                env.set(&variable.name, value);
            }
            Some(source) => {
                if let Some(value) = from_source(pod, container, source, referred, place)? {
                    env.set(&variable.name, value);
                }
            }
        }
    }
    Ok(env.list)
}

#[derive(Default)]
struct Environment {
    list: Vec<(String, String)>,
}

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        match self.list.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.list.push((name.to_owned(), value)),
        }
    }

    fn expand(&self, text: &str) -> String {
        expand(text, &self.list)
    }
}

/// Replaces `$(NAME)` where the name is known; `$$` is a dollar sign.
pub fn expand(text: &str, env: &[(String, String)]) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|inner| inner.split_once(')')) {
            match env.iter().find(|(other, _)| other == name) {
                Some((_, value)) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    referred: &Referred,
    place: &Place,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return field_value(pod, &field.field_path, place).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        let other = crate::pod::find(pod, &selector.container_name).map(|(_, container)| container);
        let divisor = selector.divisor.amount();
        return resource_value(other.as_ref().unwrap_or(container), &selector.resource, &divisor, place).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        let name = &key.local_object_reference.name;
        let optional = key.optional == Some(true);
        return match referred.config_maps.get(name).and_then(Option::as_ref) {
            None if optional => Ok(None),
            None => Err(format!("configmap \"{name}\" not found")),
            Some(map) => match map.data.get(&key.key) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(format!("couldn't find key {} in ConfigMap {}/{name}", key.key, pod.metadata.namespace)),
            },
        };
    }
    if let Some(key) = &source.secret_key_ref {
        let name = &key.local_object_reference.name;
        let optional = key.optional == Some(true);
        return match referred.secrets.get(name).and_then(Option::as_ref) {
            None if optional => Ok(None),
            None => Err(format!("secret \"{name}\" not found")),
            Some(secret) => match secret.data.get(&key.key) {
                Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
                None if optional => Ok(None),
                None => Err(format!("couldn't find key {} in Secret {}/{name}", key.key, pod.metadata.namespace)),
            },
        };
    }
    Ok(None)
}

/// The value of a pod's field, as the downward API names fields.
pub fn field_value(pod: &Pod, path: &str, place: &Place) -> Result<String, String> {
    let meta = &pod.metadata;
    let quoted = |map: &BTreeMap<String, String>| {
        let lines: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", quote(value))).collect();
        lines.join("\n")
    };
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(map.get(key).cloned().unwrap_or_default());
    }
    let ip = || place.pod_ip.map(|ip| ip.to_string()).unwrap_or_default();
    Ok(match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => quoted(&meta.labels),
        "metadata.annotations" => quoted(&meta.annotations),
        "spec.nodeName" => place.node_name.clone(),
        "spec.serviceAccountName" => pod.spec.service_account_name.clone(),
        "status.hostIP" | "status.hostIPs" => place.host_ip.to_string(),
        "status.podIP" | "status.podIPs" => ip(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// As the downward API writes values of labels and annotations.
fn quote(value: &str) -> String {
    let mut out = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A request or limit in units of the divisor, rounded up. A limit that is left out is the node's.
pub fn resource_value(
    container: &Container,
    resource: &str,
    divisor: &api::quantity::Amount,
    place: &Place,
) -> Result<String, String> {
    let (list, name) =
        resource.split_once('.').ok_or_else(|| format!("unsupported container resource : {resource}"))?;
    let resources = crate::resources::with_defaults(&container.resources);
    let amount = match list {
        "limits" => resources.limits.get(name),
        "requests" => resources.requests.get(name),
        _ => return Err(format!("unsupported container resource : {resource}")),
    };
    let is_cpu = name == "cpu";
    let value = match amount {
        Some(quantity) if is_cpu => quantity.amount().milli(),
        Some(quantity) => quantity.amount().value(),
        None if list == "limits" => place.allocatable.get(name).copied().unwrap_or(0),
        None => 0,
    };
    let unit = match is_cpu {
        true if divisor.is_zero() => 1000,
        true => divisor.milli(),
        false => divisor.value().max(1),
    };
    let unit = unit.max(1);
    Ok((value.saturating_add(unit - 1) / unit).to_string())
}

/// The variables by which a pod finds the services of its namespace (and the API server's own).
fn service_variables(pod: &Pod, services: &[Arc<Service>]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let links = pod.spec.enable_service_links != Some(false);
    let mut services: Vec<&Arc<Service>> = services.iter().collect();
    services.sort_by(|a, b| (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name)));
    for service in services {
        let meta = &service.metadata;
        let master = meta.namespace == "default" && meta.name == "kubernetes";
        let wanted = master || (links && meta.namespace == pod.metadata.namespace);
        let ip = service.spec.cluster_ip.as_str();
        if !wanted || ip.is_empty() || ip == "None" {
            continue;
        }
        let prefix = meta.name.to_uppercase().replace('-', "_");
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let mut set = |name: String, value: String| out.push((format!("{prefix}_{name}"), value));
        set("SERVICE_HOST".into(), ip.into());
        for (index, port) in service.spec.ports.iter().enumerate() {
            if index == 0 {
                set("SERVICE_PORT".into(), port.port.to_string());
            }
            if !port.name.is_empty() {
                set(format!("SERVICE_PORT_{}", port.name.to_uppercase().replace('-', "_")), port.port.to_string());
            }
        }
        for (index, port) in service.spec.ports.iter().enumerate() {
            let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
            let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
            if index == 0 {
                set("PORT".into(), url.clone());
            }
            let name = format!("PORT_{}_{}", port.port, protocol.to_uppercase());
            set(name.clone(), url);
            set(format!("{name}_PROTO"), protocol.to_lowercase());
            set(format!("{name}_PORT"), port.port.to_string());
            set(format!("{name}_ADDR"), ip.into());
        }
    }
    out
}

/// What runs: the spec's command and arguments over the image's, with variables expanded.
pub fn arguments(
    container: &Container,
    entrypoint: &[String],
    cmd: &[String],
    env: &[(String, String)],
) -> Vec<String> {
    let expand = |list: &[String]| list.iter().map(|text| expand(text, env)).collect::<Vec<_>>();
    match (container.command.is_empty(), container.args.is_empty()) {
        (false, _) => [expand(&container.command), expand(&container.args)].concat(),
        (true, false) => [entrypoint.to_vec(), expand(&container.args)].concat(),
        (true, true) => [entrypoint, cmd].concat(),
    }
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
