//! Carries out a plan's writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use client::params::{DeleteParams, WriteParams};
use client::recorder::Recorder;
use client::{Client, Error};
use futures::stream::{self, StreamExt};
use proto::core::v1::Node;
use proto::dynamic::{DynObject, KindInfo};
use proto::meta::v1::ObjectMeta;
use proto::time::Time;

use crate::view::View;
use crate::write::{Note, Verb, Write};

/// Independent writes of one plan that run at once.
const PARALLEL_MAX: usize = 16;

/// Writes to the API server, and makes answers visible in the view at once.
#[derive(Clone)]
pub struct Executor {
    client: Client,
    recorder: Recorder,
    view: Arc<View>,
}

impl Executor {
    /// Over a connection.
    pub fn new(client: Client, recorder: Recorder, view: Arc<View>) -> Self {
        Self { client, recorder, view }
    }

    /// Carries out the writes in order; independent neighbours at once, first few, then more (so that a hopeless batch
    /// ends early). The first failure ends it.
    pub async fn execute(&self, mut writes: Vec<Write>) -> Result<(), Error> {
        let here = self.nodes_that_are_here(&writes).await?;
        writes.retain(|write| write.if_node_is_gone.as_ref().is_none_or(|node| !here.contains(node)));
        let mut writes = writes.into_iter().peekable();
        while let Some(write) = writes.next() {
            if !write.is_independent() {
                self.write(write).await?;
                continue;
            }
            let mut batch = vec![write];
            while let Some(next) = writes.next_if(Write::is_independent) {
                batch.push(next);
            }
            self.execute_batch(batch).await?;
        }
        Ok(())
    }

    /// Nodes that writes believe to be gone and that are not.
    async fn nodes_that_are_here(&self, writes: &[Write]) -> Result<BTreeSet<String>, Error> {
        let mut nodes: BTreeSet<String> = writes.iter().filter_map(|write| write.if_node_is_gone.clone()).collect();
        let api = self.client.api::<Node>();
        for node in nodes.clone() {
            if api.get_opt("", &node).await?.is_none() {
                nodes.remove(&node);
            }
        }
        Ok(nodes)
    }

    async fn execute_batch(&self, mut batch: Vec<Write>) -> Result<(), Error> {
        let mut width = 1;
        while !batch.is_empty() {
            let some: Vec<Write> = batch.drain(..width.min(batch.len())).collect();
            let results: Vec<_> =
                stream::iter(some).map(|write| self.write(write)).buffer_unordered(PARALLEL_MAX).collect().await;
            results.into_iter().collect::<Result<Vec<()>, Error>>()?;
            width *= 4;
        }
        Ok(())
    }

    /// One write, what it tells, and its answer in the view.
    async fn write(&self, write: Write) -> Result<(), Error> {
        let Write { verb, told, failed, if_node_is_gone: _ } = write;
        let owner = match &verb {
            Verb::Create(object) => api::meta::controller_of(object.metadata()).map(|owner| owner.uid.clone()),
            _ => None,
        };
        match self.send(&verb).await {
            Ok(name) => {
                if let Some(owner) = owner {
                    self.view.set_create_failure(&owner, None);
                }
                if let Some(note) = told {
                    self.tell(note, "{name}", &name);
                }
                Ok(())
            }
            Err(error) => {
                if let Some(owner) = owner.filter(|_| !error.is_unavailable()) {
                    self.view.set_create_failure(&owner, Some(error.to_string()));
                }
                if let Some(note) = failed.filter(|_| !error.is_unavailable() && !error.is_conflict()) {
                    self.tell(note, "{error}", &error.to_string());
                }
                Err(error)
            }
        }
    }

    /// Sends it; gives the object's name.
    async fn send(&self, verb: &Verb) -> Result<String, Error> {
        match verb {
            Verb::Create(object) => {
                let meta = object.metadata();
                let body = proto::any::pack_dyn(&**object);
                let api = self.api(object.info());
                let made = api.create(&meta.namespace, &meta.name, "", body, &WriteParams::default()).await?;
                self.observe(made)
            }
            Verb::Update(object) => self.update(&**object, "").await,
            Verb::UpdateStatus(object) => self.update(&**object, "status").await,
            Verb::UpdatePart(object, part) => self.update(&**object, part).await,
            Verb::Delete { object, grace } => {
                let meta = object.metadata();
                let params = DeleteParams { grace_period_s: *grace, ..DeleteParams::with_uid(&meta.uid) };
                match self.api(object.info()).delete_and_get(&meta.namespace, &meta.name, &params).await {
                    Ok((left, _)) => self.mark_deleted(&**object, left),
                    // Gone, or another one by now: what was to be deleted is.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
                Ok(meta.name.clone())
            }
            Verb::Tell => Ok(String::new()),
        }
    }

    async fn update(&self, object: &dyn DynObject, part: &str) -> Result<String, Error> {
        let meta = object.metadata();
        let version = meta.resource_version.parse().unwrap_or(0);
        let mut bare = object.clone_box();
        bare.metadata_mut().resource_version.clear();
        let body = proto::any::pack_dyn(&*bare);
        let api = self.api(object.info());
        let written = api.update(&meta.namespace, &meta.name, part, body, version, &WriteParams::default()).await?;
        self.observe(written)
    }

    fn observe(&self, answer: client::DynObject) -> Result<String, Error> {
        let Some(object) = answer.typed()? else { return Ok(String::new()) };
        self.view.observe(&*object);
        Ok(object.metadata().name.clone())
    }

    /// The next plan must see it as going, whatever the watch brings when.
    fn mark_deleted(&self, seen: &dyn DynObject, left: Option<client::DynObject>) {
        let mut object = match left.and_then(|left| left.typed().ok().flatten()) {
            Some(left) => left,
            None => return,
        };
        mark(object.metadata_mut(), seen.metadata(), crate::run::now());
        self.view.observe(&*object);
    }

    fn api(&self, kind: &KindInfo) -> client::DynApi {
        self.client.dynamic(kind.group, kind.version, &client::resource::plural(kind.kind))
    }

    fn tell(&self, note: Note, placeholder: &str, value: &str) {
        let Note { component, involved, kind, reason, message } = note;
        let message = message.replace(placeholder, value);
        self.recorder.speaking_as(component).note(involved, kind, reason, message);
    }
}

/// Marks what a deletion answered with, unless it is marked (and waits for its grace or its finalizers).
fn mark(left: &mut ObjectMeta, seen: &ObjectMeta, now: Time) {
    if left.deletion_timestamp.is_some() {
        return;
    }
    // Gone at once; its last state is marked until the watch takes it out. The answer has the revision of the
    // deletion: where the watch has brought that already, nothing is marked, or the mark would stay for ever.
    left.deletion_timestamp = Some(now);
    let revision = |meta: &ObjectMeta| meta.resource_version.parse().unwrap_or(0_i64);
    left.resource_version = revision(left).max(revision(seen).saturating_add(1)).to_string();
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use client::informer::Store;
    use proto::core::v1::ConfigMap;

    use super::*;

    fn at(revision: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            namespace: "n".into(),
            name: "a".into(),
            resource_version: revision.into(),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    /// What a plan sees after a deletion's answer came, with the watch's news before or after it.
    fn seen_as_going(store: &Store<ConfigMap>, answer: &str) -> Option<bool> {
        let mut left = at(answer);
        mark(&mut left.metadata, &at("5").metadata, Time::from_system(UNIX_EPOCH));
        store.observe(left);
        store.get("n", "a").map(|object| object.metadata.deletion_timestamp.is_some())
    }

    #[test]
    fn what_is_deleted_is_seen_as_going_until_the_watch_takes_it_out() {
        // "5": a server that answers with the state before the deletion.
        for answer in ["8", "5", ""] {
            let store = Store::new();
            store.put(at("5"));
            assert_eq!(seen_as_going(&store, answer), Some(true), "{answer}");
            store.remove(at("8"));
            assert!(store.get("n", "a").is_none(), "{answer}");
        }
    }

    #[test]
    fn a_deletion_that_the_watch_told_first_leaves_no_mark() {
        let store = Store::new();
        store.put(at("5"));
        store.remove(at("8"));
        assert_eq!(seen_as_going(&store, "8"), None);
    }

    #[test]
    fn what_waits_for_its_finalizers_is_taken_as_the_server_says() {
        let mut left = at("8").metadata;
        left.deletion_timestamp = Some(Time::from_system(UNIX_EPOCH + Duration::from_secs(7)));
        let before = left.clone();
        mark(&mut left, &at("5").metadata, Time::from_system(UNIX_EPOCH));
        assert_eq!(left, before);
    }
}
