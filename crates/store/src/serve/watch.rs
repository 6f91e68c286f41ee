//! etcdserverpb.Watch: a session for each client stream, which runs with the stream's connection.
//!
//! It says what waits in its outbox, then brings watchers that are behind up to date, a piece at a time, then waits
//! ([`deliver`]). A client that reads slowly stops its own session and nothing else.

mod answer;
mod deliver;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daemon::serve::Body;
use daemon::serve::direct::{self, Outgoing, Talk};
use futures::{Stream, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::credentials::credentials;
use super::leader;
use crate::ask::Credentials;
use crate::counts::calls::{Call, Open};
use crate::env::process;
use crate::member::Member;
use crate::refused::Refused;
use crate::watcher::{Item, Spec, WatchStream};

/// The watch id of answers that concern the whole stream.
const WHOLE_STREAM: i64 = -1;
/// Answers that wait for whoever takes them as structs.
const RESPONSES_LEN_MAX: usize = 16;

pub struct WatchService {
    member: Arc<Member>,
    /// How often a quiet watcher that asked for it is told the revision.
    progress_interval: Duration,
    call: Arc<Call>,
}

impl WatchService {
    pub fn new(member: Arc<Member>, progress_interval: Duration) -> Self {
        let call = member.shared.counts.calls.of("/etcdserverpb.Watch/Watch");
        Self { member, progress_interval, call }
    }

    /// Answers a client's stream.
    pub fn watch(&self, request: Request<Incoming>, bytes_max: usize) -> Response<Body> {
        direct::stream(request, bytes_max, |request: tonic::Request<direct::Messages<etcd::WatchRequest>>, out| {
            let caller = Caller {
                by: credentials(&request),
                needs_leader: leader::is_needed(request.metadata().as_ref()),
                _open: Some(Open::new(self.call.clone())),
            };
            Session::new(self.member.clone(), caller, request.into_inner(), out, self.progress_interval).run()
        })
    }
}

/// Who watches.
#[derive(Default)]
pub struct Caller {
    by: Credentials,
    needs_leader: bool,
    /// Counts the call while it lasts.
    _open: Option<Open>,
}

/// What a client sends.
pub type Requests = Pin<Box<dyn Stream<Item = Result<etcd::WatchRequest, Status>> + Send + Sync>>;
/// What it gets.
pub type Responses = Pin<Box<dyn Stream<Item = Result<etcd::WatchResponse, Status>> + Send>>;

/// Begins a client's stream for those who have no connection: the session runs in a task, which ends with it, and when
/// nobody takes its answers any more.
pub fn begin(member: Arc<Member>, caller: Caller, requests: Requests, progress_interval: Duration) -> Responses {
    let (tx, rx) = mpsc::channel(RESPONSES_LEN_MAX);
    let out = Outgoing::default();
    let session = Session::new(member, caller, requests, out.clone(), progress_interval);
    let mut talk = Talk::new(session.run(), out);
    drop(process::spawn(async move {
        loop {
            let next = tokio::select! {
                biased;
                next = std::future::poll_fn(|cx| talk.poll_next(cx)) => next,
                () = tx.closed() => return,
            };
            let answers: Vec<_> = match next {
                Some(Ok(messages)) => answer::split(messages).map(|answer| answer.map_err(undecoded)).collect(),
                Some(Err(status)) if status.code() != tonic::Code::Ok => vec![Err(status)],
                Some(Err(_)) | None => return,
            };
            for answer in answers {
                if tx.send(answer).await.is_err() {
                    return;
                }
            }
        }
    }));
    Box::pin(ReceiverStream::new(rx))
}

fn undecoded(error: prost::DecodeError) -> Status {
    Status::internal(error.to_string())
}

/// How the client wants to hear of a watcher's events.
struct View {
    fragment: bool,
    progress_notify: bool,
    last_sent: Instant,
}

struct Session<R> {
    member: Arc<Member>,
    caller: Caller,
    stream: WatchStream<View>,
    /// What was taken from the stream's outbox; empty while the session waits.
    items: Vec<Item>,
    requests: R,
    /// The client will ask for nothing more; its watchers go on.
    asked_all: bool,
    out: Outgoing,
    /// Watchers that are told when they are quiet.
    notified: usize,
    /// The client asked where the stream stands, and some watcher was behind.
    progress_wanted: bool,
    progress_interval: Duration,
}

impl<R> Session<R>
where
    R: Stream<Item = Result<etcd::WatchRequest, Status>> + Unpin,
{
    fn new(member: Arc<Member>, caller: Caller, requests: R, out: Outgoing, progress_interval: Duration) -> Self {
        Self {
            stream: member.shared.hub.open(),
            member,
            caller,
            items: Vec::new(),
            requests,
            asked_all: false,
            out,
            notified: 0,
            progress_wanted: false,
            progress_interval,
        }
    }

    async fn run(mut self) -> Status {
        match self.converse().await {
            Ok(()) => Status::ok(""),
            Err(status) => status,
        }
    }

    /// Until the member stops, or an error ends the stream; one whose client goes away is dropped.
    async fn converse(&mut self) -> Result<(), Status> {
        let mut timer = tokio::time::interval(self.progress_interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let member = self.member.clone();
        let mut no_leader = std::pin::pin!(leader::leaderless(&member));
        let mut stopping = std::pin::pin!(member.stopping.cancelled());
        let signal = self.stream.signal();
        loop {
            tokio::select! {
                biased;
                request = self.requests.next(), if !self.asked_all => match request {
                    Some(request) => self.request(request?).await?,
                    None => self.asked_all = true,
                },
                // The client reconnects, to another member where there is one.
                () = &mut stopping => return Ok(()),
                () = &mut no_leader, if self.caller.needs_leader => return Err(Refused::NoLeader.into()),
                () = signal.raised() => self.deliver().await?,
                _ = timer.tick(), if self.notified > 0 => self.notify_progress().await,
            }
        }
    }

    async fn send(&self, response: etcd::WatchResponse) {
        if !self.out.write(|out| direct::put(out, &response)) {
            self.out.room().await;
        }
    }

    fn response(&self, watch_id: i64, revision: i64) -> etcd::WatchResponse {
        etcd::WatchResponse { header: Some(self.member.header(revision)), watch_id, ..Default::default() }
    }

    async fn request(&mut self, request: etcd::WatchRequest) -> Result<(), Status> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create).await,
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => {
                self.progress_wanted = true;
                return self.deliver().await;
            }
            None => {}
        }
        Ok(())
    }

    async fn create(&mut self, mut create: etcd::WatchCreateRequest) {
        if create.key.is_empty() {
            create.key = Bytes::from_static(&[0]);
        }
        let filtered = |kind: FilterType| create.filters.contains(&(kind as i32));
        let spec = Spec {
            key: create.key.clone(),
            range_end: create.range_end.clone(),
            puts: !filtered(FilterType::Noput),
            deletes: !filtered(FilterType::Nodelete),
            prev_kv: create.prev_kv,
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
        let progress_notify = create.progress_notify;
        let view = View { fragment: create.fragment, progress_notify, last_sent: Instant::now() };
        match self.stream.watch(create.watch_id, spec, create.start_revision, view) {
            Some((watch_id, revision)) => {
                self.notified += usize::from(progress_notify);
                let created = etcd::WatchResponse { created: true, ..self.response(watch_id, revision) };
                self.send(created).await;
                // What is compacted may still be in memory; as in etcd, it is gone all the same.
                let compacted = self.member.shared.held.read().state.index.compacted();
                if create.start_revision > 0
                    && create.start_revision < compacted
                    && let Some(view) = self.stream.end(watch_id)
                {
                    self.compacted(watch_id, &view, compacted).await;
                }
            }
            None => self.refuse(revision, "mvcc: duplicate watch ID provided on the WatchStream").await,
        }
    }

    /// A watcher sees what it could read.
    async fn permitted(&self, create: &etcd::WatchCreateRequest) -> Result<(), Refused> {
        let asked = self.member.asked(&self.caller.by);
        asked.look(|who, held| held.state.auth.check_range(who, &create.key, &create.range_end)).await
    }

    async fn refuse(&self, revision: i64, reason: &str) {
        let refused = etcd::WatchResponse {
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..self.response(WHOLE_STREAM, revision)
        };
        self.send(refused).await;
    }

    async fn cancel(&mut self, watch_id: i64) {
        match self.stream.cancel(watch_id) {
            Some(view) => self.notified -= usize::from(view.progress_notify),
            None if self.stream.release(watch_id) => {}
            None => return,
        }
        let revision = self.member.shared.hub.revision();
        self.send(etcd::WatchResponse { canceled: true, ..self.response(watch_id, revision) }).await;
    }
}
