//! Volumes of pods; persistent volumes and claims.

use serde_json::Value;

use super::{Beside, Text, flag_at, int_at, list_at, name, plain, str_at, title};

/// The volumes section of a pod or a template.
pub fn volumes(out: &mut Text, indent: usize, volumes: &[Value]) {
    if volumes.is_empty() {
        return out.pair(indent, "Volumes", "<none>");
    }
    out.line(indent, "Volumes:");
    let space = if indent == 0 { "  " } else { " " };
    for volume in volumes {
        out.line(0, format!("{}{space}{}:", "  ".repeat(indent), str_at(volume, "/name").unwrap_or_default()));
        source(out, 2, volume);
    }
}

fn source(out: &mut Text, at: usize, volume: &Value) {
    let Some((kind, body)) = volume.as_object().into_iter().flatten().find(|(key, _)| *key != "name") else { return };
    let text = |path: &str| str_at(body, path).unwrap_or_default();
    let pairs: Vec<(&str, String)> = match kind.as_str() {
        "emptyDir" => vec![
            ("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)".to_owned()),
            ("Medium", text("/medium").to_owned()),
            ("SizeLimit", body.get("sizeLimit").map_or_else(|| "<unset>".to_owned(), plain)),
        ],
        "hostPath" => vec![
            ("Type", "HostPath (bare host directory volume)".to_owned()),
            ("Path", text("/path").to_owned()),
            ("HostPathType", text("/type").to_owned()),
        ],
        "configMap" => vec![
            ("Type", "ConfigMap (a volume populated by a ConfigMap)".to_owned()),
            ("Name", text("/name").to_owned()),
            ("Optional", flag_at(body, "/optional").to_string()),
        ],
        "secret" => vec![
            ("Type", "Secret (a volume populated by a Secret)".to_owned()),
            ("SecretName", text("/secretName").to_owned()),
            ("Optional", flag_at(body, "/optional").to_string()),
        ],
        "persistentVolumeClaim" => vec![
            ("Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)".to_owned()),
            ("ClaimName", text("/claimName").to_owned()),
            ("ReadOnly", flag_at(body, "/readOnly").to_string()),
        ],
        "downwardAPI" => vec![("Type", "DownwardAPI (a volume populated by information about the pod)".to_owned())],
        "projected" => projected(body),
        other => vec![("Type", other.to_owned())],
    };
    for (label, value) in pairs {
        out.pair(at, label, value);
    }
    if kind == "downwardAPI" {
        out.line(at, "Items:");
        for item in list_at(body, "/items") {
            out.line(
                at + 1,
                format!(
                    "{} -> {}",
                    str_at(item, "/fieldRef/fieldPath").unwrap_or_default(),
                    str_at(item, "/path").unwrap_or_default()
                ),
            );
        }
    }
}

fn projected(body: &Value) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("Type", "Projected (a volume that contains injected data from multiple sources)".to_owned())];
    for source in list_at(body, "/sources") {
        let text = |path: &str| str_at(source, path).unwrap_or_default().to_owned();
        if source.get("secret").is_some() {
            pairs.extend([
                ("SecretName", text("/secret/name")),
                ("Optional", flag_at(source, "/secret/optional").to_string()),
            ]);
        } else if source.get("configMap").is_some() {
            pairs.extend([
                ("ConfigMapName", text("/configMap/name")),
                ("Optional", flag_at(source, "/configMap/optional").to_string()),
            ]);
        } else if source.get("serviceAccountToken").is_some() {
            pairs
                .push(("TokenExpirationSeconds", int_at(source, "/serviceAccountToken/expirationSeconds").to_string()));
        } else if source.get("downwardAPI").is_some() {
            pairs.push(("DownwardAPI", "true".to_owned()));
        }
    }
    pairs
}

fn joined(object: &Value, path: &str) -> String {
    list_at(object, path).iter().map(short_mode).collect::<Vec<_>>().join(",")
}

fn short_mode(mode: &Value) -> &str {
    match mode.as_str().unwrap_or_default() {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    }
}

fn finalizers(object: &Value) -> String {
    let all: Vec<String> = list_at(object, "/metadata/finalizers").iter().map(plain).collect();
    format!("[{}]", all.join(" "))
}

pub fn persistent_volume(out: &mut Text, object: &Value) {
    let text = |path: &str| str_at(object, path).unwrap_or_default();
    out.pair(0, "Name", name(object));
    out.labels(object);
    out.pair(0, "Finalizers", finalizers(object));
    out.pair(0, "StorageClass", text("/spec/storageClassName"));
    let status = if text("/metadata/deletionTimestamp").is_empty() { text("/status/phase") } else { "Terminating" };
    out.pair(0, "Status", status);
    let claim = match (str_at(object, "/spec/claimRef/namespace"), str_at(object, "/spec/claimRef/name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => String::new(),
    };
    out.pair(0, "Claim", claim);
    out.pair(0, "Reclaim Policy", text("/spec/persistentVolumeReclaimPolicy"));
    out.pair(0, "Access Modes", joined(object, "/spec/accessModes"));
    out.pair(0, "VolumeMode", text("/spec/volumeMode"));
    out.pair(0, "Capacity", object.pointer("/spec/capacity/storage").map(plain).unwrap_or_default());
    out.pair(0, "Node Affinity", if object.pointer("/spec/nodeAffinity").is_some() { "" } else { "<none>" });
    for (index, term) in list_at(object, "/spec/nodeAffinity/required/nodeSelectorTerms").iter().enumerate() {
        if index == 0 {
            out.line(1, "Required Terms:");
        }
        let parts: Vec<String> = list_at(term, "/matchExpressions")
            .iter()
            .map(|part| {
                let values: Vec<String> = list_at(part, "/values").iter().map(plain).collect();
                format!(
                    "{} {} [{}]",
                    str_at(part, "/key").unwrap_or_default(),
                    str_at(part, "/operator").unwrap_or_default().to_lowercase(),
                    values.join(", ")
                )
            })
            .collect();
        out.pair(2, &format!("Term {index}"), parts.join(", "));
    }
    out.pair(0, "Message", text("/status/message"));
    out.line(0, "Source:");
    let not_source = [
        "accessModes",
        "capacity",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeMode",
        "nodeAffinity",
        "mountOptions",
        "volumeAttributesClassName",
    ];
    let spec = object["spec"].as_object().cloned().unwrap_or_default();
    let of_source: serde_json::Map<String, Value> =
        spec.into_iter().filter(|(key, _)| !not_source.contains(&key.as_str())).collect();
    source(out, 2, &Value::Object(of_source));
}

pub fn claim(out: &mut Text, object: &Value, beside: &Beside) {
    let text = |path: &str| str_at(object, path).unwrap_or_default();
    out.pair(0, "Name", name(object));
    out.pair(0, "Namespace", text("/metadata/namespace"));
    out.pair(0, "StorageClass", text("/spec/storageClassName"));
    let deleted = str_at(object, "/metadata/deletionTimestamp").is_some();
    out.pair(0, "Status", if deleted { "Terminating" } else { text("/status/phase") });
    out.pair(0, "Volume", text("/spec/volumeName"));
    out.labels(object);
    out.pair(0, "Finalizers", finalizers(object));
    out.pair(0, "Capacity", object.pointer("/status/capacity/storage").map(plain).unwrap_or_default());
    out.pair(0, "Access Modes", joined(object, "/status/accessModes"));
    out.pair(0, "VolumeMode", text("/spec/volumeMode"));
    let uses = |pod: &&Value| {
        list_at(pod, "/spec/volumes")
            .iter()
            .any(|volume| str_at(volume, "/persistentVolumeClaim/claimName") == Some(name(object)))
    };
    let users: Vec<&str> = beside.pods.iter().filter(uses).map(name).collect();
    if users.is_empty() {
        out.pair(0, "Used By", "<none>");
    }
    for (index, user) in users.into_iter().enumerate() {
        if index == 0 { out.pair(0, "Used By", user) } else { out.line(0, format!("\t{user}")) }
    }
    let conditions = list_at(object, "/status/conditions");
    if !conditions.is_empty() {
        out.line(0, "Conditions:");
        out.line(1, "Type\tStatus\tReason\tMessage");
        for condition in conditions {
            let text = |path: &str| str_at(condition, path).unwrap_or_default();
            out.line(
                1,
                format!(
                    "{}\t{}\t{}\t{}",
                    text("/type"),
                    title(text("/status") == "True"),
                    text("/reason"),
                    text("/message")
                ),
            );
        }
    }
}
