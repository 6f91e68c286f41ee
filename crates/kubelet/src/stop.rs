//! Ends one container: pre-stop hook, signal, grace, kill.

use std::time::Duration;

use proto::core::v1::Pod;
use tokio::sync::watch;

use crate::node_context::Node;
use crate::pod::{Role, find};
use crate::probe::attempt::Target;
use crate::time::{self, Nanos};
use crate::worker::{hook_event, patient_hook};

/// The shortest time between a signal and the kill, as upstream has it.
pub const GRACE_MIN_SECONDS: i64 = 2;
/// The pause before a kill that had no effect is repeated.
const KILL_AGAIN: Duration = Duration::from_secs(5);

/// Runs the pre-stop hook; tries again while containerd does not answer. The caller sets the limit.
pub async fn pre_stop(node: &Node, pod: &Pod, role: Role, target: &Target) {
    let lifecycle = target.container.lifecycle.as_ref();
    let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()) else { return };
    if let Err(error) = patient_hook(node, pod, target, hook).await {
        tracing::debug!(error, "pre-stop hook");
        node.cluster.event(pod, hook_event(role, &target.container.name));
    }
}

/// Asks the process to end, then makes it. Never returns by itself: the caller cancels it when the process has ended.
pub async fn end_process(
    node: &Node,
    pod: &Pod,
    name: &str,
    id: &str,
    deadline: watch::Receiver<Nanos>,
    grace_seconds: i64,
) {
    if grace_seconds > 0 {
        let signal = stop_signal(node, pod, name).await;
        if let Err(error) = node.containerd.kill_task(id, signal, false).await {
            tracing::warn!(container = name, %error, "cannot be signalled");
        }
        // After a long hook there are still two seconds for the process itself.
        let least = tokio::time::sleep(Duration::from_secs(GRACE_MIN_SECONDS.unsigned_abs()));
        tokio::join!(passed(deadline), least);
    }
    loop {
        if let Err(error) = node.containerd.kill_task(id, 9, true).await {
            tracing::warn!(container = name, %error, "cannot be killed");
        }
        tokio::time::sleep(KILL_AGAIN).await;
    }
}

/// Returns when the deadline, which may come nearer meanwhile, has passed.
pub async fn passed(mut deadline: watch::Receiver<Nanos>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(time::until(at, time::now())) => return,
            changed = deadline.changed() => if changed.is_err() {
                return tokio::time::sleep(time::until(at, time::now())).await;
            },
        }
    }
}

/// The signal by the spec, else by the image, else SIGTERM.
async fn stop_signal(node: &Node, pod: &Pod, name: &str) -> u32 {
    const SIGTERM: u32 = 15;
    let Some((_, container)) = find(pod, name) else { return SIGTERM };
    if let Some(signal) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref()) {
        return crate::signal::number(signal).unwrap_or(SIGTERM);
    }
    let Ok(reference) = crate::images::Images::full_name(&container.image) else { return SIGTERM };
    let image = node.images.present(&reference).await.ok().flatten();
    image.and_then(|image| image.stop_signal().and_then(crate::signal::number)).unwrap_or(SIGTERM)
}
