//! Registers the Node, and writes its status when it changed, and from time to time.

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use proto::core::v1::{ContainerImage, Node as NodeObject};
use tokio::sync::watch;

use super::object::{Problems, Wanted, differs};
use crate::node_context::Node;
use crate::time::{self, MINUTE, Nanos};

/// An unchanged status is written this often, as upstream does.
const REPORT: Nanos = 5 * MINUTE;
/// The most images that the status lists.
const IMAGES_MAX: usize = 50;
const RETRY: Duration = Duration::from_millis(500);

/// Keeps the Node object.
pub struct Registrar {
    pub client: Client,
    pub node: Arc<Node>,
    pub wanted: Wanted,
    pub register: bool,
    pub period: Duration,
    pub problems: watch::Receiver<Problems>,
    /// The Node's uid, for the owner of its lease.
    pub uid: watch::Sender<String>,
    /// The object as it was last seen.
    pub object: watch::Sender<Option<Arc<NodeObject>>>,
    pub recorder: client::recorder::Recorder,
}

impl Registrar {
    /// Runs until cancelled.
    pub async fn run(mut self) {
        let mut reported: Nanos = 0;
        let mut told_ready = None;
        loop {
            // Marked before the state is read, so that a change during the write is seen.
            let problems = self.problems.borrow_and_update().clone();
            let pause = match self.report(&problems, reported).await {
                Ok(written) => {
                    if written {
                        reported = time::now();
                    }
                    self.tell(&problems, &mut told_ready);
                    self.period
                }
                Err(error) => {
                    tracing::warn!(%error, "the Node cannot be written");
                    RETRY.min(self.period)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.problems.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Writes the status if it is due. Returns whether it was.
    async fn report(&self, problems: &Problems, reported: Nanos) -> Result<bool, client::Error> {
        let api = self.client.api::<NodeObject>();
        let found = api.get_opt("", &self.wanted.name).await?;
        let node = match found {
            Some(node) => node,
            None if self.register => {
                let created = api.create(&self.wanted.node()).await?;
                tracing::info!(node = self.wanted.name, "registered");
                created
            }
            None => return Ok(false),
        };
        self.uid.send_if_modified(|uid| {
            let other = *uid != node.metadata.uid;
            uid.clone_from(&node.metadata.uid);
            other
        });
        let status = self.wanted.status(&node.status, problems, &self.images().await, time::now());
        let due = reported == 0 || time::now() - reported >= REPORT || differs(&status, &node.status);
        if !due {
            self.object.send_replace(Some(Arc::new(node)));
            return Ok(false);
        }
        let mut fresh = node;
        fresh.status = status;
        let written = api.update_status(&fresh).await?;
        self.object.send_replace(Some(Arc::new(written)));
        Ok(true)
    }

    async fn images(&self) -> Vec<ContainerImage> {
        let Ok(listed) = self.node.containerd.list_images().await else { return Vec::new() };
        let mut images = Vec::new();
        for (name, _) in listed.into_iter().take(IMAGES_MAX) {
            let Ok(reference) = crate::images::Images::full_name(&name) else { continue };
            if let Ok(Some(image)) = self.node.images.present(&reference).await {
                images.push(ContainerImage { names: vec![name], size_bytes: image.size_bytes as i64 });
            }
        }
        images.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.names.cmp(&b.names)));
        images
    }

    fn tell(&self, problems: &Problems, told: &mut Option<bool>) {
        let ready = problems.is_empty();
        if *told == Some(ready) {
            return;
        }
        let name = &self.wanted.name;
        let involved = proto::core::v1::ObjectReference {
            kind: "Node".into(),
            name: name.clone(),
            uid: name.clone(),
            ..Default::default()
        };
        let note = |kind: &'static str, reason: &str, message: String| {
            self.recorder.note(involved.clone(), kind, reason, message);
        };
        if told.is_none() {
            note("Normal", "Starting", "Starting kubelet.".into());
            for reason in ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"] {
                note("Normal", reason, format!("Node {name} status is now: {reason}"));
            }
        }
        let reason = if ready { "NodeReady" } else { "NodeNotReady" };
        note("Normal", reason, format!("Node {name} status is now: {reason}"));
        *told = Some(ready);
    }
}
