//! `keelctl delete`: objects go, and the command waits until they are gone.

use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use proto::keelson::api::v1::DeleteOptions;
use serde_json::Value;

use super::target::{Target, Which, find, namespace_of, resource_of};
use super::{DryRun, Files};
use crate::cli::Global;
use crate::remote::{Change, Query, Remote};
use crate::resource::{Catalog, Resource};
use crate::{duration, error};

/// How long to wait for an object to go when no timeout is given.
pub const WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to delete: pod p, deploy/hello, pods,services
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Objects with these fields
    #[arg(long)]
    pub field_selector: Option<String>,
    /// All objects of the resource
    #[arg(long)]
    pub all: bool,
    /// In every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Seconds that the object has to end by itself; -1: its own choice
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    pub grace_period: i64,
    /// As --grace-period=1
    #[arg(long)]
    pub now: bool,
    /// Do not wait for the node to confirm (with --grace-period=0)
    #[arg(long)]
    pub force: bool,
    /// What becomes of dependents: background, orphan, foreground
    #[arg(long, default_value = "background", num_args = 0..=1, default_missing_value = "background", value_parser = ["background", "orphan", "foreground", "true", "false"])]
    pub cascade: String,
    /// Wait until the objects are gone
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Absent objects are no error
    #[arg(long)]
    pub ignore_not_found: bool,
    /// -o name prints names only
    #[arg(short = 'o', long, value_parser = ["name"])]
    pub output: Option<String>,
    /// Go how far: none, client or server
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
}

pub fn options(grace_period_seconds: Option<i64>, propagation: &str) -> DeleteOptions {
    DeleteOptions { grace_period_seconds, propagation_policy: propagation.to_owned(), ..DeleteOptions::default() }
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if args.resources.is_empty() && args.files.filenames.is_empty() {
        bail!(
            "You must provide one or more resources by argument or filename, for example: keelctl delete pod p, or keelctl delete -f FILE"
        );
    }
    if args.force && args.grace_period > 0 {
        bail!("--force and --grace-period greater than 0 cannot be specified together");
    }
    if args.grace_period == 0 && !args.force {
        bail!("a --grace-period of 0 deletes at once: say --force as well, or use --now");
    }
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let (targets, absent) = targets(&remote, &catalog, global, &args).await?;
    if targets.is_empty() && absent.is_empty() && args.files.filenames.is_empty() && !args.ignore_not_found {
        crate::say!("No resources found");
    }
    let grace = match (args.force, args.now, args.grace_period) {
        (true, _, _) => Some(0),
        (_, true, _) => Some(1),
        (_, _, seconds) if seconds >= 0 => Some(seconds),
        _ => None,
    };
    if args.force {
        crate::complain!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    let propagation = match args.cascade.as_str() {
        "orphan" | "false" => "Orphan",
        "foreground" => "Foreground",
        _ => "Background",
    };
    let mut failed = absent;
    let mut waiting = Vec::new();
    for target in &targets {
        let mut options = options(grace, propagation);
        options.dry_run = args.dry_run == DryRun::Server;
        let done = match args.dry_run {
            DryRun::Client => Ok((target.object.clone(), true)),
            _ => remote.delete(&target.resource, &target.namespace, target.name(), options).await,
        };
        match done {
            Ok((object, gone)) => {
                report(target, &args);
                if !gone && args.wait && args.dry_run == DryRun::None {
                    waiting.push((target, object));
                }
            }
            Err(problem) if error::is_not_found(&problem) && args.ignore_not_found => {}
            Err(problem) => failed.push(problem),
        }
    }
    let timeout =
        args.timeout.as_deref().map(duration::parse).transpose()?.filter(|timeout| !timeout.is_zero()).unwrap_or(WAIT);
    let deadline = tokio::time::Instant::now() + timeout;
    for (target, object) in waiting {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if let Err(problem) = wait_gone(&remote, &target.resource, &target.namespace, &object, left).await {
            failed.push(problem);
        }
    }
    let mut failed = failed.into_iter();
    let last = failed.next_back();
    failed.for_each(|problem| crate::complain!("{}", error::text(&problem)));
    last.map_or(Ok(()), Err)
}

/// The objects to delete; those that are not there are errors of their own.
async fn targets(
    remote: &Remote,
    catalog: &Catalog,
    global: &Global,
    args: &Args,
) -> anyhow::Result<(Vec<Target>, Vec<anyhow::Error>)> {
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    let mut single = |read: anyhow::Result<Value>, resource: &Resource, namespace: &str| match read {
        Ok(object) => found.push(Target { resource: resource.clone(), namespace: namespace.to_owned(), object }),
        Err(problem) if args.ignore_not_found && error::is_not_found(&problem) => {}
        Err(problem) => absent.push(problem),
    };
    for document in args.files.read()? {
        let resource = resource_of(catalog, &document)?;
        let namespace = namespace_of(&document.value, resource, global, &remote.namespace)?;
        let name = document.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        single(remote.get(resource, &namespace, name).await, resource, &namespace);
    }
    if args.resources.is_empty() {
        return Ok((found, absent));
    }
    let named = catalog.select(&args.resources)?;
    if named.iter().all(|selection| !selection.names.is_empty()) {
        for selection in &named {
            for name in &selection.names {
                let namespace = if selection.resource.namespaced { remote.namespace.as_str() } else { "" };
                single(remote.get(&selection.resource, namespace, name).await, &selection.resource, namespace);
            }
        }
        return Ok((found, absent));
    }
    let which = Which {
        words: &args.resources,
        labels: args.selector.as_deref(),
        fields: args.field_selector.as_deref(),
        all: args.all,
        all_namespaces: args.all_namespaces,
        files: None,
    };
    found.extend(find(remote, catalog, global, &which).await?);
    Ok((found, absent))
}

fn report(target: &Target, args: &Args) {
    if args.output.is_some() {
        return crate::say!("{}", target.display());
    }
    let verb = if args.force { "force deleted" } else { "deleted" };
    let place =
        if target.resource.namespaced { format!(" from {} namespace", target.namespace) } else { String::new() };
    crate::say!("{} \"{}\" {verb}{place}{}", target.resource.singular_group(), target.name(), args.dry_run.suffix());
}

/// Waits until the object, told by its uid, is no more.
pub async fn wait_gone(
    remote: &Remote,
    resource: &Resource,
    namespace: &str,
    object: &Value,
    timeout: Duration,
) -> anyhow::Result<()> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
    let gone = async {
        loop {
            let list = remote.list(resource, namespace, &Query::name(name)).await?;
            let same =
                |object: &Value| uid.is_empty() || object.pointer("/metadata/uid").and_then(Value::as_str) == Some(uid);
            if !list.items.iter().any(same) {
                return anyhow::Ok(());
            }
            let mut events = remote.watch(resource, namespace, &Query::name(name), list.revision).await?;
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) if event.change == Change::Deleted => break,
                    Ok(_) => {}
                    // An expired watch is begun anew by the list above.
                    Err(problem) if error::reason(&problem) == Some("Expired") => break,
                    Err(problem) => return Err(problem),
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(timeout, gone).await {
        Ok(done) => done,
        Err(_) => bail!("timed out waiting for the condition on {}/{name}{}", resource.plural, held(object)),
    }
}

/// What holds an object that does not go.
fn held(object: &Value) -> String {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    let names: Vec<&str> = finalizers.iter().filter_map(Value::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; it waits for its finalizers: {}", names.join(", ")) }
}
