//! `keelctl label` and `keelctl annotate`: words on objects.

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::Files;
use super::target::{Which, find};
use crate::cli::Global;
use crate::output::{Format, hide_managed_fields};
use crate::remote::{PatchType, Remote, Write};

/// What is set, and how messages call it.
#[derive(Debug, Clone, Copy)]
pub struct What {
    field: &'static str,
    one: &'static str,
    done: &'static str,
    removed: &'static str,
    not_done: &'static str,
}

pub const LABELS: What =
    What { field: "labels", one: "label", done: "labeled", removed: "unlabeled", not_done: "not labeled" };
pub const ANNOTATIONS: What =
    What { field: "annotations", one: "annotation", done: "annotated", removed: "annotated", not_done: "annotated" };

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The objects, then KEY=VALUE to set and KEY- to remove: pod p a=b c-
    pub words: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Replace values that are there
    #[arg(long)]
    pub overwrite: bool,
    /// All objects of the resource
    #[arg(long)]
    pub all: bool,
    /// Objects of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Show what is set
    #[arg(long)]
    pub list: bool,
    /// What to print: yaml, json, name, ...
    #[arg(short = 'o', long)]
    pub output: Option<String>,
}

pub async fn run(global: &Global, args: Args, what: What) -> anyhow::Result<()> {
    let (objects, changes) = split(&args.words)?;
    if changes.is_empty() && !args.list {
        bail!("at least one {} update is required: KEY=VALUE sets one, KEY- removes it", what.one);
    }
    let format = Format::parse(args.output.as_deref())?;
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let which = Which {
        words: &objects,
        files: Some(&args.files),
        labels: args.selector.as_deref(),
        all: args.all,
        all_namespaces: args.all_namespaces,
        fields: None,
    };
    let targets = find(&remote, &catalog, global, &which).await?;
    if targets.is_empty() {
        bail!("no objects passed to {}", what.one);
    }
    for target in targets {
        let set = target
            .object
            .pointer(&format!("/metadata/{}", what.field))
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if args.list {
            crate::say!("Listing {} for {}:", what.field, target.display());
            set.iter().for_each(|(key, value)| crate::say!("{key}={}", value.as_str().unwrap_or_default()));
            continue;
        }
        let (verb, patch) = plan(&set, &changes, args.overwrite, what)?;
        let mut object = target.object.clone();
        if !patch.is_empty() {
            let write = Write {
                field_manager: format!("kubectl-{}", what.one.trim_end_matches("ion").trim_end_matches("at")),
                ..Write::default()
            };
            let body = json!({"metadata": {what.field: patch}});
            object = remote
                .patch(&target.resource, &target.namespace, target.name(), PatchType::Merge, &body, &write)
                .await?;
        }
        hide_managed_fields(&mut object);
        match format.object(&object)? {
            Some(text) => crate::terminal::print(&text)?,
            None if format == Format::Name => crate::say!("{}", target.display()),
            None => crate::say!("{} {verb}", target.display()),
        }
    }
    Ok(())
}

type Change = (String, Option<String>);

/// Words that name objects, and those that set or remove.
fn split(words: &[String]) -> anyhow::Result<(Vec<String>, Vec<Change>)> {
    let (mut objects, mut changes) = (Vec::new(), Vec::new());
    for word in words {
        if let Some((key, value)) = word.split_once('=') {
            changes.push((key.to_owned(), Some(value.to_owned())));
        } else if let Some(key) = word.strip_suffix('-').filter(|_| !objects.is_empty()) {
            changes.push((key.to_owned(), None));
        } else if changes.is_empty() {
            objects.push(word.clone());
        } else {
            bail!("all resources must be specified before changes: {word}");
        }
    }
    for (index, (key, _)) in changes.iter().enumerate() {
        if key.is_empty() {
            bail!("a key is missing before the = or -");
        }
        if changes[..index].iter().any(|(known, _)| known == key) {
            bail!("cannot set and remove \"{key}\", or set it twice, in the same command");
        }
    }
    Ok((objects, changes))
}

/// What to say, and what to patch.
fn plan(
    set: &Map<String, Value>,
    changes: &[Change],
    overwrite: bool,
    what: What,
) -> anyhow::Result<(&'static str, Map<String, Value>)> {
    let mut patch = Map::new();
    for (key, value) in changes {
        let known = set.get(key).and_then(Value::as_str);
        match value {
            Some(value) => {
                if let Some(known) = known.filter(|known| known != value && !overwrite) {
                    bail!("'{key}' already has a value ({known}), and --overwrite is false");
                }
                if known != Some(value.as_str()) {
                    patch.insert(key.clone(), json!(value));
                }
            }
            None if known.is_some() => drop(patch.insert(key.clone(), Value::Null)),
            None => crate::say!("{} \"{key}\" not found.", what.one),
        }
    }
    let verb = if patch.is_empty() {
        what.not_done
    } else if patch.values().all(Value::is_null) {
        what.removed
    } else {
        what.done
    };
    Ok((verb, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_split_into_objects_and_changes() {
        let (objects, changes) = split(&words("pod p a=b c- d=")).unwrap();
        assert_eq!(objects, ["pod", "p"]);
        assert_eq!(changes, [("a".into(), Some("b".into())), ("c".into(), None), ("d".into(), Some(String::new()))]);
        assert!(split(&words("pod p a=b a-")).is_err());
    }

    #[test]
    fn a_value_is_not_replaced_unless_told() {
        let set = json!({"a": "1"}).as_object().unwrap().clone();
        let change = |value: &str| vec![("a".to_owned(), Some(value.to_owned()))];
        assert_eq!(
            plan(&set, &change("2"), false, LABELS).unwrap_err().to_string(),
            "'a' already has a value (1), and --overwrite is false"
        );
        assert_eq!(plan(&set, &change("2"), true, LABELS).unwrap().0, "labeled");
        assert_eq!(plan(&set, &change("1"), false, LABELS).unwrap().0, "not labeled");
        assert_eq!(plan(&set, &[("a".into(), None)], false, LABELS).unwrap().0, "unlabeled");
    }
}
