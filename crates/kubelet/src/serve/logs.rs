//! `logs`: a container's log files as text.

use std::os::unix::fs::MetadataExt;

use proto::keelson::api::v1::{LogsChunk, LogsRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{ANSWERS_MAX, Answers, NodeService, container};
use crate::logs::read::{Wanted, send};
use crate::observed::{ObservedContainer, State};
use crate::paths::PodPaths;
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
            true => previous(&seen).ok_or_else(|| {
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
        let mut run = Followed { paths, name, id: seen.id().map(str::to_owned), looked_at: None, ended: false };
        let ended = async move || run.ended();
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

/// The run that the status shows as `lastState`: the one before the current run, or the last one where none goes on.
fn previous(seen: &ObservedContainer) -> Option<u32> {
    match &seen.state {
        State::Waiting { .. } if seen.last.is_some() => Some(seen.restarts),
        _ => seen.restarts.checked_sub(1),
    }
}

/// A run whose log is followed.
struct Followed {
    paths: PodPaths,
    name: String,
    id: Option<String>,
    /// Which record was read: inode and time. Followers ask often, and the record changes rarely.
    looked_at: Option<(u64, i64, i64)>,
    ended: bool,
}

impl Followed {
    /// Whether the run is over.
    fn ended(&mut self) -> bool {
        let meta = std::fs::metadata(self.paths.record()).ok();
        let stamp = meta.map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()));
        if stamp.is_none() || stamp != self.looked_at {
            let seen = record::load(&self.paths).and_then(|(_, mut observed)| observed.containers.remove(&self.name));
            let current = seen.map(|seen| seen.state);
            self.ended = !matches!(&current, Some(State::Running { id, .. }) if Some(id) == self.id.as_ref());
            self.looked_at = stamp;
        }
        self.ended
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Exit;

    #[test]
    fn the_previous_run_is_the_one_that_last_state_shows() {
        let exit = Exit {
            id: "i".into(),
            code: 1,
            reason: String::new(),
            message: String::new(),
            started_at: 1,
            finished_at: 2,
        };
        let waiting =
            State::Waiting { reason: "CrashLoopBackOff".into(), message: String::new(), retry_at: 0, id: None };
        let of = |state: State, last: Option<Exit>, restarts: u32| {
            previous(&ObservedContainer { state, last, restarts, ..ObservedContainer::default() })
        };
        // In a crash loop the run that just ended is the previous one, also the very first.
        assert_eq!(of(waiting.clone(), Some(exit.clone()), 0), Some(0));
        assert_eq!(of(waiting.clone(), Some(exit.clone()), 4), Some(4));
        assert_eq!(of(waiting, None, 0), None);
        assert_eq!(of(State::Running { id: "i".into(), started_at: 3 }, Some(exit.clone()), 4), Some(3));
        assert_eq!(of(State::Exited(exit.clone()), None, 0), None);
        assert_eq!(of(State::Exited(exit.clone()), Some(exit), 2), Some(1));
    }
}
