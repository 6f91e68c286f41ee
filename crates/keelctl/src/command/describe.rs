//! `keelctl describe`: objects in words, with what belongs to them and their events.

use anyhow::bail;
use jiff::Timestamp;
use serde_json::Value;

use super::Files;
use super::target::{Target, Which, find};
use crate::cli::Global;
use crate::describe::{self, Beside};
use crate::error;
use crate::output::tabs;
use crate::remote::{Query, Remote};
use crate::resource::Catalog;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to describe: pod p, pod/p, deploy
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Objects of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// With events
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub show_events: bool,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let which = Which {
        words: &args.resources,
        files: Some(&args.files),
        labels: args.selector.as_deref(),
        all: true,
        all_namespaces: args.all_namespaces,
        fields: None,
    };
    // Naming objects is not selecting them all.
    let named = args.resources.len() > 1 || args.resources.iter().any(|word| word.contains('/'));
    let which = Which { all: which.all && !named, ..which };
    let targets = match find(&remote, &catalog, global, &which).await {
        Err(problem) if error::is_not_found(&problem) && args.resources.len() == 2 => {
            by_prefix(&remote, &catalog, &args, problem).await?
        }
        found => found?,
    };
    if targets.is_empty() {
        bail!(
            "No resources found{}",
            if args.all_namespaces { String::new() } else { format!(" in {} namespace.", remote.namespace) }
        );
    }
    let mut texts = Vec::new();
    for target in &targets {
        let mut beside = beside(&remote, &catalog, target).await?;
        if !args.show_events {
            beside.events.clear();
        }
        let text = describe::text(&target.resource.kind, &target.object, &beside, Timestamp::now());
        let text = if args.show_events { text } else { text.trim_end_matches("Events:\t<none>\n").to_owned() };
        texts.push(tabs::details(&text));
    }
    Ok(crate::terminal::print(&texts.join("\n\n"))?)
}

/// Objects whose names begin with the word, as kubectl finds them.
async fn by_prefix(
    remote: &Remote,
    catalog: &Catalog,
    args: &Args,
    problem: anyhow::Error,
) -> anyhow::Result<Vec<Target>> {
    let resource = catalog.find(&args.resources[0])?;
    let prefix = &args.resources[1];
    let list = remote.list(resource, &remote.namespace, &Query::default()).await?;
    let targets: Vec<Target> = list
        .items
        .into_iter()
        .filter(|object| describe::name(object).starts_with(prefix))
        .map(|object| Target { resource: resource.clone(), namespace: remote.namespace.clone(), object })
        .collect();
    if targets.is_empty() { Err(problem) } else { Ok(targets) }
}

/// Events about an object, in its namespace (cluster-wide ones in default).
pub async fn events(remote: &Remote, catalog: &Catalog, object: &Value) -> anyhow::Result<Vec<Value>> {
    let resource = catalog.of_kind("v1", "Event")?;
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let fields = format!("involvedObject.name={},involvedObject.kind={}", text("/metadata/name"), text("/kind"));
    let namespace = text("/metadata/namespace");
    let list = remote.list(resource, namespace, &Query { labels: String::new(), fields }).await?;
    // Events of an earlier object of that name are not about this one; node events carry the name as uid.
    let uid = text("/metadata/uid");
    let about = |event: &Value| {
        event
            .pointer("/involvedObject/uid")
            .and_then(Value::as_str)
            .is_none_or(|about| about.is_empty() || about == uid || about == text("/metadata/name"))
    };
    Ok(list.items.into_iter().filter(about).collect())
}

async fn beside(remote: &Remote, catalog: &Catalog, target: &Target) -> anyhow::Result<Beside> {
    let mut found = Beside::default();
    let list = async |api_version: &str, kind: &str, namespace: &str, query: Query| -> anyhow::Result<Vec<Value>> {
        match catalog.of_kind(api_version, kind) {
            Ok(resource) => Ok(remote.list(resource, namespace, &query).await?.items),
            Err(_) => Ok(Vec::new()),
        }
    };
    let labels = |labels: String| Query { labels, fields: String::new() };
    let kind = target.resource.kind.as_str();
    match kind {
        "Deployment" => found.replica_sets = list("apps/v1", "ReplicaSet", &target.namespace, Query::default()).await?,
        "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            let selector = api::print::label_selector(target.object.pointer("/spec/selector"));
            found.pods = list("v1", "Pod", &target.namespace, labels(selector)).await?;
        }
        "PersistentVolumeClaim" => found.pods = list("v1", "Pod", &target.namespace, Query::default()).await?,
        "Service" => {
            let selector = format!("kubernetes.io/service-name={}", target.name());
            found.endpoint_slices =
                list("discovery.k8s.io/v1", "EndpointSlice", &target.namespace, labels(selector)).await?;
        }
        "Node" => {
            let query = Query { labels: String::new(), fields: format!("spec.nodeName={}", target.name()) };
            found.pods = list("v1", "Pod", "", query).await?;
            if let Ok(leases) = catalog.of_kind("coordination.k8s.io/v1", "Lease") {
                found.lease = remote.get(leases, "kube-node-lease", target.name()).await.ok();
            }
        }
        _ => {}
    }
    found.events = events(remote, catalog, &target.object).await.unwrap_or_default();
    Ok(found)
}
