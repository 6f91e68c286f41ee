//! A client that watches through the store's own watch service, on one member after another, and goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::mvccpb::event::EventType;
use store::serve::watch::{Caller, Responses, begin};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::lease::lease_of;
use crate::dice::Dice;
use crate::invariant::watch::{Change, Watcher};
use crate::world::World;

/// How often the service tells a quiet watcher where it stands.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(700);

pub struct WatchClient {
    pub world: Arc<World>,
    pub dice: Dice,
    pub watcher: Watcher,
    /// Begins in the past, again and again, rather than where it was.
    pub rereads: bool,
}

/// What a watcher asks: at which member, and from where.
struct Stream {
    responses: Responses,
    _requests: mpsc::Sender<Result<etcd::WatchRequest, tonic::Status>>,
}

impl WatchClient {
    pub async fn run(mut self) {
        let mut from = 1;
        self.watcher.begin(from);
        while !self.world.is_over() {
            let at = 1 + self.dice.below(self.world.size());
            if let Some(stream) = self.open(at, from)
                && let Some(compacted) = self.listen(stream).await
            {
                from = compacted;
                self.watcher.begin(from);
                continue;
            }
            tokio::time::sleep(self.dice.millis(10, 200)).await;
            from = self.watcher.next();
            if self.rereads {
                from = (from - self.dice.below(12) as i64).max(1);
                self.watcher.begin(from);
            }
        }
        self.world.watchers.lock().push(self.watcher);
    }

    fn open(&self, at: u64, from: i64) -> Option<Stream> {
        let live = self.world.net.live(at)?;
        let (tx, rx) = mpsc::channel(1);
        let (key, range_end) = match self.watcher.key.is_empty() {
            true => (vec![0], vec![0]),
            false => (self.watcher.key.clone(), Vec::new()),
        };
        let create = etcd::WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            start_revision: from,
            progress_notify: true,
            ..Default::default()
        };
        let request = etcd::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        tx.try_send(Ok(request)).ok()?;
        let requests = futures::stream::unfold(rx, |mut rx| async move { Some((rx.recv().await?, rx)) });
        let (opened, responses) = tokio::sync::oneshot::channel();
        let member = live.member.clone();
        // The session must be the process's own; this task ends at once.
        drop(live.process.spawn(async move {
            drop(opened.send(begin(member, Caller::default(), Box::pin(requests), PROGRESS_INTERVAL)));
        }));
        let responses = futures::stream::once(responses).filter_map(|opened| std::future::ready(opened.ok())).flatten();
        Some(Stream { responses: Box::pin(responses), _requests: tx })
    }

    /// Takes what comes until the stream ends or the client has had enough; gives where to begin when it was compacted.
    async fn listen(&mut self, mut stream: Stream) -> Option<i64> {
        let enough = Instant::now() + self.dice.millis(100, if self.rereads { 500 } else { 4000 });
        while !self.world.is_over() {
            let response = tokio::select! {
                biased;
                response = stream.responses.next() => response,
                () = tokio::time::sleep_until(enough) => return None,
            };
            let Some(Ok(response)) = response else { return None };
            if response.canceled {
                return (response.compact_revision > 0).then_some(response.compact_revision);
            }
            self.take(&response);
        }
        None
    }

    fn take(&mut self, response: &etcd::WatchResponse) {
        let at = response.header.as_ref().map_or(0, |header| header.revision);
        if response.created {
            return;
        }
        let mut events = Vec::with_capacity(response.events.len());
        for event in &response.events {
            let Some(kv) = &event.kv else { continue };
            let removed = event.r#type == EventType::Delete as i32;
            let change: Change = (kv.key.to_vec(), (!removed).then(|| kv.value.to_vec()));
            if let Some(lease) = lease_of(&kv.key).filter(|_| removed) {
                let verdict = self.world.leases.lock().gone(lease, Instant::now());
                self.world.watchdog.judge("leases", verdict);
            }
            events.push((kv.mod_revision, change));
        }
        let verdict = match events.is_empty() {
            true => self.watcher.progress(at),
            false => self.watcher.take(events),
        };
        self.world.watchdog.judge("watch", verdict);
    }
}
