//! The task that tries one probe of one container again and again.

use std::sync::Arc;
use std::time::Duration;

use proto::core::v1::Probe;
use tokio::sync::mpsc;

use super::attempt::{self, Answer, Target};
use super::verdict::{Counter, Kind};
use crate::node_context::Node;
use crate::time::{self, Nanos, SECOND};

/// A new verdict, or a failed try that people should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Verdict { container_id: String, kind: Kind, healthy: bool },
    Failed { container_id: String, kind: Kind, message: String },
}

/// Tries until the receiver is gone, or until a verdict after which the run is not asked again: that it has started, or
/// that it must end.
pub async fn run(
    node: Arc<Node>,
    target: Target,
    started_at: Nanos,
    kind: Kind,
    probe: Probe,
    tx: mpsc::Sender<Report>,
) {
    let seconds = |value: i32, default: u64| {
        Duration::from_secs(u64::try_from(value).ok().filter(|value| *value > 0).unwrap_or(default))
    };
    let (period, timeout) = (seconds(probe.period_seconds, 10), seconds(probe.timeout_seconds, 1));
    let mut counter = Counter::new(&probe);
    let first = started_at.saturating_add(i64::from(probe.initial_delay_seconds.max(0)).saturating_mul(SECOND));
    tokio::time::sleep(time::until(first, time::now())).await;
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = attempt::probe(&node, &target, &probe.handler, timeout).await;
        let container_id = target.container_id.clone();
        let told = match &answer {
            Answer::Yes => None,
            Answer::No(message) => Some(format!("{} probe failed: {message}", kind.name())),
            Answer::Unknown(why) => Some(format!("{} probe errored and resulted in unknown state: {why}", kind.name())),
        };
        if let Some(message) = told {
            let report = Report::Failed { container_id: container_id.clone(), kind, message };
            if tx.send(report).await.is_err() {
                return;
            }
        }
        let Some(healthy) = counter.note(&answer) else { continue };
        let last = kind == Kind::Startup || (kind == Kind::Liveness && !healthy);
        let report = Report::Verdict { container_id, kind, healthy };
        if tx.send(report).await.is_err() || last {
            return;
        }
    }
}
