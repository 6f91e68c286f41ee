//! Gives the Kubernetes objects the presence rules of their bytes.
//!
//! The .proto files say `optional`, as clients expect. Upstream's encoder always writes a plain field, zero or
//! not, and accepts its absence; only fields that were pointers are left out. In prost's terms a plain field is
//! `required` (always written, absence accepted as zero) and a pointer is `optional`.
//! Field names become snake case by Kubernetes' reading of abbreviations: `clusterIPs` is `cluster_ips`.

use anyhow::{Context, Result};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Value};
use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, FileDescriptorSet};

use crate::OBJECTS;

/// Rewrites labels and names of every message in an object package.
pub fn apply(pool: &DescriptorPool, descriptors: &mut FileDescriptorSet) -> Result<()> {
    for file in &mut descriptors.file {
        let package = file.package().to_owned();
        if !package.starts_with(OBJECTS) {
            continue;
        }
        for message in &mut file.message_type {
            apply_message(pool, &package, message)?;
        }
    }
    Ok(())
}

fn apply_message(pool: &DescriptorPool, package: &str, message: &mut DescriptorProto) -> Result<()> {
    let full = format!("{package}.{}", message.name());
    let described = pool.get_message_by_name(&full).with_context(|| format!("{full} has no descriptor"))?;
    for field in &mut message.field {
        let source = described
            .get_field_by_name(field.name())
            .with_context(|| format!("{full}.{} has no descriptor", field.name()))?;
        if field.label() == Label::Optional && !flag(&source, "pointer") {
            field.set_label(Label::Required);
        }
        field.name = Some(snake_case(field.name()));
    }
    Ok(())
}

/// The `keelson.schema.v1.field` option of a field, where it has one.
pub fn schema(field: &FieldDescriptor) -> Option<DynamicMessage> {
    let options = field.options();
    let extension = field.parent_pool().get_extension_by_name("keelson.schema.v1.field")?;
    if !options.has_extension(&extension) {
        return None;
    }
    match options.get_extension(&extension).into_owned() {
        Value::Message(message) => Some(message),
        _ => None,
    }
}

/// One of the option's booleans; absent is false.
pub fn flag(field: &FieldDescriptor, name: &str) -> bool {
    schema(field).and_then(|message| message.get_field_by_name(name).and_then(|value| value.as_bool())).unwrap_or(false)
}

/// `hostIPs` to `host_ips`, `podIP` to `pod_ip`, `clientCABundle` to `client_ca_bundle`, `x_kubernetes_y` unchanged.
pub fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (i, c) in chars.iter().enumerate() {
        if c.is_ascii_uppercase() && i > 0 && begins_word(&chars, i) {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// An upper-case letter begins a word after a lower-case one, or before one that is more than a plural s.
fn begins_word(chars: &[char], i: usize) -> bool {
    let previous = chars[i - 1];
    if previous == '_' || previous == '-' {
        return false;
    }
    if !previous.is_ascii_uppercase() {
        return true;
    }
    match chars.get(i + 1) {
        Some(next) if next.is_ascii_lowercase() => {
            let plural = *next == 's' && chars.get(i + 2).is_none_or(|after| after.is_ascii_uppercase());
            !plural
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn abbreviations_stay_one_word() {
        for (name, snake) in [
            ("clusterIPs", "cluster_ips"),
            ("podIP", "pod_ip"),
            ("hostIPC", "host_ipc"),
            ("clientCABundle", "client_ca_bundle"),
            ("apiVersion", "api_version"),
            ("externalIPs", "external_ips"),
            ("nonResourceURLs", "non_resource_urls"),
            ("xKubernetesEmbeddedResource", "x_kubernetes_embedded_resource"),
            ("fieldsV1", "fields_v1"),
            ("Raw", "raw"),
            ("setHostnameAsFQDN", "set_hostname_as_fqdn"),
            ("podCIDRs", "pod_cidrs"),
        ] {
            assert_eq!(snake_case(name), snake, "{name}");
        }
    }
}
