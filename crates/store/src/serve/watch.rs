//! etcdserverpb.Watch: one task for each client stream.
//!
//! The task sends what waits in its outbox, then brings watchers that are behind up to date, a piece at a time, then
//! waits. A client that reads slowly stops its own task and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::watch_server::Watch;
use proto::mvccpb;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::bounds::as_grpc_go;
use super::credentials::credentials;
use super::leader;
use crate::ask::Credentials;
use crate::counts::calls::Open;
use crate::history;
use crate::member::Member;
use crate::mvcc::Event;
use crate::mvcc::range::key_value;
use crate::refused::Refused;
use crate::watcher::{Behind, Change, Fetched, Item, Spec, WatchStream};

/// Responses that wait for a slow client.
const RESPONSES_LEN_MAX: usize = 16;
/// Events fetched for a watcher that is behind before others get their turn.
const FETCH_EVENTS_MAX: usize = 1000;
/// The watch id of answers that concern the whole stream.
const WHOLE_STREAM: i64 = -1;
/// What is compacted, for events that just happened.
const NOTHING: i64 = 0;
/// Room for the rest of a message when its events are cut into fragments.
const FRAGMENT_SLACK: usize = 512 << 10;

pub struct WatchService {
    pub member: Arc<Member>,
    /// How often a quiet watcher that asked for it is told the revision.
    pub progress_interval: Duration,
}

type Responses = Pin<Box<dyn Stream<Item = Result<etcd::WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = Responses;

    async fn watch(&self, req: Request<Streaming<etcd::WatchRequest>>) -> Result<Response<Responses>, Status> {
        let (tx, rx) = mpsc::channel(RESPONSES_LEN_MAX);
        let open = Open::new(self.member.shared.counts.calls.of("/etcdserverpb.Watch/Watch"));
        let session = Session {
            member: self.member.clone(),
            by: credentials(&req),
            stream: self.member.shared.hub.open(),
            needs_leader: leader::is_needed(req.metadata().as_ref()),
            asked_all: false,
            requests: req.into_inner(),
            tx,
            watches: BTreeMap::new(),
            progress_wanted: false,
            progress_interval: self.progress_interval,
        };
        // Ends with its stream: when the client goes away, or the server closes the connection.
        tokio::spawn(async move {
            session.run().await;
            drop(open);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }
}

/// What the client wants to see of a watcher's events.
struct View {
    prev_kv: bool,
    fragment: bool,
    progress_notify: bool,
    last_sent: Instant,
}

struct Session {
    member: Arc<Member>,
    by: Credentials,
    stream: WatchStream,
    requests: Streaming<etcd::WatchRequest>,
    /// The client will ask for nothing more; its watchers go on.
    asked_all: bool,
    /// The client wants no member that knows no leader (metadata `hasleader`).
    needs_leader: bool,
    tx: mpsc::Sender<Result<etcd::WatchResponse, Status>>,
    watches: BTreeMap<i64, View>,
    /// The client asked where the stream stands, and some watcher was behind.
    progress_wanted: bool,
    progress_interval: Duration,
}

/// The client is gone.
struct Gone;

impl Session {
    async fn run(mut self) {
        let mut timer = tokio::time::interval(self.progress_interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (tx, member) = (self.tx.clone(), self.member.clone());
        let mut no_leader = std::pin::pin!(leader::leaderless(&member));
        loop {
            let outbox = self.stream.outbox.clone();
            let step = tokio::select! {
                biased;
                request = self.requests.next(), if !self.asked_all => match request {
                    Some(Ok(request)) => self.request(request).await,
                    Some(Err(status)) => {
                        // Whoever sent what cannot be read may still listen.
                        drop(self.tx.try_send(Err(as_grpc_go(status))));
                        Err(Gone)
                    }
                    None => {
                        self.asked_all = true;
                        Ok(())
                    }
                },
                () = tx.closed() => Err(Gone),
                // The client reconnects, to another member where there is one.
                () = self.member.stopping.cancelled() => Err(Gone),
                () = &mut no_leader, if self.needs_leader => {
                    // The client may be gone, too.
                    drop(tx.send(Err(Refused::NoLeader.into())).await);
                    Err(Gone)
                }
                () = outbox.ready() => self.deliver().await,
                _ = timer.tick() => self.notify_progress().await,
            };
            if step.is_err() {
                return;
            }
        }
    }

    async fn send(&self, response: etcd::WatchResponse) -> Result<(), Gone> {
        self.tx.send(Ok(response)).await.map_err(|_| Gone)
    }

    fn response(&self, watch_id: i64, revision: i64) -> etcd::WatchResponse {
        etcd::WatchResponse { header: Some(self.member.header(revision)), watch_id, ..Default::default() }
    }

    async fn request(&mut self, request: etcd::WatchRequest) -> Result<(), Gone> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create).await,
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => {
                self.progress_wanted = true;
                self.deliver().await
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, mut create: etcd::WatchCreateRequest) -> Result<(), Gone> {
        if create.key.is_empty() {
            create.key = Bytes::from_static(&[0]);
        }
        let filtered = |kind: FilterType| create.filters.contains(&(kind as i32));
        let spec = Spec {
            key: create.key.clone(),
            range_end: create.range_end.clone(),
            puts: !filtered(FilterType::Noput),
            deletes: !filtered(FilterType::Nodelete),
        };
        let revision = self.member.shared.hub.revision();
        if create.start_revision < 0 {
            return self.refuse(revision, Refused::Compacted.text()).await;
        }
        if self.member.shared.is_guarded()
            && let Err(refused) = self.permitted(&create).await
        {
            // Clients compare the whole text, as Go's gRPC writes it.
            let status = Status::from(refused);
            let reason = format!("rpc error: code = {:?} desc = {}", status.code(), status.message());
            return self.refuse(revision, &reason).await;
        }
        if spec.interval().bounds().is_none() {
            return self.refuse(revision, "mvcc: watcher range is empty").await;
        }
        let view = View {
            prev_kv: create.prev_kv,
            fragment: create.fragment,
            progress_notify: create.progress_notify,
            last_sent: Instant::now(),
        };
        match self.stream.watch(create.watch_id, spec, create.start_revision) {
            Some((watch_id, revision)) => {
                self.watches.insert(watch_id, view);
                let created = etcd::WatchResponse { created: true, ..self.response(watch_id, revision) };
                self.send(created).await?;
                // What is compacted may still be in memory; as in etcd, it is gone all the same.
                let compacted = self.member.shared.held.read().state.index.compacted();
                match create.start_revision > 0 && create.start_revision < compacted {
                    true => self.compacted(watch_id, compacted).await,
                    false => Ok(()),
                }
            }
            None => self.refuse(revision, "mvcc: duplicate watch ID provided on the WatchStream").await,
        }
    }

    /// A watcher sees what it could read.
    async fn permitted(&self, create: &etcd::WatchCreateRequest) -> Result<(), Refused> {
        let asked = self.member.asked(&self.by);
        asked.look(|who, held| held.state.auth.check_range(who, &create.key, &create.range_end)).await
    }

    async fn refuse(&self, revision: i64, reason: &str) -> Result<(), Gone> {
        let refused = etcd::WatchResponse {
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..self.response(WHOLE_STREAM, revision)
        };
        self.send(refused).await
    }

    async fn cancel(&mut self, watch_id: i64) -> Result<(), Gone> {
        if !self.stream.cancel(watch_id) {
            return Ok(());
        }
        self.watches.remove(&watch_id);
        let revision = self.member.shared.hub.revision();
        self.send(etcd::WatchResponse { canceled: true, ..self.response(watch_id, revision) }).await
    }

    /// Sends everything there is to send.
    async fn deliver(&mut self) -> Result<(), Gone> {
        loop {
            let (items, behind) = self.stream.take();
            self.send_items(items, NOTHING).await?;
            if behind.is_empty() {
                break;
            }
            for behind in behind {
                self.catch_up(behind).await?;
            }
        }
        if self.progress_wanted
            && let Some((revision, waiting)) = self.stream.progress()
        {
            self.progress_wanted = false;
            self.send_items(waiting, NOTHING).await?;
            self.send(self.response(WHOLE_STREAM, revision)).await?;
        }
        Ok(())
    }

    /// Sends the next piece of what a watcher has missed.
    async fn catch_up(&mut self, behind: Behind) -> Result<(), Gone> {
        let compacted = self.member.shared.held.read().state.index.compacted();
        match self.stream.fetch(&behind, FETCH_EVENTS_MAX) {
            Fetched::Log(items) => self.send_items(items.into(), compacted).await,
            Fetched::History { upto } => {
                if behind.next < compacted {
                    return self.compacted(behind.watch_id, compacted).await;
                }
                match history::fetch(&self.member.shared, &behind.spec, behind.next, upto, FETCH_EVENTS_MAX) {
                    Ok((changes, next)) => {
                        let item = |change: Change| {
                            let picks = behind.spec.pick(&change);
                            Item { watch_id: behind.watch_id, change: Arc::new(change), picks }
                        };
                        self.stream.fetched_until(behind.watch_id, next);
                        self.send_items(changes.into_iter().map(item).collect(), compacted).await
                    }
                    // Compacted while it was being read: the next look says so to the client.
                    Err(error) if self.member.shared.held.read().state.index.compacted() > behind.next => {
                        tracing::debug!(%error, "a watcher's history was compacted while it was read");
                        Ok(())
                    }
                    Err(error) => {
                        tracing::error!(error = %crate::report(&error), "a watcher's history cannot be read");
                        drop(self.tx.send(Err(Refused::Corrupt.into())).await);
                        Err(Gone)
                    }
                }
            }
        }
    }

    /// The watcher asked for what is gone: it ends, and the client is told from where it can begin again. As in etcd, the
    /// header says no revision.
    async fn compacted(&mut self, watch_id: i64, compact_revision: i64) -> Result<(), Gone> {
        self.stream.end(watch_id);
        self.watches.remove(&watch_id);
        let canceled = etcd::WatchResponse { canceled: true, compact_revision, ..self.response(watch_id, 0) };
        self.send(canceled).await
    }

    /// As in etcd, what was before an event cannot be had where all before it is `compacted`.
    async fn send_items(&mut self, items: VecDeque<Item>, compacted: i64) -> Result<(), Gone> {
        for item in items {
            let Some(view) = self.watches.get_mut(&item.watch_id) else { continue };
            if item.picks.is_empty() {
                continue;
            }
            view.last_sent = Instant::now();
            self.member.shared.counts.events.add(item.picks.len() as u64);
            let (prev_kv, fragment) = (view.prev_kv && item.change.revision > compacted, view.fragment);
            let events: Vec<mvccpb::Event> =
                item.picks.iter().map(|at| self.event(&item.change.events[*at as usize], prev_kv)).collect();
            self.send_events(item.watch_id, item.change.revision, events, fragment).await?;
        }
        Ok(())
    }

    async fn send_events(
        &self,
        watch_id: i64,
        revision: i64,
        events: Vec<mvccpb::Event>,
        fragment: bool,
    ) -> Result<(), Gone> {
        let bytes_max = self.member.limits.request_bytes + FRAGMENT_SLACK;
        let mut response = self.response(watch_id, revision);
        if !fragment {
            response.events = events;
            return self.send(response).await;
        }
        let mut bytes = 0;
        for event in events {
            let len = prost::Message::encoded_len(&event);
            if bytes + len > bytes_max && !response.events.is_empty() {
                let rest = self.response(watch_id, revision);
                let full = std::mem::replace(&mut response, rest);
                self.send(etcd::WatchResponse { fragment: true, ..full }).await?;
                bytes = 0;
            }
            bytes += len;
            response.events.push(event);
        }
        self.send(response).await
    }

    fn event(&self, event: &Event, prev_kv: bool) -> mvccpb::Event {
        let kind = if event.is_delete() { mvccpb::event::EventType::Delete } else { mvccpb::event::EventType::Put };
        let mut kv = key_value(event.key.clone(), &event.version, event.value.clone());
        if event.is_delete() {
            kv = mvccpb::KeyValue { key: kv.key, mod_revision: kv.mod_revision, ..Default::default() };
        }
        let prev_kv = event.prev.as_ref().filter(|_| prev_kv).and_then(|version| {
            let value = event.prev_value.get_or_init(|| self.member.shared.value(version.loc)).clone()?;
            Some(key_value(event.key.clone(), version, value))
        });
        mvccpb::Event { r#type: kind as i32, kv: Some(kv), prev_kv }
    }

    /// Tells quiet watchers that asked for it where they stand.
    async fn notify_progress(&mut self) -> Result<(), Gone> {
        if !self.watches.values().any(|view| view.progress_notify) {
            return Ok(());
        }
        let Some((revision, waiting)) = self.stream.progress() else { return Ok(()) };
        self.send_items(waiting, NOTHING).await?;
        let now = Instant::now();
        let interval = self.progress_interval;
        let quiet = |view: &View| view.progress_notify && now - view.last_sent >= interval;
        let ids: Vec<i64> = self.watches.iter().filter(|(_, view)| quiet(view)).map(|(id, _)| *id).collect();
        for watch_id in ids {
            self.send(self.response(watch_id, revision)).await?;
            if let Some(view) = self.watches.get_mut(&watch_id) {
                view.last_sent = now;
            }
        }
        Ok(())
    }
}
