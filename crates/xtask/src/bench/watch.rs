//! When each pod was first seen, was ready, and was gone: as a watcher of the API sees it.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use testkit::keelctl::Keelctl;

/// Changes that may wait for the reader.
const BACKLOG: usize = 4096;

/// A change of a pod, and when it arrived.
pub struct Change {
    /// The pod's name.
    pub pod: String,
    /// What became of it.
    pub kind: Kind,
    /// When it was seen.
    pub at: Instant,
}

/// From the first change of a pod that was waited for to the one that counts.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// When the server told of the pod first.
    pub from: Instant,
    /// When it was as awaited.
    pub to: Instant,
}

/// What became of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is there, not ready.
    Seen,
    /// It is ready.
    Ready,
    /// It is no more.
    Gone,
}

/// A running `keelctl get pods --watch`.
pub struct Watch {
    child: Child,
    changes: Receiver<Change>,
}

impl Watch {
    /// Starts watching a namespace's pods.
    pub fn start(keelctl: &Keelctl, namespace: &str) -> Result<Self> {
        let args = ["get", "pods", "-n", namespace, "--watch", "--output-watch-events", "-o", "json"];
        let mut child = keelctl.spawn(&args)?;
        let output = child.stdout.take().context("standard output is a pipe")?;
        let (sender, changes) = sync_channel(BACKLOG);
        std::thread::spawn(move || {
            let events = serde_json::Deserializer::from_reader(std::io::BufReader::new(output)).into_iter::<Value>();
            for event in events.map_while(Result::ok) {
                if sender.send(change(&event)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, changes })
    }

    /// Waits until `count` pods had a change of this kind, and gives for each the first time of any change and of this.
    pub fn wait(&self, kind: Kind, count: usize, limit: Duration) -> Result<BTreeMap<String, Span>> {
        let deadline = Instant::now() + limit;
        let mut first = BTreeMap::new();
        let mut spans = BTreeMap::new();
        while spans.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(change) = self.changes.recv_timeout(left) else {
                bail!("{} of {count} pods were {kind:?} within {} s", spans.len(), limit.as_secs());
            };
            let from = *first.entry(change.pod.clone()).or_insert(change.at);
            if change.kind == kind {
                spans.entry(change.pod).or_insert(Span { from, to: change.at });
            }
        }
        Ok(spans)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn change(event: &Value) -> Change {
    let object = &event["object"];
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"));
    let kind = match event["type"].as_str() {
        Some("DELETED") => Kind::Gone,
        _ if ready => Kind::Ready,
        _ => Kind::Seen,
    };
    let pod = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Change { pod, kind, at: Instant::now() }
}
