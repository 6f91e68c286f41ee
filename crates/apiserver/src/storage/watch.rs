//! One watch of a key prefix in the store.

use bytes::Bytes;
use futures::StreamExt;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use proto::mvccpb::event::EventType;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{StorageError, Store, prefix_end};

/// Requests that may wait to be sent on one watch stream.
const REQUESTS_LEN_MAX: usize = 16;

/// What a watch tells.
#[derive(Debug)]
pub enum Fed {
    /// Changes of one or several revisions, in order; all changes of a revision are in one batch.
    Changes(Vec<Change>),
    /// Everything up to this revision has been told.
    Progress(i64),
}

/// What a stream of many watches tells.
#[derive(Debug)]
pub enum ManyFed {
    /// Of one of them.
    One(i64, Fed),
    /// Everything up to this revision has been told, to all of them.
    Progress(i64),
    /// That one has begun, when the store was at this revision.
    Begun(i64, i64),
    /// That one ended: the history it would tell next, up to this revision, is gone.
    Compacted(i64, i64),
}

/// Many watches on one stream.
#[derive(Debug)]
pub struct ManyWatch {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    given_up: watch::Receiver<Option<Instant>>,
    progress_notify: bool,
    /// How often progress was asked for and not yet told, at most: what is not told is never known to be.
    unanswered: u64,
}

/// One changed key.
#[derive(Debug)]
pub struct Change {
    /// The key.
    pub key: Bytes,
    /// The new value; none where the key was deleted.
    pub value: Option<Bytes>,
    /// The revision of the change.
    pub rev: i64,
}

/// An open watch.
#[derive(Debug)]
pub struct StoreWatch {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    from: i64,
    /// Changes when the member that is watched is given up.
    given_up: watch::Receiver<Option<Instant>>,
}

impl Store {
    /// Watches `prefix` from revision `from` on, inclusive, at the first endpoint that takes the watch.
    pub async fn watch(&self, prefix: &str, from: i64) -> Result<StoreWatch, StorageError> {
        let mut attempt = 1;
        loop {
            let (at, channel) = self.endpoints.current();
            let given_up = self.endpoints.given_up(at);
            let (requests, answers) = self.open_watch(channel, prefix, from);
            match self.endpoints.attempt(at, answers).await {
                Ok(answers) => return Ok(StoreWatch { requests, answers, from, given_up }),
                Err(status) => {
                    self.endpoints.failed(at);
                    if attempt == self.endpoints.count() || !super::error::try_another(&status) {
                        return Err(super::error::refused("watch", from, 0, status));
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// A stream for many watches, at the first endpoint that takes it; none has begun yet.
    pub async fn watch_many(&self) -> Result<ManyWatch, StorageError> {
        let mut attempt = 1;
        loop {
            let (at, channel) = self.endpoints.current();
            let given_up = self.endpoints.given_up(at);
            let (requests, receiver) = mpsc::channel(REQUESTS_LEN_MAX);
            let mut client = WatchClient::new(channel).max_decoding_message_size(super::MESSAGE_BYTES_MAX);
            // Some stores answer only once there is something to answer.
            let first = WatchRequest { request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})) };
            requests.try_send(first).expect("the queue is new and empty");
            let answers = async move { Ok(client.watch(ReceiverStream::new(receiver)).await?.into_inner()) };
            match self.endpoints.attempt(at, answers).await {
                Ok(answers) => {
                    let progress_notify = self.has_ordered_progress();
                    return Ok(ManyWatch { requests, answers, given_up, progress_notify, unanswered: 1 });
                }
                Err(status) => {
                    self.endpoints.failed(at);
                    if attempt == self.endpoints.count() || !super::error::try_another(&status) {
                        return Err(super::error::refused("watch", 0, 0, status));
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// The requests' end of a watch, and the call that opens it.
    fn open_watch(
        &self,
        channel: Channel,
        prefix: &str,
        from: i64,
    ) -> (mpsc::Sender<WatchRequest>, impl Future<Output = Result<Streaming<WatchResponse>, Status>> + use<>) {
        let (requests, receiver) = mpsc::channel(REQUESTS_LEN_MAX);
        let create = WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: prefix_end(prefix),
            start_revision: from,
            progress_notify: self.has_ordered_progress(),
            ..Default::default()
        };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        requests.try_send(create).expect("the queue is new and empty");
        let mut client = WatchClient::new(channel).max_decoding_message_size(super::MESSAGE_BYTES_MAX);
        let answers = async move { Ok(client.watch(ReceiverStream::new(receiver)).await?.into_inner()) };
        (requests, answers)
    }
}

impl ManyWatch {
    /// Begins to watch `prefix` from revision `from` on, inclusive, under a number of the caller's.
    pub async fn begin(&mut self, id: i64, prefix: &str, from: i64) {
        let create = WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: prefix_end(prefix),
            start_revision: from,
            progress_notify: self.progress_notify,
            watch_id: id,
            ..Default::default()
        };
        self.send(RequestUnion::CreateRequest(create)).await;
    }

    /// Ends one of them.
    pub async fn end(&mut self, id: i64) {
        self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: id })).await;
    }

    /// A stream that takes nothing more tells so by its answers.
    async fn send(&mut self, request: RequestUnion) {
        _ = self.requests.send(WatchRequest { request_union: Some(request) }).await;
    }

    /// Asks how far the store is; a full queue already holds such a request, or the stream is busy anyway.
    pub fn ask_progress(&mut self) {
        let request = RequestUnion::ProgressRequest(WatchProgressRequest {});
        if self.requests.try_send(WatchRequest { request_union: Some(request) }).is_ok() {
            self.unanswered += 1;
        }
    }

    /// How many answers may still come to questions that were asked so far.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// The next news, or why there is no more.
    pub async fn next(&mut self) -> Result<ManyFed, StorageError> {
        loop {
            let answer = tokio::select! {
                answer = self.answers.next() => answer,
                Ok(()) = self.given_up.changed() => Some(Err(Status::unavailable("the member does not serve"))),
            };
            let broken = |why: &str| {
                let source = Box::new(Status::unavailable(why));
                StorageError::Refused { operation: "watch", source }
            };
            let answer = match answer {
                Some(Ok(answer)) => answer,
                Some(Err(status)) => return Err(super::error::refused("watch", 0, 0, status)),
                None => return Err(broken("the store closed the watch")),
            };
            let rev = answer.header.as_ref().map_or(0, |header| header.revision);
            match answer {
                WatchResponse { watch_id, compact_revision: rev @ 1.., .. } => {
                    return Ok(ManyFed::Compacted(watch_id, rev));
                }
                // One that was asked to end says so in the same way; it has no reason to give.
                WatchResponse { canceled: true, cancel_reason, .. } if cancel_reason.is_empty() => {}
                WatchResponse { canceled: true, cancel_reason, .. } => return Err(broken(&cancel_reason)),
                WatchResponse { watch_id, created: true, .. } => return Ok(ManyFed::Begun(watch_id, rev)),
                WatchResponse { watch_id, events, .. } if events.is_empty() => {
                    return Ok(if watch_id < 0 {
                        self.unanswered = self.unanswered.saturating_sub(1);
                        ManyFed::Progress(rev)
                    } else {
                        ManyFed::One(watch_id, Fed::Progress(rev))
                    });
                }
                WatchResponse { watch_id, events, .. } => {
                    let changes = events.into_iter().filter_map(change).collect();
                    return Ok(ManyFed::One(watch_id, Fed::Changes(changes)));
                }
            }
        }
    }
}

impl StoreWatch {
    /// A handle that asks for progress.
    pub fn progress_requester(&self) -> impl Fn() + Send + 'static {
        let requests = self.requests.clone();
        // A full queue already holds such a request.
        move || {
            let request = WatchRequest { request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})) };
            let _ = requests.try_send(request);
        }
    }

    /// The next news, or why there is no more.
    pub async fn next(&mut self) -> Result<Fed, StorageError> {
        loop {
            let answer = tokio::select! {
                answer = self.answers.next() => answer,
                Ok(()) = self.given_up.changed() => Some(Err(Status::unavailable("the member does not serve"))),
            };
            let answer = match answer {
                Some(Ok(answer)) => answer,
                Some(Err(status)) => return Err(super::error::refused("watch", self.from, 0, status)),
                None => {
                    let source = Box::new(Status::unavailable("the store closed the watch"));
                    return Err(StorageError::Refused { operation: "watch", source });
                }
            };
            if answer.compact_revision > 0 {
                return Err(StorageError::Compacted { requested: self.from, compacted: answer.compact_revision });
            }
            if answer.canceled {
                let source = Box::new(Status::unavailable(answer.cancel_reason));
                return Err(StorageError::Refused { operation: "watch", source });
            }
            if answer.created {
                continue;
            }
            if answer.events.is_empty() {
                let rev = answer.header.map_or(0, |header| header.revision);
                return Ok(Fed::Progress(rev));
            }
            return Ok(Fed::Changes(answer.events.into_iter().filter_map(change).collect()));
        }
    }
}

fn change(event: proto::mvccpb::Event) -> Option<Change> {
    let deleted = event.r#type == EventType::Delete as i32;
    let kv = event.kv?;
    Some(Change { key: kv.key, value: (!deleted).then_some(kv.value), rev: kv.mod_revision })
}
