//! `logs`: a container's log files as text.

use proto::keelson::api::v1::{LogsChunk, LogsRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{ANSWERS_MAX, Answers, NodeService, container};
use crate::logs::read::{Wanted, send};
use crate::observed::State;
use crate::record;
use crate::time::{self, SECOND};

impl NodeService {
    pub(super) async fn serve_logs(&self, request: LogsRequest) -> Result<Answers<LogsChunk>, Status> {
        let pod = self.pod(request.pod.as_ref())?;
        let (_, container) = container(&pod, &request.container)?;
        let (meta, name) = (&pod.metadata, container.name.clone());
        let paths = self.node.paths.pod(&meta.uid);
        let seen = record::load(&paths).and_then(|(_, observed)| observed.containers.get(&name).cloned());
        let seen = seen.filter(|seen| seen.was_begun()).ok_or_else(|| {
            let why = waiting_reason(&pod, &name);
            Status::failed_precondition(format!(
                "container \"{name}\" in pod \"{}\" is waiting to start: {why}",
                meta.name
            ))
        })?;
        let attempt = match request.previous {
            false => seen.restarts,
            true => seen.restarts.checked_sub(1).ok_or_else(|| {
                Status::failed_precondition(format!(
                    "previous terminated container \"{name}\" in pod \"{}\" not found",
                    meta.name
                ))
            })?,
        };
        let since = match (request.since_seconds, request.since_time.as_str()) {
            (Some(seconds), _) => Some(time::now().saturating_sub(seconds.saturating_mul(SECOND))),
            (None, "") => None,
            (None, text) => Some(
                time::parse_rfc3339(text)
                    .ok_or_else(|| Status::invalid_argument(format!("{text:?} is not an RFC 3339 time")))?,
            ),
        };
        let wanted = Wanted {
            follow: request.follow && !request.previous,
            since,
            tail_lines: request.tail_lines.and_then(|lines| usize::try_from(lines).ok()),
            limit_bytes: request.limit_bytes.and_then(|bytes| usize::try_from(bytes).ok()),
            timestamps: request.timestamps,
        };
        let log = self.node.paths.log(&meta.namespace, &meta.name, &meta.uid, &name, attempt);
        let (tx, rx) = mpsc::channel(ANSWERS_MAX);
        let (text_tx, mut text_rx) = mpsc::channel::<Vec<u8>>(ANSWERS_MAX);
        let id = seen.id().map(str::to_owned);
        let ended = async move || match record::load(&paths)
            .and_then(|(_, observed)| observed.containers.get(&name).cloned())
        {
            None => true,
            Some(now) => !matches!(&now.state, State::Running { id: current, .. } if Some(current) == id.as_ref()),
        };
        let forward = tx.clone();
        tokio::spawn(async move {
            while let Some(data) = text_rx.recv().await {
                if forward.send(Ok(LogsChunk { data: data.into() })).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            match send(log, wanted, ended, text_tx).await {
                // Nothing was written yet: an empty log.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let _ = tx.send(Err(Status::internal(format!("the log cannot be read: {error}")))).await;
                }
                _ => {}
            }
        });
        Ok(ReceiverStream::new(rx))
    }
}

fn waiting_reason(pod: &proto::core::v1::Pod, name: &str) -> String {
    let statuses = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let found = statuses.into_iter().find(|status| status.name == name);
    let waiting = found.and_then(|status| status.state.waiting.clone());
    waiting
        .map(|waiting| waiting.reason)
        .filter(|reason| !reason.is_empty())
        .unwrap_or_else(|| "ContainerCreating".into())
}
