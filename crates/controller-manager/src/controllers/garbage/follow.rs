//! Follows one resource's metadata into the graph.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use client::backoff::Backoff;
use client::params::{ListParams, WatchParams};
use client::{DynObject, Error, Event};
use futures::StreamExt;
use prost::Message;
use proto::keelson::api::v1::ApiResource;
use proto::meta::v1::ObjectMeta;

use super::graph::Node;
use super::{Collector, Gvr};

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
const WATCH_TIMEOUT_S: i64 = 600;

/// Resources whose objects can be collected. Events are many, owned by nobody and expire by themselves. Of several versions
/// of a resource the first one, which the server prefers: their objects are the same.
pub fn collectable(resources: &[ApiResource]) -> Vec<&ApiResource> {
    let has_all = |resource: &&ApiResource| {
        ["list", "watch", "delete"].iter().all(|verb| resource.verbs.iter().any(|known| known == verb))
    };
    let mut known = HashSet::new();
    let candidates = resources.iter().filter(has_all).filter(|resource| resource.plural != "events");
    candidates.filter(|resource| known.insert((&resource.group, &resource.plural))).collect()
}

/// Lists and watches for ever.
pub async fn run(collector: Collector, gvr: Gvr) {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    let mut revision: Option<i64> = None;
    loop {
        let from = match revision {
            Some(revision) => Ok(revision),
            None => list(&collector, &gvr).await,
        };
        let ended = match from {
            Ok(from) => {
                backoff.reset();
                revision = Some(from);
                watch(&collector, &gvr, &mut revision).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            if error.is_expired() {
                revision = None;
            } else if revision.is_none() && !error.is_unavailable() {
                // Nothing is collected until this is mended.
                tracing::warn!(resource = gvr.2, "garbage collection waits, since these cannot be listed: {error}");
            } else {
                tracing::debug!(resource = gvr.2, "not followed: {error}");
            }
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

async fn list(collector: &Collector, gvr: &Gvr) -> Result<i64, Error> {
    let list = collector.api(gvr).list(&ListParams::default()).await?;
    let mut listed = BTreeSet::new();
    for object in &list.items {
        let node = Node::new(gvr.clone(), &metadata(object)?);
        listed.insert(node.uid.clone());
        collector.heard(node);
    }
    for uid in collector.with_graph(|graph| graph.vanished(gvr, &listed)) {
        collector.removed(&uid);
    }
    collector.lists.listed(gvr);
    Ok(list.resource_version)
}

async fn watch(collector: &Collector, gvr: &Gvr, revision: &mut Option<i64>) -> Result<(), Error> {
    let params = WatchParams {
        resource_version: revision.unwrap_or_default().to_string(),
        bookmarks: true,
        timeout_s: WATCH_TIMEOUT_S,
        ..WatchParams::default()
    };
    let mut events = std::pin::pin!(collector.api(gvr).watch(&params).await?);
    while let Some(event) = events.next().await {
        let seen = match event? {
            Event::Added(object) | Event::Modified(object) => {
                collector.heard(Node::new(gvr.clone(), &metadata(&object)?));
                object.resource_version
            }
            Event::Deleted(object) => {
                collector.removed(&metadata(&object)?.uid);
                object.resource_version
            }
            Event::Bookmark { resource_version, .. } => resource_version,
        };
        *revision = Some(revision.unwrap_or_default().max(seen));
    }
    Ok(())
}

/// Only what is read here; every kind has its metadata in field 1.
#[derive(Clone, PartialEq, Message)]
struct MetadataOnly {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

fn metadata(object: &DynObject) -> Result<ObjectMeta, Error> {
    if object.any.type_url.ends_with(".Json") {
        return object.metadata();
    }
    match MetadataOnly::decode(object.any.value.as_slice()) {
        Ok(MetadataOnly { metadata: Some(metadata) }) => Ok(metadata),
        _ => object.metadata(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_with_two_versions_is_followed_once() {
        let row = |version: &str, plural: &str| ApiResource {
            group: "autoscaling".to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            verbs: ["list", "watch", "delete"].map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let rows = [row("v2", "scalers"), row("v1", "scalers"), row("v1", "others"), row("v1", "events")];
        let followed = collectable(&rows).into_iter().map(|row| (row.version.as_str(), row.plural.as_str()));
        assert_eq!(followed.collect::<Vec<_>>(), [("v2", "scalers"), ("v1", "others")]);
    }
}
