//! `keelctl drain`: no new pods on the node, then its pods are evicted, disruption budgets minded.

use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::node::{nodes, set_cordon};
use super::{DryRun, delete};
use crate::cli::Global;
use crate::describe::{controller, list_at, name, str_at};
use crate::remote::{Query, Remote, Write};
use crate::resource::{Catalog, Resource};
use crate::{duration, error};

/// How long to wait before an eviction that was refused is tried again.
const AGAIN: Duration = Duration::from_secs(5);
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The nodes
    pub nodes: Vec<String>,
    /// Nodes with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Leave the pods of daemon sets
    #[arg(long)]
    pub ignore_daemonsets: bool,
    /// Also pods that nothing would make again
    #[arg(long)]
    pub force: bool,
    /// Also pods whose emptyDir data goes with them
    #[arg(long)]
    pub delete_emptydir_data: bool,
    /// Seconds each pod has to end; -1: its own choice
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    pub grace_period: i64,
    /// How long to try; 0 is unlimited
    #[arg(long, default_value = "0", value_name = "DURATION")]
    pub timeout: String,
    /// Delete pods, past their disruption budgets
    #[arg(long)]
    pub disable_eviction: bool,
    /// Only pods with these labels
    #[arg(long, default_value = "", hide_default_value = true)]
    pub pod_selector: String,
    /// Go how far: none, client or server
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
}

/// What becomes of a pod.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Evict(Option<&'static str>),
    Leave(Option<&'static str>),
    /// The drain cannot go on.
    Refuse(&'static str),
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let timeout = duration::parse(&args.timeout)?;
    let targets = nodes(&remote, global, &args.nodes, args.selector.as_deref()).await?;
    for target in &targets {
        if args.dry_run == DryRun::None {
            set_cordon(&remote, target, true).await?;
        } else {
            crate::say!("{} cordoned{}", target.display(), args.dry_run.suffix());
        }
    }
    for target in &targets {
        let drain = drain(&remote, &catalog, target.name(), &args);
        let done = if timeout.is_zero() {
            drain.await
        } else {
            tokio::time::timeout(timeout, drain)
                .await
                .unwrap_or_else(|_| Err(anyhow::anyhow!("drain did not complete within {}", args.timeout)))
        };
        if let Err(problem) = done {
            bail!(
                "unable to drain node \"{}\" due to error: {}",
                target.name(),
                error::text(&problem).trim_start_matches("error: ")
            );
        }
        crate::say!("{} drained{}", target.display(), args.dry_run.suffix());
    }
    Ok(())
}

async fn drain(remote: &Remote, catalog: &Catalog, node: &str, args: &Args) -> anyhow::Result<()> {
    let resource = catalog.of_kind("v1", "Pod")?;
    let query = Query { labels: args.pod_selector.clone(), fields: format!("spec.nodeName={node}") };
    let pods = remote.list(resource, "", &query).await?.items;
    let (mut evict, mut warnings, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let full = |pod: &Value| format!("{}/{}", str_at(pod, "/metadata/namespace").unwrap_or_default(), name(pod));
    for pod in pods {
        match fate(&pod, args) {
            Fate::Evict(warning) => {
                warnings.extend(warning.map(|warning| (warning, full(&pod))));
                evict.push(pod);
            }
            Fate::Leave(warning) => warnings.extend(warning.map(|warning| (warning, full(&pod)))),
            Fate::Refuse(reason) => refused.push((reason, full(&pod))),
        }
    }
    if !refused.is_empty() {
        bail!("{}", grouped(&refused));
    }
    if !warnings.is_empty() {
        crate::complain!("Warning: {}", grouped(&warnings));
    }
    let all: FuturesUnordered<_> = evict.iter().map(|pod| remove(remote, resource, pod, args)).collect();
    all.collect::<Vec<_>>().await.into_iter().collect()
}

fn grouped(pods: &[(&'static str, String)]) -> String {
    let mut reasons: Vec<&str> = pods.iter().map(|(reason, _)| *reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let list = |wanted: &str| {
        pods.iter().filter(|(reason, _)| *reason == wanted).map(|(_, pod)| pod.as_str()).collect::<Vec<_>>().join(", ")
    };
    reasons.iter().map(|reason| format!("{reason}: {}", list(reason))).collect::<Vec<_>>().join("; ")
}

fn fate(pod: &Value, args: &Args) -> Fate {
    let ended = matches!(str_at(pod, "/status/phase"), Some("Succeeded" | "Failed"));
    let owner = controller(pod).unwrap_or_default();
    if pod.pointer("/metadata/annotations").is_some_and(|all| all.get(MIRROR).is_some()) {
        return Fate::Leave(None);
    }
    if owner.starts_with("DaemonSet/") {
        return match args.ignore_daemonsets {
            true => Fate::Leave(Some("ignoring DaemonSet-managed Pods")),
            false => Fate::Refuse("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"),
        };
    }
    if owner.is_empty() && !ended {
        return match args.force {
            true => Fate::Evict(Some("deleting Pods that declare no controller")),
            false => Fate::Refuse("cannot delete Pods that declare no controller (use --force to override)"),
        };
    }
    let keeps_data = list_at(pod, "/spec/volumes").iter().any(|volume| volume.get("emptyDir").is_some());
    if keeps_data && !ended && !args.delete_emptydir_data {
        return Fate::Refuse("cannot delete Pods with local storage (use --delete-emptydir-data to override)");
    }
    Fate::Evict(None)
}

async fn remove(remote: &Remote, resource: &Resource, pod: &Value, args: &Args) -> anyhow::Result<()> {
    let (namespace, name) = (str_at(pod, "/metadata/namespace").unwrap_or_default(), name(pod));
    let grace = (args.grace_period >= 0).then_some(args.grace_period);
    if args.dry_run == DryRun::Client {
        crate::say!("evicting pod {namespace}/{name} (dry run)");
        return Ok(());
    }
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}, "deleteOptions": {"gracePeriodSeconds": grace}});
    let write = Write::dry(args.dry_run == DryRun::Server);
    loop {
        crate::say!("evicting pod {namespace}/{name}");
        let done = if args.disable_eviction {
            remote.delete(resource, namespace, name, delete::options(grace, "Background")).await.map(drop)
        } else {
            remote.create_subresource(resource, namespace, name, "eviction", &eviction, &write).await.map(drop)
        };
        match done {
            Ok(()) => break,
            Err(problem) if error::is_not_found(&problem) => return Ok(()),
            Err(problem) if may_succeed_later(&problem) => {
                let text = error::text(&problem);
                let text = text.split_once("): ").map_or(text.as_str(), |(_, text)| text);
                match error::reason(&problem) {
                    Some("Forbidden") => crate::complain!(
                        "error when evicting pod \"{name}\" from terminating namespace \"{namespace}\" (will retry after 5s): {text}"
                    ),
                    _ => crate::complain!(
                        "error when evicting pods/\"{name}\" -n \"{namespace}\" (will retry after 5s): {text}"
                    ),
                }
                tokio::time::sleep(AGAIN).await;
            }
            Err(problem) => return Err(problem),
        }
    }
    if args.dry_run == DryRun::None {
        let begin = Instant::now();
        delete::wait_gone(remote, resource, namespace, pod, delete::WAIT).await?;
        tracing::debug!(pod = name, seconds = begin.elapsed().as_secs_f32(), "pod is gone");
    }
    crate::say!("pod/{name} evicted{}", args.dry_run.suffix());
    Ok(())
}

/// A budget may allow it again; a namespace that ends takes the pod with it. Who may not evict, may not later either.
fn may_succeed_later(problem: &anyhow::Error) -> bool {
    match error::reason(problem) {
        Some("TooManyRequests") => true,
        Some("Forbidden") => error::has_cause(problem, "NamespaceTerminating"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proto::meta::v1::{Status, StatusCause, StatusDetails};

    use super::*;

    #[test]
    fn only_refusals_that_pass_are_tried_again() {
        let refused = |reason: &str, cause: &str| {
            let causes = vec![StatusCause { reason: cause.into(), ..StatusCause::default() }];
            let details = Some(StatusDetails { causes, ..StatusDetails::default() });
            let status = Status { reason: reason.into(), details, ..Status::default() };
            anyhow::Error::new(error::Refused(Box::new(status)))
        };
        assert!(may_succeed_later(&refused("TooManyRequests", "DisruptionBudget")));
        assert!(may_succeed_later(&refused("Forbidden", "NamespaceTerminating")));
        assert!(!may_succeed_later(&refused("Forbidden", "")));
        assert!(!may_succeed_later(&anyhow::anyhow!("other")));
    }

    fn args() -> Args {
        Args {
            nodes: vec![],
            selector: None,
            ignore_daemonsets: true,
            force: false,
            delete_emptydir_data: false,
            grace_period: -1,
            timeout: "0".into(),
            disable_eviction: false,
            pod_selector: String::new(),
            dry_run: DryRun::None,
        }
    }

    #[test]
    fn each_kind_of_pod_has_its_fate() {
        let owned =
            |kind: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "name": "x", "controller": true}]}});
        assert_eq!(fate(&owned("ReplicaSet"), &args()), Fate::Evict(None));
        assert!(matches!(fate(&owned("DaemonSet"), &args()), Fate::Leave(Some(_))));
        assert!(matches!(fate(&json!({}), &args()), Fate::Refuse(_)));
        assert!(matches!(fate(&json!({}), &Args { force: true, ..args() }), Fate::Evict(Some(_))));
        assert_eq!(fate(&json!({"metadata": {"annotations": {MIRROR: "x"}}}), &args()), Fate::Leave(None));
        let mut data = owned("ReplicaSet");
        data["spec"] = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        assert!(matches!(fate(&data, &args()), Fate::Refuse(_)));
        assert_eq!(fate(&data, &Args { delete_emptydir_data: true, ..args() }), Fate::Evict(None));
    }
}
