//! `keelctl cordon`, `uncordon` and `taint`.

use anyhow::bail;
use serde_json::{Value, json};

use super::target::{Target, Which, find};
use crate::cli::Global;
use crate::remote::{PatchType, Remote, Write};

#[derive(Debug, clap::Args)]
pub struct CordonArgs {
    /// The nodes
    pub nodes: Vec<String>,
    /// Nodes with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct TaintArgs {
    /// nodes NAME... KEY=VALUE:EFFECT, or KEY:EFFECT- and KEY- to remove
    pub words: Vec<String>,
    /// Nodes with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// All nodes
    #[arg(long)]
    pub all: bool,
    /// Replace a taint of the same key and effect
    #[arg(long)]
    pub overwrite: bool,
}

/// The named nodes, or those with the labels.
pub async fn nodes(
    remote: &Remote,
    global: &Global,
    names: &[String],
    selector: Option<&str>,
) -> anyhow::Result<Vec<Target>> {
    if names.is_empty() && selector.is_none() {
        bail!("name a node, or select nodes with -l");
    }
    let catalog = remote.catalog().await?;
    let mut words = vec!["nodes".to_owned()];
    words.extend(names.iter().map(|name| name.trim_start_matches("node/").trim_start_matches("nodes/").to_owned()));
    find(remote, &catalog, global, &Which { words: &words, labels: selector, ..Which::default() }).await
}

pub async fn cordon(global: &Global, args: CordonArgs, cordon: bool) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    for target in nodes(&remote, global, &args.nodes, args.selector.as_deref()).await? {
        set_cordon(&remote, &target, cordon).await?;
    }
    Ok(())
}

pub async fn set_cordon(remote: &Remote, target: &Target, cordon: bool) -> anyhow::Result<()> {
    let word = if cordon { "cordoned" } else { "uncordoned" };
    let now = target.object.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or_default();
    if now == cordon {
        crate::say!("{} already {word}", target.display());
        return Ok(());
    }
    let patch = json!({"spec": {"unschedulable": if cordon { json!(true) } else { Value::Null }}});
    remote.patch(&target.resource, "", target.name(), PatchType::Strategic, &patch, &Write::default()).await?;
    crate::say!("{} {word}", target.display());
    Ok(())
}

/// One change of taints.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Add {
        key: String,
        value: String,
        effect: String,
    },
    /// Without an effect: all of that key.
    Remove {
        key: String,
        effect: Option<String>,
    },
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

impl Change {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let effect = |effect: &str| match EFFECTS.contains(&effect) {
            true => Ok(effect.to_owned()),
            false => bail!("invalid taint effect: {effect}, unsupported taint effect; expected {}", EFFECTS.join(", ")),
        };
        if let Some(text) = text.strip_suffix('-') {
            let (key, rest) = text.split_once(':').map_or((text, None), |(key, rest)| (key, Some(rest)));
            let key = key.split('=').next().unwrap_or(key).to_owned();
            return Ok(Self::Remove { key, effect: rest.map(effect).transpose()? });
        }
        let Some((pair, rest)) = text.rsplit_once(':') else {
            bail!("unknown taint spec: {text}; expected KEY=VALUE:EFFECT, or KEY:EFFECT- to remove")
        };
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok(Self::Add { key: key.to_owned(), value: value.to_owned(), effect: effect(rest)? })
    }
}

/// The taints after the changes.
fn changed(taints: &[Value], changes: &[Change], overwrite: bool, name: &str) -> anyhow::Result<Vec<Value>> {
    let mut taints = taints.to_vec();
    let is = |taint: &Value, key: &str, effect: Option<&str>| {
        taint["key"] == key && effect.is_none_or(|effect| taint["effect"] == effect)
    };
    for change in changes {
        match change {
            Change::Remove { key, effect } => {
                let before = taints.len();
                taints.retain(|taint| !is(taint, key, effect.as_deref()));
                if taints.len() == before {
                    bail!(
                        "taint \"{key}{}\" not found",
                        effect.as_ref().map(|effect| format!(":{effect}")).unwrap_or_default()
                    );
                }
            }
            Change::Add { key, value, effect } => {
                let known = taints.iter().position(|taint| is(taint, key, Some(effect)));
                let mut taint = json!({"key": key, "effect": effect});
                if !value.is_empty() {
                    taint["value"] = json!(value);
                }
                match known {
                    Some(_) if !overwrite => {
                        bail!("node {name} already has {key} taint(s) with same effect(s) and --overwrite is false")
                    }
                    Some(at) => taints[at] = taint,
                    None => taints.push(taint),
                }
            }
        }
    }
    Ok(taints)
}

pub async fn taint(global: &Global, args: TaintArgs) -> anyhow::Result<()> {
    let mut words = args.words.iter();
    let first = words.next().map(String::as_str).unwrap_or_default();
    if !matches!(first, "node" | "nodes" | "no") && !first.starts_with("node/") && !first.starts_with("nodes/") {
        bail!("expected nodes first: keelctl taint nodes NAME KEY=VALUE:EFFECT");
    }
    let is_change = |word: &&String| word.contains(':') || word.ends_with('-');
    let mut names: Vec<String> = if first.contains('/') { vec![first.to_owned()] } else { Vec::new() };
    names.extend(words.clone().filter(|word| !is_change(word)).cloned());
    let changes = words.filter(is_change).map(|word| Change::parse(word)).collect::<anyhow::Result<Vec<_>>>()?;
    if changes.is_empty() {
        bail!("at least one taint update is required: KEY=VALUE:EFFECT, or KEY:EFFECT- to remove");
    }
    let remote = Remote::connect(global)?;
    let selector = if args.all { Some("") } else { args.selector.as_deref() };
    let targets = if args.all {
        let catalog = remote.catalog().await?;
        find(&remote, &catalog, global, &Which { words: &["nodes".to_owned()], all: true, ..Which::default() }).await?
    } else {
        nodes(&remote, global, &names, selector).await?
    };
    for target in targets {
        let taints = target.object.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
        let after = changed(&taints, &changes, args.overwrite, target.name())?;
        // Written as a whole, on the version it was read from: taints merge by key, effects would be lost.
        let version = target.object.pointer("/metadata/resourceVersion");
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": if after.is_empty() { Value::Null } else { json!(after) }}});
        remote.patch(&target.resource, "", target.name(), PatchType::Merge, &patch, &Write::default()).await?;
        let verb = if changes.iter().all(|change| matches!(change, Change::Remove { .. })) {
            "untainted"
        } else if changes.iter().all(|change| matches!(change, Change::Add { .. })) {
            "tainted"
        } else {
            "modified"
        };
        crate::say!("{} {verb}", target.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_added_replaced_and_removed() {
        let parse = |texts: &[&str]| texts.iter().map(|text| Change::parse(text).unwrap()).collect::<Vec<_>>();
        let one = changed(&[], &parse(&["a=b:NoSchedule", "c:NoExecute"]), false, "n").unwrap();
        assert_eq!(
            one,
            [json!({"key": "a", "value": "b", "effect": "NoSchedule"}), json!({"key": "c", "effect": "NoExecute"})]
        );
        assert!(changed(&one, &parse(&["a=x:NoSchedule"]), false, "n").is_err());
        assert_eq!(changed(&one, &parse(&["a=x:NoSchedule"]), true, "n").unwrap()[0]["value"], "x");
        assert_eq!(changed(&one, &parse(&["a-", "c:NoExecute-"]), false, "n").unwrap(), Vec::<Value>::new());
        assert!(changed(&one, &parse(&["zz-"]), false, "n").is_err());
        assert!(Change::parse("a=b:Nope").is_err() && Change::parse("a=b").is_err());
    }
}
