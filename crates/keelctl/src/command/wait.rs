//! `keelctl wait`: until objects are as they should be, or gone.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use serde_json::Value;

use super::Files;
use super::delete::wait_gone;
use super::target::{Target, Which, find};
use crate::cli::Global;
use crate::output::jsonpath::{self, Template};
use crate::remote::{Change, Query, Remote};
use crate::{duration, error};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The objects: pod p, deploy/hello, pods with -l
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// What to wait for: condition=NAME[=VALUE], delete, create, jsonpath={.path}[=VALUE]
    #[arg(long = "for", required = true, value_name = "WHAT")]
    pub what: String,
    /// How long; 0 checks once
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub timeout: String,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Objects with these fields
    #[arg(long)]
    pub field_selector: Option<String>,
    /// All objects of the resource
    #[arg(long)]
    pub all: bool,
    /// Objects of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// What to wait for.
#[derive(Debug, Clone, PartialEq)]
enum Goal {
    Condition(String, String),
    Delete,
    Create,
    Path(Template, Option<String>),
}

impl Goal {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, rest) = text.split_once('=').map_or((text, None), |(name, rest)| (name, Some(rest)));
        match (name.to_lowercase().as_str(), rest) {
            ("delete", None) => Ok(Self::Delete),
            ("create", None) => Ok(Self::Create),
            ("condition", Some(rest)) if !rest.is_empty() => {
                let (kind, value) = rest.split_once('=').unwrap_or((rest, "true"));
                Ok(Self::Condition(kind.to_owned(), value.to_owned()))
            }
            ("jsonpath", Some(rest)) => {
                let end = rest.rfind('}').map_or(rest.len(), |end| end + 1);
                let after = rest[end..].trim_start_matches(['"', '\'']);
                let value = match after.strip_prefix('=') {
                    Some("") => bail!("jsonpath wait value cannot be empty"),
                    Some(value) => Some(value.trim_matches(['"', '\'']).to_owned()),
                    None if after.is_empty() => None,
                    None => bail!(
                        "jsonpath wait format must be --for=jsonpath='{{.path}}'=value or --for=jsonpath='{{.path}}'"
                    ),
                };
                Ok(Self::Path(Template::parse(rest[..end].trim_matches(['"', '\'']))?, value))
            }
            _ => bail!(
                "unrecognized condition: \"{text}\"; expected condition=NAME[=VALUE], delete, create or jsonpath={{.path}}[=VALUE]"
            ),
        }
    }

    fn met(&self, object: &Value) -> bool {
        match self {
            Self::Condition(kind, value) => {
                let conditions =
                    object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
                let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
                let stale = |condition: &Value| {
                    let seen = condition
                        .get("observedGeneration")
                        .or_else(|| object.pointer("/status/observedGeneration"))
                        .and_then(Value::as_i64);
                    matches!((generation, seen), (Some(generation), Some(seen)) if seen < generation)
                };
                let text = |condition: &Value, key: &str| {
                    condition.get(key).and_then(Value::as_str).unwrap_or_default().to_lowercase()
                };
                conditions.iter().any(|condition| {
                    text(condition, "type") == kind.to_lowercase()
                        && text(condition, "status") == value.to_lowercase()
                        && !stale(condition)
                })
            }
            Self::Path(path, value) => path.values(object).is_ok_and(|found| match value {
                Some(value) => found.len() == 1 && jsonpath::text(&found[0]) == *value,
                None => !found.is_empty(),
            }),
            Self::Delete => false,
            Self::Create => true,
        }
    }
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let goal = Goal::parse(&args.what)?;
    let timeout = match args.timeout.strip_prefix('-') {
        Some(_) => Duration::from_secs(7 * 24 * 3600),
        None => duration::parse(&args.timeout).context("--timeout")?,
    };
    let deadline = tokio::time::Instant::now() + timeout;
    let remote = Remote::connect(global)?;
    let targets = targets(global, &args, &remote, &goal, deadline).await?;
    if targets.is_empty() {
        if goal == Goal::Delete {
            return Ok(());
        }
        bail!("no matching resources found");
    }
    let mut failed = Vec::new();
    for target in &targets {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now()).max(Duration::from_millis(100));
        let done = if goal == Goal::Delete {
            wait_gone(&remote, &target.resource, &target.namespace, &target.object, left).await
        } else {
            match tokio::time::timeout(left, until(&remote, target, &goal)).await {
                Ok(done) => done,
                Err(_) => Err(anyhow::anyhow!(
                    "timed out waiting for the condition on {}/{}",
                    target.resource.plural,
                    target.name()
                )),
            }
        };
        match done {
            Ok(()) => crate::say!("{} condition met", target.display()),
            Err(problem) => failed.push(problem),
        }
    }
    let Some(last) = failed.pop() else { return Ok(()) };
    failed.iter().for_each(|problem| crate::complain!("{}", error::text(problem)));
    Err(last)
}

async fn targets(
    global: &Global,
    args: &Args,
    remote: &Remote,
    goal: &Goal,
    deadline: tokio::time::Instant,
) -> anyhow::Result<Vec<Target>> {
    let catalog = remote.catalog().await?;
    let which = Which {
        words: &args.resources,
        files: Some(&args.files),
        labels: args.selector.as_deref(),
        fields: args.field_selector.as_deref(),
        all: args.all,
        all_namespaces: args.all_namespaces,
    };
    loop {
        match find(remote, &catalog, global, &which).await {
            Err(problem) if error::is_not_found(&problem) && *goal == Goal::Delete => return Ok(Vec::new()),
            Err(problem)
                if error::is_not_found(&problem) && *goal == Goal::Create && tokio::time::Instant::now() < deadline => {
            }
            Ok(found) if found.is_empty() && *goal == Goal::Create && tokio::time::Instant::now() < deadline => {}
            found => return found,
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn until(remote: &Remote, target: &Target, goal: &Goal) -> anyhow::Result<()> {
    let query = Query::name(target.name());
    loop {
        let list = remote.list(&target.resource, &target.namespace, &query).await?;
        match list.items.first() {
            Some(object) if goal.met(object) => return Ok(()),
            Some(_) => {}
            None => bail!("{} was deleted while it was waited for", target.display()),
        }
        let mut events = remote.watch(&target.resource, &target.namespace, &query, list.revision).await?;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if event.change == Change::Deleted => break,
                Ok(event) if event.change != Change::Bookmark && goal.met(&event.object) => return Ok(()),
                Ok(_) => {}
                Err(problem) if error::reason(&problem) == Some("Expired") => break,
                Err(problem) => return Err(problem),
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn goals_are_read_in_every_form() {
        assert_eq!(Goal::parse("delete").unwrap(), Goal::Delete);
        assert_eq!(Goal::parse("condition=Ready").unwrap(), Goal::Condition("Ready".into(), "true".into()));
        assert_eq!(Goal::parse("condition=Ready=False").unwrap(), Goal::Condition("Ready".into(), "False".into()));
        assert!(
            matches!(Goal::parse("jsonpath={.status.phase}=Running").unwrap(), Goal::Path(_, Some(value)) if value == "Running")
        );
        assert!(matches!(Goal::parse("jsonpath='{.status.ip}'").unwrap(), Goal::Path(_, None)));
        assert!(Goal::parse("ready").is_err() && Goal::parse("condition").is_err());
    }

    #[test]
    fn a_condition_of_an_older_generation_does_not_count() {
        let goal = Goal::parse("condition=available").unwrap();
        let object = |observed: i64| json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": [{"type": "Available", "status": "True"}]}});
        assert!(!goal.met(&object(1)) && goal.met(&object(2)));
    }

    #[test]
    fn a_path_is_met_by_its_value() {
        let goal = Goal::parse("jsonpath={.status.phase}=Running").unwrap();
        assert!(
            goal.met(&json!({"status": {"phase": "Running"}})) && !goal.met(&json!({"status": {"phase": "Pending"}}))
        );
    }
}
