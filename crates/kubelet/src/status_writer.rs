//! Writes a pod's status: the newest one, once it differs from what the API has; never blocks the worker.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::core::v1::Pod;
use tokio::sync::watch;

use crate::cluster;
use crate::node_context::Node;
use crate::observed::ObservedPod;
use crate::pod::DesiredPod;
use crate::time;

/// The pause after a failed write, doubled up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long the removal of an object waits for its last status.
const LAST_WORD: Duration = Duration::from_secs(5);

/// What the status is made of.
#[derive(Clone)]
pub struct Known {
    pub desired: DesiredPod,
    pub observed: ObservedPod,
}

/// The task's handle. The task ends with it, after the last status is written.
pub struct StatusWriter {
    newest: watch::Sender<(u64, Known)>,
    written: watch::Receiver<u64>,
}

impl StatusWriter {
    pub fn spawn(node: Arc<Node>, desired: DesiredPod, observed: ObservedPod) -> Self {
        let (newest, rx) = watch::channel((0, Known { desired, observed }));
        let (done, written) = watch::channel(0);
        tokio::spawn(Writer { node, rx, done, latest: None }.run());
        Self { newest, written }
    }

    pub fn publish(&self, known: Known) {
        self.newest.send_modify(|(number, newest)| {
            *number += 1;
            *newest = known;
        });
    }

    /// Returns when what was published so far is written, or it takes too long.
    pub fn written(&self) -> impl Future<Output = ()> + Send + use<> {
        let (number, mut written) = (self.newest.borrow().0, self.written.clone());
        async move {
            let reached = written.wait_for(|done| *done >= number);
            drop(tokio::time::timeout(LAST_WORD, reached).await);
        }
    }
}

struct Writer {
    node: Arc<Node>,
    rx: watch::Receiver<(u64, Known)>,
    done: watch::Sender<u64>,
    /// The object as the API gave it last; newer than the worker's where we wrote it.
    latest: Option<Arc<Pod>>,
}

impl Writer {
    async fn run(mut self) {
        let mut pause = RETRY_FIRST;
        while self.rx.changed().await.is_ok() {
            loop {
                let (number, known) = self.rx.borrow_and_update().clone();
                match self.write(&known).await {
                    Ok(()) => {
                        pause = RETRY_FIRST;
                        self.done.send_replace(number);
                        break;
                    }
                    Err(cluster::Error::NotFound(_)) => {
                        self.done.send_replace(number);
                        break;
                    }
                    Err(cluster::Error::Conflict(_)) => self.read_again(&known).await,
                    Err(error) => {
                        tracing::debug!(pod = known.desired.key(), %error, "the status cannot be written yet");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(RETRY_MAX);
                    }
                }
            }
        }
    }

    async fn read_again(&mut self, known: &Known) {
        let meta = &known.desired.pod.metadata;
        match self.node.cluster.get_pod(&meta.namespace, &meta.name).await {
            Ok(pod) => self.latest = Some(Arc::new(pod)),
            Err(error) => tracing::debug!(%error, "the pod cannot be read"),
        }
    }

    async fn write(&mut self, known: &Known) -> Result<(), cluster::Error> {
        if known.desired.gone {
            return Ok(());
        }
        let base = newer(self.latest.as_ref(), &known.desired.pod).clone();
        if base.metadata.uid != known.desired.pod.metadata.uid {
            return Ok(()); // Another pod of the same name.
        }
        let status = crate::status::status(&known.desired, &known.observed, &base.status, self.node.ip, time::now());
        if status == base.status {
            return Ok(());
        }
        let mut pod = (*base).clone();
        pod.status = status;
        let answer = self.node.cluster.update_status(&pod).await?;
        self.latest = Some(Arc::new(answer));
        Ok(())
    }
}

/// The object with the higher version.
fn newer<'a>(latest: Option<&'a Arc<Pod>>, informed: &'a Arc<Pod>) -> &'a Arc<Pod> {
    let version = |pod: &Pod| pod.metadata.resource_version.parse::<u64>().unwrap_or(0);
    match latest {
        Some(latest) if latest.metadata.uid == informed.metadata.uid && version(latest) >= version(informed) => latest,
        _ => informed,
    }
}
