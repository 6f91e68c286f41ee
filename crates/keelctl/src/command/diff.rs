//! `keelctl diff`: what apply would change, as a unified diff. Exit code 1 when there is a difference.

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::target::{namespace_of, resource_of};
use super::{Files, apply};
use crate::cli::Global;
use crate::error::{self, Exit};
use crate::manifest::write::to_yaml;
use crate::merge;
use crate::output::hide_managed_fields;
use crate::remote::{PatchType, Remote, Write};
use crate::terminal;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    /// Keep metadata.managedFields
    #[arg(long)]
    pub show_managed_fields: bool,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    // Any failure must differ from "there is a difference".
    let failed = |problem: anyhow::Error| Exit { code: 2, message: error::text(&problem) };
    match differences(global, &args).await.map_err(failed)? {
        text if text.is_empty() => Ok(()),
        text => {
            terminal::print(&text)?;
            Err(Exit { code: 1, message: String::new() }.into())
        }
    }
}

async fn differences(global: &Global, args: &Args) -> anyhow::Result<String> {
    if args.files.filenames.is_empty() {
        bail!("must specify one of -f: keelctl diff -f FILE");
    }
    let documents = args.files.read()?;
    apply::judge(&documents, "strict")?;
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let write = Write::dry(true);
    let mut out = String::new();
    for document in documents {
        let resource = resource_of(&catalog, &document)?;
        let mut wanted = document.value.clone();
        let namespace = namespace_of(&wanted, resource, global, &remote.namespace)?;
        if resource.namespaced {
            wanted["metadata"]["namespace"] = json!(namespace);
        }
        let name = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let modified = merge::with_last_applied(&wanted);
        let (live, merged) = match remote.get(resource, &namespace, &name).await {
            Ok(live) => {
                let schema = proto::dynamic::kind_info(&resource.group, &resource.version, &resource.kind)
                    .map(|kind| kind.message);
                let patch = merge::three_way(&merge::last_applied(&live).unwrap_or_default(), &modified, &live, schema);
                let kind = if schema.is_some() { PatchType::Strategic } else { PatchType::Merge };
                let merged = if patch.as_object().is_none_or(serde_json::Map::is_empty) {
                    live.clone()
                } else {
                    remote.patch(resource, &namespace, &name, kind, &patch, &write).await?
                };
                (Some(live), merged)
            }
            Err(problem) if error::is_not_found(&problem) => {
                (None, remote.create(resource, &namespace, &modified, &write).await?)
            }
            Err(problem) => return Err(problem),
        };
        let (live, merged) = (live.map(|live| shown(live, args)), shown(merged, args));
        let (live, merged) = if resource.kind == "Secret" { masked(live, merged) } else { (live, merged) };
        let file = format!("{}.{}.{namespace}.{name}", resource.api_version().replace('/', "."), resource.kind);
        out.push_str(&unified(&live.map(|live| to_yaml(&live)).unwrap_or_default(), &to_yaml(&merged), &file));
    }
    Ok(out)
}

fn shown(mut object: Value, args: &Args) -> Value {
    if !args.show_managed_fields {
        hide_managed_fields(&mut object);
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(merge::LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

/// Secret values, hidden; a changed one can be told by its mark.
fn masked(mut live: Option<Value>, mut merged: Value) -> (Option<Value>, Value) {
    let empty = serde_json::Map::new();
    let before =
        live.as_ref().and_then(|live| live.get("data")).and_then(Value::as_object).cloned().unwrap_or(empty.clone());
    let after = merged.get("data").and_then(Value::as_object).cloned().unwrap_or(empty);
    let mask = |text: &str| json!(STANDARD.encode(text));
    let marked = |own: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>, changed: &str| {
        own.iter()
            .map(|(key, value)| {
                (
                    key.clone(),
                    if other.get(key).is_none_or(|other| other == value) { mask("***") } else { mask(changed) },
                )
            })
            .collect::<serde_json::Map<_, _>>()
    };
    if let Some(live) = live.as_mut().filter(|_| !before.is_empty()) {
        live["data"] = Value::Object(marked(&before, &after, "*** (before)"));
    }
    if !after.is_empty() {
        merged["data"] = Value::Object(marked(&after, &before, "*** (after)"));
    }
    (live, merged)
}

fn unified(before: &str, after: &str, file: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    let mut out = format!("diff -u -N LIVE/{file} MERGED/{file}\n--- LIVE/{file}\n+++ MERGED/{file}\n");
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        out.push_str(&format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let (sign, color) = match change.tag() {
                ChangeTag::Delete => ('-', "31"),
                ChangeTag::Insert => ('+', "32"),
                ChangeTag::Equal => (' ', ""),
            };
            let line = format!("{sign}{}", change.value().trim_end_matches('\n'));
            match color {
                "" => out.push_str(&line),
                color if terminal::colored() => out.push_str(&format!("\u{1b}[{color}m{line}\u{1b}[0m")),
                _ => out.push_str(&line),
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_diff_and_others_show_their_lines() {
        assert_eq!(unified("a: 1\n", "a: 1\n", "f"), "");
        let text = unified("a: 1\nb: 2\n", "a: 1\nb: 3\n", "v1.Pod.n.p");
        assert!(
            text.contains("--- LIVE/v1.Pod.n.p\n+++ MERGED/v1.Pod.n.p\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"),
            "{text}"
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        let before = json!({"data": {"a": "c2VjcmV0", "b": "b2xk"}});
        let (live, merged) = masked(Some(before), json!({"data": {"a": "c2VjcmV0", "b": "bmV3"}}));
        let text = format!("{live:?}{merged:?}");
        assert!(!text.contains("c2VjcmV0") && !text.contains("bmV3") && !text.contains("b2xk"), "{text}");
        assert_ne!(live.unwrap()["data"]["b"], merged["data"]["b"]);
    }
}
