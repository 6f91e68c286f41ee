//! The task that serves what the definitions in the store say.
//!
//! It hears of every change of a definition, and then passes over those that changed: names are judged (`api::definition`),
//! resources are made for the versions that are served, the registry and the documents of discovery are replaced, and the
//! status is written where it says something else. Every apiserver on the store does the same; writes of the status are
//! conditional, so whoever comes second finds nothing to change.

mod pass;
mod progress;
pub mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::apiextensions::v1::CustomResourceDefinitionNames as Names;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::discovery::Discovery;
use crate::openapi::OpenApi;
use crate::registry::Resource;
use crate::server::Server;
use crate::watch_cache::shared::{Followed, Follower, SharedFeed};
use crate::watch_cache::{Change, Entry, Observer};

pub use progress::{Progress, settle};

/// Where definitions are.
pub const GROUP: &str = "apiextensions.k8s.io";
pub const PLURAL: &str = "customresourcedefinitions";

/// When a status that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the definitions.
pub struct Definitions {
    server: Arc<Server>,
    discovery: Arc<Discovery>,
    openapi: Arc<OpenApi>,
    stop: CancellationToken,
    progress: Arc<Progress>,
    /// By the definition's name.
    known: BTreeMap<String, Known>,
    /// Keeps the caches of custom resources.
    feed: Follower,
    /// The feed of caches, and definitions that are being emptied.
    tasks: JoinSet<()>,
}

/// A definition as it was at the last pass.
#[derive(Debug, Default)]
struct Known {
    /// 0: to be judged again.
    rev: i64,
    uid: String,
    generation: i64,
    group: String,
    accepted: Names,
    /// By the version's name.
    served: BTreeMap<String, Served>,
    /// Ends the emptying of a definition that is being deleted.
    cleanup: Option<CancellationToken>,
}

/// A version that is served.
#[derive(Debug)]
struct Served {
    resource: Arc<Resource>,
    /// Keeps its cache.
    followed: Followed,
}

/// Tells the task that something changed.
#[derive(Debug)]
struct Waker(Arc<Progress>);

impl Observer for Waker {
    fn replaced(&self, _: &mut dyn Iterator<Item = &Arc<Entry>>) {
        self.0.begin();
    }

    fn changed(&self, _: &Change) {
        self.0.begin();
    }
}

impl Definitions {
    /// The task, not yet running. To be made before the cache of definitions is filled.
    pub fn new(server: Arc<Server>, discovery: Arc<Discovery>, openapi: Arc<OpenApi>, stop: CancellationToken) -> Self {
        let progress = Arc::clone(&server.definitions);
        if let Ok(resource) = server.registry.find(GROUP, "v1", PLURAL) {
            resource.cache.observe(Box::new(Waker(Arc::clone(&progress))));
        }
        let (shared, feed) = SharedFeed::new(Arc::clone(&server.store), stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(shared.run());
        Self { server, discovery, openapi, stop, progress, known: BTreeMap::new(), feed, tasks }
    }

    /// Runs until stopped.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.progress.wake.notified() => {}
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a task of a custom resource failed");
                    }
                    continue;
                }
            }
            let heard = self.progress.heard();
            if let Err(failure) = self.pass().await {
                tracing::warn!(%failure, "a definition could not be dealt with, trying again");
                let progress = Arc::clone(&self.progress);
                self.tasks.spawn(async move {
                    tokio::time::sleep(RETRY).await;
                    progress.wake.notify_one();
                });
            }
            // What could not be written is served all the same.
            self.progress.done(heard);
        }
        // Those that follow the token end with it; the others have nothing to finish.
        self.tasks.shutdown().await;
    }
}
