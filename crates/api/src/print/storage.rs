//! Rows of volumes, claims, storage classes and CSI objects.

use serde_json::{Value, json};

use super::Row;
use super::value::{text, texts};

pub fn cells(group: &str, resource: &str, row: &Row<'_>) -> Option<Vec<Value>> {
    if group != "storage.k8s.io" {
        return None;
    }
    Some(match resource {
        "storageclasses" => class(row),
        "csidrivers" => driver(row),
        "csinodes" => vec![row.name(), json!(row.list("spec.drivers").len()), row.age()],
        "csistoragecapacities" => vec![row.name(), row.created()],
        "volumeattachments" => vec![
            row.name(),
            row.text("spec.attacher"),
            row.text("spec.source.persistentVolumeName"),
            row.text("spec.nodeName"),
            row.flag("status.attached"),
            row.age(),
        ],
        "volumeattributesclasses" => {
            vec![default_name(row, "storageclass.kubernetes.io/is-default-class"), row.text("driverName"), row.age()]
        }
        _ => return None,
    })
}

pub fn volume(row: &Row<'_>) -> Vec<Value> {
    let claim = match (text(row.object, "spec.claimRef.namespace"), text(row.object, "spec.claimRef.name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => String::new(),
    };
    vec![
        row.name(),
        row.text("spec.capacity.storage"),
        json!(modes(row, "spec.accessModes")),
        row.text("spec.persistentVolumeReclaimPolicy"),
        phase(row),
        json!(claim),
        storage_class(row),
        row.text_or("spec.volumeAttributesClassName", "<unset>"),
        row.text("status.reason"),
        row.age(),
        row.text_or("spec.volumeMode", "<unset>"),
    ]
}

pub fn claim(row: &Row<'_>) -> Vec<Value> {
    let bound = text(row.object, "spec.volumeName").is_some_and(|volume| !volume.is_empty());
    let (capacity, modes) = if bound {
        (row.text("status.capacity.storage"), modes(row, "status.accessModes"))
    } else {
        (json!(""), String::new())
    };
    vec![
        row.name(),
        phase(row),
        row.text("spec.volumeName"),
        capacity,
        json!(modes),
        storage_class(row),
        row.text_or("spec.volumeAttributesClassName", "<unset>"),
        row.age(),
        row.text_or("spec.volumeMode", "<unset>"),
    ]
}

fn phase(row: &Row<'_>) -> Value {
    if row.deleted() { json!("Terminating") } else { row.text("status.phase") }
}

/// The class by its field, else by the annotation that came before the field.
fn storage_class(row: &Row<'_>) -> Value {
    let old = row
        .at("metadata.annotations")
        .and_then(|all| all.get("volume.beta.kubernetes.io/storage-class"))
        .and_then(Value::as_str);
    json!(old.or_else(|| text(row.object, "spec.storageClassName")).unwrap_or_default())
}

/// Access modes in their short forms, in a fixed order.
fn modes(row: &Row<'_>, path: &str) -> String {
    let given: Vec<&str> = row.list(path).iter().filter_map(Value::as_str).collect();
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    short.into_iter().filter(|(long, _)| given.contains(long)).map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

fn default_name(row: &Row<'_>, annotation: &str) -> Value {
    let name = text(row.object, "metadata.name").unwrap_or_default();
    let annotations = row.at("metadata.annotations");
    let is_default = annotations.and_then(|all| all.get(annotation)).and_then(Value::as_str) == Some("true");
    json!(if is_default { format!("{name} (default)") } else { name.to_owned() })
}

fn class(row: &Row<'_>) -> Vec<Value> {
    vec![
        default_name(row, "storageclass.kubernetes.io/is-default-class"),
        row.text("provisioner"),
        row.text_or("reclaimPolicy", "Delete"),
        row.text_or("volumeBindingMode", "Immediate"),
        row.flag("allowVolumeExpansion"),
        row.age(),
    ]
}

fn driver(row: &Row<'_>) -> Vec<Value> {
    let modes: Vec<&str> = row.list("spec.volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    let tokens = texts(row.list("spec.tokenRequests"), "audience").join(",");
    vec![
        row.name(),
        json!(row.at("spec.attachRequired").and_then(Value::as_bool).unwrap_or(true)),
        row.flag("spec.podInfoOnMount"),
        row.flag("spec.storageCapacity"),
        json!(if tokens.is_empty() { "<unset>".to_owned() } else { tokens }),
        row.flag("spec.requiresRepublish"),
        json!(if modes.is_empty() { "<none>".to_owned() } else { modes.join(",") }),
        row.age(),
    ]
}
