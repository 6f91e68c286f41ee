//! containerd's events: which process ended, which container the kernel killed for want of memory.
//!
//! containerd does not replay events: after each (re)connection the stream begins with [`TaskEvent::Connected`], upon
//! which the receiver looks at every task once.

use containerd_client::events::{TaskExit, TaskOom};
use containerd_client::services::v1 as api;
use prost::Message;
use tokio::sync::mpsc;

use super::Containerd;
use super::connection::{NAMESPACE, patient};
use crate::time::{self, Nanos};

/// What containerd told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// Events flow from now on; what happened before is not among them.
    Connected,
    /// containerd does not answer.
    Disconnected(String),
    /// The first process of a container ended.
    Exited { container_id: String, exit_code: i32, finished_at: Nanos },
    /// The kernel killed a process of the container.
    OutOfMemory { container_id: String },
}

/// The pause before containerd is tried again.
const RECONNECT: std::time::Duration = std::time::Duration::from_millis(250);

/// Sends events until the receiver is gone. Reconnects by itself.
pub async fn run(containerd: Containerd, tx: mpsc::Sender<TaskEvent>) {
    let mut told = None;
    while !tx.is_closed() {
        let error = follow(&containerd, &tx, &mut told).await;
        if told.as_ref() != Some(&error) {
            told = Some(error.clone());
            if tx.send(TaskEvent::Disconnected(error)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Follows one stream to its end and says why it ended.
async fn follow(containerd: &Containerd, tx: &mpsc::Sender<TaskEvent>, told: &mut Option<String>) -> String {
    let subscribe = api::SubscribeRequest {
        filters: ["/tasks/exit", "/tasks/oom"]
            .map(|topic| format!("namespace=={NAMESPACE},topic==\"{topic}\""))
            .to_vec(),
    };
    let mut client = containerd.events();
    let mut subscription = std::pin::pin!(client.subscribe(patient(subscribe)));
    // containerd answers a subscription only with the first event, which may be hours away. So it is asked something
    // that it answers at once, after the subscription on the same connection.
    let early = tokio::select! {
        biased;
        answer = &mut subscription => Some(answer),
        version = containerd.version() => match version {
            Ok(_) => None,
            Err(error) => return error.to_string(),
        },
    };
    *told = None;
    if tx.send(TaskEvent::Connected).await.is_err() {
        return String::new();
    }
    let answer = match early {
        Some(answer) => answer,
        None => subscription.await,
    };
    let mut stream = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status.to_string(),
    };
    loop {
        match stream.message().await {
            Ok(Some(envelope)) => {
                if let Some(event) = envelope.event.and_then(|any| decode(&any))
                    && tx.send(event).await.is_err()
                {
                    return String::new();
                }
            }
            Ok(None) => return "containerd ended the stream of events".into(),
            Err(status) => return status.to_string(),
        }
    }
}

fn decode(any: &prost_types::Any) -> Option<TaskEvent> {
    match any.type_url.rsplit(['/', '.']).next()? {
        "TaskExit" => {
            let exit = TaskExit::decode(any.value.as_slice()).ok()?;
            // The exits of exec'ed processes are waited for where they were started.
            (exit.id == exit.container_id).then(|| TaskEvent::Exited {
                container_id: exit.container_id,
                exit_code: exit.exit_status as i32,
                finished_at: exit.exited_at.map_or_else(time::now, |at| time::from_parts(at.seconds, at.nanos)),
            })
        }
        "TaskOOM" => {
            let oom = TaskOom::decode(any.value.as_slice()).ok()?;
            Some(TaskEvent::OutOfMemory { container_id: oom.container_id })
        }
        _ => None,
    }
}

#[cfg(test)]
mod fuzz;
