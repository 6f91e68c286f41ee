//! Registers the Node, and writes its status when it changed, and from time to time.

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use proto::core::v1::{ContainerImage, Node as NodeObject};
use tokio::sync::watch;

use super::object::{Pressure, Problems, Wanted, differs};
use super::pressure::Gauge;
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
    pub gauge: Gauge,
    /// The problems at the time when containerd told its version.
    pub asked: Option<Problems>,
}

impl Registrar {
    /// Runs until cancelled.
    pub async fn run(mut self) {
        let mut reported: Nanos = 0;
        let (mut told_ready, mut told_pressure) = (None, Pressure::default());
        loop {
            // Marked before the state is read, so that a change during the write is seen.
            let problems = self.problems.borrow_and_update().clone();
            let pressure = self.gauge.read();
            self.ask_runtime(&problems).await;
            let pause = match self.report(&problems, pressure, reported).await {
                Ok(written) => {
                    if written {
                        reported = time::now();
                    }
                    self.tell(&problems, &mut told_ready);
                    self.tell_pressure(pressure, &mut told_pressure);
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

    /// The Node names the runtime's version: asked until it answers, and again when something changed.
    async fn ask_runtime(&mut self, problems: &Problems) {
        let changed = self.asked.as_ref() != Some(problems);
        if !changed && !self.wanted.runtime_version.is_empty() {
            return;
        }
        match self.node.containerd.version().await {
            Ok(version) => {
                if let Err(error) = self.node.containerd.ensure_namespace().await {
                    tracing::warn!(error = crate::images::chain(&error), "containerd");
                }
                self.wanted.runtime_version = version;
                self.asked = Some(problems.clone());
            }
            Err(error) => tracing::debug!(error = crate::images::chain(&error), "containerd's version is unknown yet"),
        }
    }

    /// Writes the status if it is due. Returns whether it was.
    async fn report(&self, problems: &Problems, pressure: Pressure, reported: Nanos) -> Result<bool, client::Error> {
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
        let status = self.wanted.status(&node.status, problems, pressure, &self.images().await, time::now());
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
        let listed = self.node.images.list().await.unwrap_or_default().into_iter().take(IMAGES_MAX);
        let image = |(names, size)| ContainerImage { names, size_bytes: i64::try_from(size).unwrap_or(i64::MAX) };
        listed.map(image).collect()
    }

    fn tell_pressure(&self, now: Pressure, told: &mut Pressure) {
        let name = &self.wanted.name;
        for (was, is, short, enough) in [
            (told.memory, now.memory, "NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
            (told.disk, now.disk, "NodeHasDiskPressure", "NodeHasNoDiskPressure"),
        ] {
            if was != is {
                let reason = if is { short } else { enough };
                tracing::warn!(reason, "the node's condition changed");
                let text = format!("Node {name} status is now: {reason}");
                self.recorder.note(self.involved(), "Normal", reason, text);
            }
        }
        *told = now;
    }

    fn involved(&self) -> proto::core::v1::ObjectReference {
        let name = &self.wanted.name;
        proto::core::v1::ObjectReference {
            kind: "Node".into(),
            name: name.clone(),
            uid: name.clone(),
            ..Default::default()
        }
    }

    fn tell(&self, problems: &Problems, told: &mut Option<bool>) {
        let ready = problems.is_empty();
        if *told == Some(ready) {
            return;
        }
        let name = &self.wanted.name;
        let involved = self.involved();
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
