//! ComponentStatus: how the parts of the control plane beside the apiserver are, asked when somebody wants to know.
//!
//! As upstream: the scheduler and the controller manager by their health pages on this machine, each member of the store by a
//! read. Nothing of it is stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::serve::Body;
use futures::future::join_all;
use http::Request;
use prost::Message;
use proto::core::v1::{ComponentCondition, ComponentStatus};

use crate::outbound::{Bounds, Destination, Error, Place, Trust};
use crate::registry::Versioned;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::storage::endpoint::Look;
use crate::verbs::Target;
use crate::verbs::list::Listed;
use crate::watch_cache::{Entry, Filter};

/// Health pages on this machine, by the component's name.
const PAGES: [(&str, &str); 2] =
    [("controller-manager", "https://127.0.0.1:10257"), ("scheduler", "https://127.0.0.1:10259")];
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(5), answer_bytes_max: 64 << 10 };

/// Whether the target is answered here.
pub fn are(target: &Target) -> bool {
    target.resource.row.group.is_empty() && target.resource.row.plural == "componentstatuses"
}

/// One component.
pub async fn get(server: &Server, target: &Target) -> Result<Versioned> {
    let found = all(server, |name| name == target.name).await.pop();
    // In upstream's words, and without its reason.
    let found = found.ok_or_else(|| Failure::new(500, "", format!("Component not found: {}", target.name)))?;
    Ok(Versioned::of(&found, 0))
}

/// Those that are wanted, by name.
pub async fn list(server: &Server, wanted: &Filter) -> Listed {
    let found = all(server, |name| wanted.name.is_empty() || wanted.name == name).await;
    let entry = |component: ComponentStatus| {
        Entry::new(&component.metadata.name, 0, component.encode_to_vec().into(), BTreeMap::new(), Vec::new())
    };
    let entries = found.into_iter().map(entry).filter(|entry| wanted.matches(entry)).map(Arc::new).collect();
    Listed { revision: 0, entries, token: String::new(), remaining: None, rest: None }
}

async fn all(server: &Server, wanted: impl Fn(&str) -> bool) -> Vec<ComponentStatus> {
    let pages = PAGES.into_iter().filter(|(name, _)| wanted(name));
    let pages = join_all(pages.map(|(name, origin)| async move { page(server, name, origin).await }));
    let (pages, members) = tokio::join!(pages, members(server, &wanted));
    let mut found: Vec<ComponentStatus> = pages.into_iter().chain(members).collect();
    found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    found
}

async fn page(server: &Server, name: &str, origin: &str) -> ComponentStatus {
    let to = Destination { place: Place::Origin(origin.to_owned()), trust: Trust::Anything, identify: false };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/healthz");
    let (healthy, message) = match server.outbound.short(&to, request, BOUNDS).await {
        Ok(answer) => (answer.status.is_success(), String::from_utf8_lossy(&answer.body).into_owned()),
        Err(error) => (false, told(&error, origin)),
    };
    status(name, healthy, message)
}

/// As Go's clients say it.
fn told(error: &Error, origin: &str) -> String {
    format!("Get \"{origin}/healthz\": {}", error.reason())
}

async fn members(server: &Server, wanted: &impl Fn(&str) -> bool) -> Vec<ComponentStatus> {
    let names: Vec<String> = (0..server.store.members()).map(|at| format!("etcd-{at}")).collect();
    if !names.iter().any(|name| wanted(name)) {
        return Vec::new();
    }
    let seen = server.store.look().await;
    let each = names.iter().zip(seen).filter(|(name, _)| wanted(name));
    each.map(|(name, seen)| match seen.look {
        Look::Serves => status(name, true, "ok".to_owned()),
        Look::Alone => status(name, false, "the member has no quorum behind it".to_owned()),
        Look::Silent => status(name, false, "context deadline exceeded".to_owned()),
    })
    .collect()
}

fn status(name: &str, healthy: bool, message: String) -> ComponentStatus {
    let mut component = ComponentStatus {
        conditions: vec![ComponentCondition {
            r#type: "Healthy".to_owned(),
            status: if healthy { "True" } else { "False" }.to_owned(),
            message,
            ..ComponentCondition::default()
        }],
        ..ComponentStatus::default()
    };
    component.metadata.name = name.to_owned();
    component
}
