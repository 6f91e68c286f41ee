//! What volumes made of objects hold: ConfigMaps, Secrets, the downward API, tokens. Pure, given the objects.

use proto::core::v1::{ConfigMap, DownwardApiVolumeFile, KeyToPath, Pod, Secret};

use super::files::{Entry, Files};
use crate::env::{Place, field_value, resource_value};

/// The mode of files that name none.
pub const DEFAULT_MODE: u32 = 0o644;

pub fn mode(mode: Option<i32>, default: u32) -> u32 {
    mode.map_or(default, |mode| mode as u32 & 0o7777)
}

pub fn config_map(map: &ConfigMap, items: &[KeyToPath], default: u32, optional: bool) -> Result<Files, String> {
    let binary = map.binary_data.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    let text = map.data.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
    chosen(text.chain(binary), items, default, optional)
}

pub fn secret(secret: &Secret, items: &[KeyToPath], default: u32, optional: bool) -> Result<Files, String> {
    chosen(secret.data.iter().map(|(key, value)| (key.as_str(), value.as_slice())), items, default, optional)
}

fn chosen<'a>(
    data: impl Iterator<Item = (&'a str, &'a [u8])>,
    items: &[KeyToPath],
    default: u32,
    optional: bool,
) -> Result<Files, String> {
    let mut all: std::collections::BTreeMap<&str, &[u8]> = data.collect();
    if items.is_empty() {
        let entry = |bytes: &[u8]| Entry { bytes: bytes.to_vec(), mode: default, owner: None };
        return Ok(all.into_iter().map(|(key, bytes)| (key.to_owned(), entry(bytes))).collect());
    }
    let mut files = Files::new();
    for item in items {
        match all.get_mut(item.key.as_str()) {
            Some(bytes) => {
                let entry = Entry { bytes: bytes.to_vec(), mode: mode(item.mode, default), owner: None };
                files.insert(item.path.clone(), entry);
            }
            None if optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(files)
}

pub fn downward(pod: &Pod, items: &[DownwardApiVolumeFile], default: u32, place: &Place) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        let value = if let Some(field) = &item.field_ref {
            field_value(pod, &field.field_path, place)?
        } else if let Some(selector) = &item.resource_field_ref {
            let found = crate::pod::find(pod, &selector.container_name);
            let (_, container) = found.ok_or_else(|| format!("container {} not found", selector.container_name))?;
            resource_value(&container, &selector.resource, &selector.divisor.amount(), place)?
        } else {
            continue;
        };
        let entry = Entry { bytes: value.into_bytes(), mode: mode(item.mode, default), owner: None };
        files.insert(item.path.clone(), entry);
    }
    Ok(files)
}
