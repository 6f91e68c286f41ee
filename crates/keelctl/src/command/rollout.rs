//! `keelctl rollout`: follow, list, undo, restart, pause and resume rollouts.

use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Files;
use super::target::{Target, Which, find};
use crate::cli::Global;
use crate::describe;
use crate::remote::{Change, PatchType, Query, Remote, Write};
use crate::resource::{Catalog, Resource};
use crate::{duration, error};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// The condition's reason once a rollout took longer than its deadline.
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Follow a rollout until it is done
    Status(StatusArgs),
    /// List the revisions
    History(HistoryArgs),
    /// Go back to an earlier revision
    Undo(UndoArgs),
    /// Replace all pods
    Restart(WhichArgs),
    /// Let changes gather without rolling out
    Pause(WhichArgs),
    /// Roll out again
    Resume(WhichArgs),
}

#[derive(Debug, clap::Args)]
pub struct WhichArgs {
    /// deployment/hello, daemonset/x, statefulset/y
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub which: WhichArgs,
    /// Follow until done
    #[arg(short = 'w', long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub watch: bool,
    /// How long to follow; 0 is unlimited
    #[arg(long, value_name = "DURATION", default_value = "0")]
    pub timeout: String,
}

#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub which: WhichArgs,
    /// Show the pod template of this revision
    #[arg(long, default_value_t = 0)]
    pub revision: i64,
}

#[derive(Debug, clap::Args)]
pub struct UndoArgs {
    #[command(flatten)]
    pub which: WhichArgs,
    /// The revision to go back to; 0 is the one before
    #[arg(long, default_value_t = 0)]
    pub to_revision: i64,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let ctx = Ctx { remote: &remote, catalog: &catalog, global };
    match args.action {
        Action::Status(args) => ctx.status(args).await,
        Action::History(args) => ctx.history(args).await,
        Action::Undo(args) => ctx.undo(args).await,
        Action::Restart(args) => ctx.restart(args).await,
        Action::Pause(args) => ctx.pause(args, true).await,
        Action::Resume(args) => ctx.pause(args, false).await,
    }
}

struct Ctx<'a> {
    remote: &'a Remote,
    catalog: &'a Catalog,
    global: &'a Global,
}

impl Ctx<'_> {
    async fn find(&self, args: &WhichArgs) -> anyhow::Result<Vec<Target>> {
        if args.resources.is_empty() && args.files.filenames.is_empty() {
            bail!("required resource not specified, for example: deployment/hello");
        }
        let which = Which {
            words: &args.resources,
            files: Some(&args.files),
            labels: args.selector.as_deref(),
            all: args.resources.len() == 1 && !args.resources[0].contains('/'),
            ..Which::default()
        };
        find(self.remote, self.catalog, self.global, &which).await
    }

    async fn status(&self, args: StatusArgs) -> anyhow::Result<()> {
        let timeout = duration::parse(&args.timeout)?;
        for target in self.find(&args.which).await? {
            let follow = self.follow(&target, args.watch);
            if timeout.is_zero() {
                follow.await?;
            } else if let Ok(done) = tokio::time::timeout(timeout, follow).await {
                done?;
            } else {
                bail!("timed out waiting for the condition");
            }
        }
        Ok(())
    }

    async fn follow(&self, target: &Target, watch: bool) -> anyhow::Result<()> {
        let query = Query::name(target.name());
        let mut object = target.object.clone();
        loop {
            let step = progress(&target.resource, &object)?;
            crate::say!("{}", step.0);
            if step.1 || !watch {
                return Ok(());
            }
            let revision = object
                .pointer("/metadata/resourceVersion")
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            let mut events = self.remote.watch(&target.resource, &target.namespace, &query, revision).await?;
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) if event.change == Change::Deleted => bail!("object has been deleted"),
                    Ok(event) if event.change == Change::Bookmark => {}
                    Ok(event) => {
                        object = event.object;
                        let (text, done) = progress(&target.resource, &object)?;
                        crate::say!("{text}");
                        if done {
                            return Ok(());
                        }
                    }
                    Err(problem) if error::reason(&problem) == Some("Expired") => break,
                    Err(problem) => return Err(problem),
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            object = self.remote.get(&target.resource, &target.namespace, target.name()).await?;
        }
    }

    /// The replica sets of a deployment, by revision.
    async fn revisions(&self, target: &Target) -> anyhow::Result<Vec<(i64, Value)>> {
        if target.resource.kind != "Deployment" {
            bail!(
                "no history viewer has been implemented for {}: only deployments keep theirs in replica sets",
                target.resource.plural_group()
            );
        }
        let sets = self.catalog.of_kind("apps/v1", "ReplicaSet")?;
        let list = self.remote.list(sets, &target.namespace, &Query::default()).await?;
        let uid = target.object.pointer("/metadata/uid");
        let mut found: Vec<(i64, Value)> = list
            .items
            .into_iter()
            .filter(|set| describe::owners(set).any(|owner| owner.get("uid") == uid))
            .map(|set| (annotation(&set, REVISION).and_then(|text| text.parse().ok()).unwrap_or_default(), set))
            .collect();
        found.sort_by_key(|(revision, _)| *revision);
        Ok(found)
    }

    async fn history(&self, args: HistoryArgs) -> anyhow::Result<()> {
        for target in self.find(&args.which).await? {
            let revisions = self.revisions(&target).await?;
            if args.revision > 0 {
                let Some((_, set)) = revisions.iter().find(|(revision, _)| *revision == args.revision) else {
                    bail!("unable to find the specified revision");
                };
                crate::say!("{} with revision #{}", target.display(), args.revision);
                crate::terminal::print(&crate::output::tabs::details(&describe::pod_template(
                    &set["spec"]["template"],
                )))?;
                continue;
            }
            crate::say!("{} ", target.display());
            let mut text = "REVISION\tCHANGE-CAUSE\n".to_owned();
            for (revision, set) in &revisions {
                text.push_str(&format!("{revision}\t{}\n", annotation(set, CHANGE_CAUSE).unwrap_or("<none>")));
            }
            crate::say!("{}", crate::output::tabs::align(&text, 0, 2));
        }
        Ok(())
    }

    async fn undo(&self, args: UndoArgs) -> anyhow::Result<()> {
        for target in self.find(&args.which).await? {
            let revisions = self.revisions(&target).await?;
            let current =
                annotation(&target.object, REVISION).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
            let found = match args.to_revision {
                0 => revisions.iter().rev().find(|(revision, _)| {
                    *revision != current && *revision != revisions.last().map_or(0, |last| last.0)
                }),
                wanted => revisions.iter().find(|(revision, _)| *revision == wanted),
            };
            let Some((revision, set)) = found else {
                match args.to_revision {
                    0 => bail!("no rollout history found for {}", target.display()),
                    wanted => bail!("unable to find specified revision {wanted} in history"),
                }
            };
            if target.object.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default() {
                bail!(
                    "you cannot rollback a paused deployment; resume it first with 'keelctl rollout resume {}' and try again",
                    target.display()
                );
            }
            let mut template = set["spec"]["template"].clone();
            if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
                labels.remove("pod-template-hash");
            }
            if template == target.object["spec"]["template"] {
                crate::say!(
                    "{} skipped rollback (current template already matches revision {revision})",
                    target.display()
                );
                continue;
            }
            let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
            self.patch(&target, PatchType::Json, &patch).await?;
            crate::say!("{} rolled back", target.display());
        }
        Ok(())
    }

    async fn restart(&self, args: WhichArgs) -> anyhow::Result<()> {
        for target in self.find(&args).await? {
            if !matches!(target.resource.kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet") {
                bail!("{} restarting is not supported", target.resource.plural_group());
            }
            if target.object.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default() {
                bail!("can't restart paused deployment (run rollout resume first)");
            }
            let now = format!("{:.0}", Timestamp::now());
            let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}});
            self.patch(&target, PatchType::Strategic, &patch).await?;
            crate::say!("{} restarted", target.display());
        }
        Ok(())
    }

    async fn pause(&self, args: WhichArgs, pause: bool) -> anyhow::Result<()> {
        for target in self.find(&args).await? {
            if target.resource.kind != "Deployment" {
                bail!(
                    "{} {} is not supported",
                    target.resource.plural_group(),
                    if pause { "pausing" } else { "resuming" }
                );
            }
            let paused = target.object.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default();
            if paused == pause {
                let state = if pause { "already paused" } else { "not paused" };
                bail!("{} \"{}\" is {state}", target.resource.plural_group(), target.name());
            }
            let patch = json!({"spec": {"paused": if pause { json!(true) } else { Value::Null }}});
            self.patch(&target, PatchType::Strategic, &patch).await?;
            crate::say!("{} {}", target.display(), if pause { "paused" } else { "resumed" });
        }
        Ok(())
    }

    async fn patch(&self, target: &Target, kind: PatchType, patch: &Value) -> anyhow::Result<Value> {
        let write = Write { field_manager: "kubectl-rollout".to_owned(), ..Write::default() };
        self.remote.patch(&target.resource, &target.namespace, target.name(), kind, patch, &write).await
    }
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// How far a rollout is, in kubectl's words, and whether it is done.
fn progress(resource: &Resource, object: &Value) -> anyhow::Result<(String, bool)> {
    match resource.kind.as_str() {
        "Deployment" => deployment(object),
        "DaemonSet" => Ok(daemon_set(object)),
        "StatefulSet" => stateful_set(object),
        _ => bail!("no status viewer has been implemented for {}", resource.plural_group()),
    }
}

fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

fn observed(object: &Value) -> bool {
    number(object, "/metadata/generation") <= number(object, "/status/observedGeneration")
}

/// How far a Deployment's rollout is, and whether it is done; an error: it has failed.
pub fn deployment(object: &Value) -> anyhow::Result<(String, bool)> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if !observed(object) {
        return Ok(("Waiting for deployment spec update to be observed...".to_owned(), false));
    }
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let progressing = conditions.iter().find(|condition| condition["type"] == "Progressing");
    if progressing.is_some_and(|condition| condition["reason"] == TIMED_OUT) {
        bail!("deployment \"{name}\" exceeded its progress deadline");
    }
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let (updated, all, available) = (
        number(object, "/status/updatedReplicas"),
        number(object, "/status/replicas"),
        number(object, "/status/availableReplicas"),
    );
    let waiting = |what: String| Ok((format!("Waiting for deployment \"{name}\" rollout to finish: {what}..."), false));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return waiting(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Ok((format!("deployment \"{name}\" successfully rolled out"), true))
}

fn daemon_set(object: &Value) -> (String, bool) {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if !observed(object) {
        return ("Waiting for daemon set spec update to be observed...".to_owned(), false);
    }
    let (wanted, updated, available) = (
        number(object, "/status/desiredNumberScheduled"),
        number(object, "/status/updatedNumberScheduled"),
        number(object, "/status/numberAvailable"),
    );
    if updated < wanted {
        return (
            format!(
                "Waiting for daemon set \"{name}\" rollout to finish: {updated} out of {wanted} new pods have been updated..."
            ),
            false,
        );
    }
    if available < wanted {
        return (
            format!(
                "Waiting for daemon set \"{name}\" rollout to finish: {available} of {wanted} updated pods are available..."
            ),
            false,
        );
    }
    (format!("daemon set \"{name}\" successfully rolled out"), true)
}

fn stateful_set(object: &Value) -> anyhow::Result<(String, bool)> {
    if object.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete") {
        bail!("rollout status is only available for RollingUpdate strategy type");
    }
    if !observed(object) {
        return Ok(("Waiting for statefulset spec update to be observed...".to_owned(), false));
    }
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let (ready, updated) = (number(object, "/status/readyReplicas"), number(object, "/status/updatedReplicas"));
    if ready < wanted {
        return Ok((format!("Waiting for {} pods to be ready...", wanted - ready), false));
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    if partition > 0 {
        if updated < wanted - partition {
            return Ok((
                format!(
                    "Waiting for partitioned roll out to finish: {updated} out of {} new pods have been updated...",
                    wanted - partition
                ),
                false,
            ));
        }
        return Ok((format!("partitioned roll out complete: {updated} new pods have been updated..."), true));
    }
    let revision = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    if revision("/status/updateRevision") != revision("/status/currentRevision") {
        let to = revision("/status/updateRevision");
        return Ok((
            format!("waiting for statefulset rolling update to complete {updated} pods at revision {to}..."),
            false,
        ));
    }
    let (current, at) = (number(object, "/status/currentReplicas"), revision("/status/currentRevision"));
    Ok((format!("statefulset rolling update complete {current} pods at revision {at}..."), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: Value, text: &str, done: bool) {
        let object = json!({"metadata": {"name": "d", "generation": 2}, "spec": {"replicas": 3}, "status": status});
        assert_eq!(deployment(&object).unwrap(), (text.to_owned(), done));
    }

    #[test]
    fn a_rollout_is_told_step_by_step() {
        check(json!({"observedGeneration": 1}), "Waiting for deployment spec update to be observed...", false);
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 1}),
            "Waiting for deployment \"d\" rollout to finish: 1 out of 3 new replicas have been updated...",
            false,
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4}),
            "Waiting for deployment \"d\" rollout to finish: 1 old replicas are pending termination...",
            false,
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}),
            "Waiting for deployment \"d\" rollout to finish: 2 of 3 updated replicas are available...",
            false,
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}),
            "deployment \"d\" successfully rolled out",
            true,
        );
    }

    #[test]
    fn a_passed_deadline_is_an_error() {
        let object = json!({"metadata": {"name": "d"}, "status": {"conditions": [{"type": "Progressing", "reason": TIMED_OUT}]}});
        assert_eq!(deployment(&object).unwrap_err().to_string(), "deployment \"d\" exceeded its progress deadline");
    }
}
