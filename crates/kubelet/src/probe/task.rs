//! The task that tries one probe of one container again and again.

use std::sync::Arc;
use std::time::Duration;

use proto::core::v1::Probe;
use tokio::sync::mpsc;

use super::attempt::{self, Target};
use super::verdict::{Counter, Kind};
use crate::node_context::Node;

/// A new verdict, or a failed try that people should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Verdict { container_id: String, kind: Kind, healthy: bool },
    Failed { container_id: String, kind: Kind, message: String },
}

/// Tries until the receiver is gone, or, for a startup probe, until it has its verdict.
pub async fn run(node: Arc<Node>, target: Target, kind: Kind, probe: Probe, tx: mpsc::Sender<Report>) {
    let seconds = |value: i32, default: u64| {
        Duration::from_secs(u64::try_from(value).ok().filter(|value| *value > 0).unwrap_or(default))
    };
    let (period, timeout) = (seconds(probe.period_seconds, 10), seconds(probe.timeout_seconds, 1));
    let mut counter = Counter::new(&probe);
    tokio::time::sleep(Duration::from_secs(probe.initial_delay_seconds.max(0) as u64)).await;
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = attempt::probe(&node, &target, &probe.handler, timeout).await;
        let container_id = target.container_id.clone();
        if !answer.success {
            let message = format!("{} probe failed: {}", kind.name(), answer.message);
            let report = Report::Failed { container_id: container_id.clone(), kind, message };
            if tx.send(report).await.is_err() {
                return;
            }
        }
        if let Some(healthy) = counter.note(answer.success) {
            let report = Report::Verdict { container_id, kind, healthy };
            if tx.send(report).await.is_err() || kind == Kind::Startup {
                return;
            }
        }
    }
}
