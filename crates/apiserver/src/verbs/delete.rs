//! Deleting: at once, after a grace period, or once nothing holds the object.
//!
//! [`decide`] is pure: it says what becomes of an object. Finalizers `orphan` and `foregroundDeletion` carry the
//! propagation policy to the garbage collector; a pod on a node waits for its kubelet; a namespace for its controller.

use proto::core::v1::Namespace;
use proto::dynamic::DynObject;
use proto::meta::v1::{ObjectMeta, Time};

use super::Target;
use super::options::{DeleteOptions, Propagation};
use super::write::{Decision, Mutation, Outcome, change, tell};
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::admit::plugins::Plugin;
use crate::admit::{self, node_restriction};
use crate::authenticate::User;
use crate::registry::Resource;
use crate::server::Server;
use crate::status::{Failure, Result};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Deletes the object, or marks it as being deleted.
///
/// As upstream: an object of a kind with grace periods is marked first also where its period is zero, so that watchers see
/// that it is being deleted, and is removed next.
pub async fn delete(
    server: &Server,
    user: &User,
    target: &Target,
    options: &DeleteOptions,
    warnings: &mut Vec<String>,
) -> Result<Outcome> {
    let asking = Asking { server, user, target, operation: Operation::Delete, options: Options::Delete(options) };
    run(server, user, target, options, Some((asking, warnings))).await
}

/// Deletes the object without asking webhooks and policies: they were asked about what led to it.
pub async fn delete_unasked(server: &Server, user: &User, target: &Target, options: &DeleteOptions) -> Result<Outcome> {
    run(server, user, target, options, None).await
}

async fn run(
    server: &Server,
    user: &User,
    target: &Target,
    options: &DeleteOptions,
    asked: Option<(Asking<'_>, &mut Vec<String>)>,
) -> Result<Outcome> {
    admit::on_delete(server, target)?;
    let now = server.now();
    let (asking, told) = asked.map_or((None, None), |(asking, told)| (Some(asking), Some(told)));
    let mut deletion = Deletion { server, user, target, options, now, asking, marked: false, warnings: Vec::new() };
    let marked = change(server, target, options.dry_run, &mut deletion).await;
    if let Some(told) = told {
        tell(told, std::mem::take(&mut deletion.warnings));
    }
    let marked = marked?;
    if !deletion.marked || marked.removed || options.dry_run {
        return Ok(marked);
    }
    // The version that the options name was the one before the mark.
    let options = DeleteOptions { resource_version: String::new(), ..options.clone() };
    let mut removal = Deletion { options: &options, asking: None, marked: false, ..deletion };
    match change(server, target, false, &mut removal).await {
        // Somebody else removed it meanwhile.
        Err(failure) if failure.is_not_found() => Ok(Outcome { removed: true, ..marked }),
        outcome => outcome,
    }
}

struct Deletion<'a> {
    server: &'a Server,
    user: &'a User,
    target: &'a Target,
    options: &'a DeleteOptions,
    now: Time,
    /// Who else has a say; none where they had it.
    asking: Option<Asking<'a>>,
    warnings: Vec<String>,
    /// Whether the object was marked, and nothing holds it any more.
    marked: bool,
}

#[async_trait::async_trait]
impl Mutation for Deletion<'_> {
    async fn decide(&mut self, current: Box<dyn DynObject>, rev: i64) -> Result<Decision> {
        let Target { resource, name, .. } = self.target;
        if self.server.runs(Plugin::NodeRestriction) {
            node_restriction::on_delete(self.user, self.target, current.as_ref())?;
        }
        check_preconditions(resource, name, self.options, current.metadata(), rev)?;
        if let Some(asking) = self.asking {
            self.warnings.clear();
            asking.delete(current.as_ref(), rev, &mut self.warnings).await?;
        }
        let decision = decide(resource, self.options, current, self.now);
        self.marked = matches!(&decision, Decision::Write(object) if is_over(resource, object.as_ref()));
        Ok(decision)
    }
}

/// Whether nothing is left to wait for.
fn is_over(resource: &Resource, object: &dyn DynObject) -> bool {
    let meta = object.metadata();
    meta.deletion_grace_period_seconds == Some(0) && meta.finalizers.is_empty() && !resource.strategy.is_held(object)
}

/// Refuses an object that is not the one, or not the version, that the options name.
pub(super) fn check_preconditions(
    resource: &Resource,
    name: &str,
    options: &DeleteOptions,
    meta: &ObjectMeta,
    rev: i64,
) -> Result<()> {
    let row = resource.row;
    if !options.uid.is_empty() && options.uid != meta.uid {
        let why = format!(
            "the UID in the precondition ({}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            options.uid, meta.uid
        );
        return Err(Failure::conflict(row.group, row.kind, name, &why));
    }
    if !options.resource_version.is_empty() && options.resource_version != rev.to_string() {
        let why = format!(
            "the ResourceVersion in the precondition ({}) does not match the ResourceVersion in record ({rev}). The object might have been modified",
            options.resource_version
        );
        return Err(Failure::conflict(row.group, row.kind, name, &why));
    }
    Ok(())
}

/// What becomes of an object that is to be deleted.
fn decide(resource: &Resource, options: &DeleteOptions, object: Box<dyn DynObject>, now: Time) -> Decision {
    let mut object = object;
    let finalizers = finalizers(object.metadata(), options.propagation);
    let refinalized = finalizers != object.metadata().finalizers;
    let grace = resource.strategy.grace_period(object.as_ref(), options.grace_period_s);
    let first = object.metadata().deletion_timestamp.is_none();
    let held = resource.strategy.is_held(object.as_ref());
    object.metadata_mut().finalizers = finalizers;
    if first && resource.strategy.marks_deletion(object.as_mut(), now) {
        return Decision::Write(object);
    }
    let unfinished = held || !object.metadata().finalizers.is_empty();

    match grace {
        Some(_) if !first => return again(object, options, unfinished, refinalized),
        None if !unfinished => return Decision::Remove(object),
        Some(grace) => mark(object.metadata_mut(), now, grace),
        None if first => mark(object.metadata_mut(), now, 0),
        None => {}
    }
    if held && let Some(namespace) = object.downcast_mut::<Namespace>() {
        namespace.status.phase = "Terminating".to_owned();
        // A namespace is not waited for by the second.
        namespace.metadata.deletion_grace_period_seconds = None;
    }
    Decision::Write(object)
}

/// A second deletion of an object with a grace period can only shorten it.
fn again(mut object: Box<dyn DynObject>, options: &DeleteOptions, unfinished: bool, refinalized: bool) -> Decision {
    let meta = object.metadata_mut();
    let running = meta.deletion_grace_period_seconds;
    let shorter = match (running, options.grace_period_s) {
        (None, _) => Some(0),
        (Some(running), Some(asked)) if asked < running => Some(asked.max(0)),
        _ => None,
    };
    let Some(shorter) = shorter else {
        let ended = running == Some(0) && !unfinished;
        return match (ended, refinalized) {
            (true, _) => Decision::Remove(object),
            (false, true) => Decision::Write(object),
            (false, false) => Decision::Keep,
        };
    };
    if let Some(at) = &mut meta.deletion_timestamp {
        *at = Time::from_unix(at.seconds - running.unwrap_or(0) + shorter);
    }
    meta.deletion_grace_period_seconds = Some(shorter);
    Decision::Write(object)
}

fn mark(meta: &mut ObjectMeta, now: Time, grace: i64) {
    meta.deletion_timestamp = Some(Time::from_unix(now.seconds + grace));
    meta.deletion_grace_period_seconds = Some(grace);
    if meta.generation > 0 {
        meta.generation += 1;
    }
}

/// The finalizers that the policy asks for. Without one, what is there decides.
fn finalizers(meta: &ObjectMeta, propagation: Option<Propagation>) -> Vec<String> {
    let Some(propagation) = propagation else { return meta.finalizers.clone() };
    let mut kept: Vec<String> =
        meta.finalizers.iter().filter(|name| *name != ORPHAN && *name != FOREGROUND).cloned().collect();
    match propagation {
        Propagation::Orphan => kept.push(ORPHAN.to_owned()),
        Propagation::Foreground => kept.push(FOREGROUND.to_owned()),
        Propagation::Background => {}
    }
    kept
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{ConfigMap, Pod};

    use super::*;
    use crate::registry::Registry;

    const NOW: Time = Time { seconds: 1000, nanos: 0 };

    fn run(plural: &str, object: impl proto::Object, options: &DeleteOptions) -> Decision {
        let registry = Registry::new();
        decide(registry.core(plural).expect("a core resource"), options, Box::new(object), NOW)
    }

    fn running_pod() -> Pod {
        let mut pod = Pod::default();
        pod.spec.node_name = "n1".into();
        pod.metadata.generation = 1;
        pod
    }

    #[test]
    fn an_object_that_nothing_holds_is_removed() {
        assert!(matches!(run("configmaps", ConfigMap::default(), &DeleteOptions::default()), Decision::Remove(_)));
    }

    #[test]
    fn a_pod_that_nothing_holds_is_marked_and_then_removed() {
        let Decision::Write(pod) = run("pods", Pod::default(), &DeleteOptions::default()) else { panic!("marked") };
        assert_eq!(pod.metadata().deletion_grace_period_seconds, Some(0));
        assert!(is_over(Registry::new().core("pods").expect("a core resource"), pod.as_ref()));
        let pod = pod.downcast_ref::<Pod>().expect("a pod").clone();
        assert!(matches!(run("pods", pod, &DeleteOptions::default()), Decision::Remove(_)));
    }

    #[test]
    fn a_pod_on_a_node_is_given_its_grace_period() {
        let Decision::Write(pod) = run("pods", running_pod(), &DeleteOptions::default()) else { panic!("written") };
        let meta = pod.metadata();
        assert_eq!(meta.deletion_timestamp.map(|at| at.seconds), Some(1030));
        assert_eq!((meta.deletion_grace_period_seconds, meta.generation), (Some(30), 2));
        // A second deletion changes nothing; one at once removes it.
        let pod = pod.downcast_ref::<Pod>().expect("a pod").clone();
        assert!(matches!(run("pods", pod.clone(), &DeleteOptions::default()), Decision::Keep));
        let now = DeleteOptions { grace_period_s: Some(0), ..Default::default() };
        let Decision::Write(marked) = run("pods", pod.clone(), &now) else { panic!("marked") };
        assert_eq!(marked.metadata().deletion_grace_period_seconds, Some(0));
        let marked = marked.downcast_ref::<Pod>().expect("a pod").clone();
        assert!(matches!(run("pods", marked, &now), Decision::Remove(_)));
        let sooner = DeleteOptions { grace_period_s: Some(5), ..Default::default() };
        let Decision::Write(pod) = run("pods", pod, &sooner) else { panic!("shortened") };
        assert_eq!(pod.metadata().deletion_timestamp.map(|at| at.seconds), Some(1005));
    }

    #[test]
    fn a_finalizer_holds_an_object() {
        let mut held = ConfigMap::default();
        held.metadata.finalizers = vec!["example.com/x".into()];
        let Decision::Write(held) = run("configmaps", held, &DeleteOptions::default()) else { panic!("marked") };
        assert_eq!(held.metadata().deletion_timestamp.map(|at| at.seconds), Some(1000));
        assert_eq!(held.metadata().deletion_grace_period_seconds, Some(0));
    }

    #[test]
    fn the_propagation_policy_becomes_a_finalizer() {
        let foreground = DeleteOptions { propagation: Some(Propagation::Foreground), ..Default::default() };
        let Decision::Write(object) = run("configmaps", ConfigMap::default(), &foreground) else { panic!("marked") };
        assert_eq!(object.metadata().finalizers, [FOREGROUND]);
        let background = DeleteOptions { propagation: Some(Propagation::Background), ..Default::default() };
        let object = object.downcast_ref::<ConfigMap>().expect("a configmap").clone();
        assert!(matches!(run("configmaps", object, &background), Decision::Remove(_)));
    }

    #[test]
    fn a_namespace_waits_for_its_controller() {
        let mut namespace = Namespace::default();
        namespace.spec.finalizers = vec!["kubernetes".into()];
        let Decision::Write(namespace) = run("namespaces", namespace, &DeleteOptions::default()) else {
            panic!("marked")
        };
        let namespace = namespace.downcast_ref::<Namespace>().expect("a namespace");
        assert_eq!(namespace.status.phase, "Terminating");
        assert!(namespace.metadata.deletion_timestamp.is_some());
    }
}
