//! What a session tells its client: events, in answers that watchers share but for their heads, and progress.

use std::sync::Arc;

use futures::Stream;
use proto::etcdserverpb as etcd;
use tokio::time::Instant;
use tonic::Status;

use super::answer::{self, Head, Part};
use super::{Session, View, WHOLE_STREAM};
use crate::history;
use crate::refused::Refused;
use crate::watcher::{Behind, Change, Fetched, Item, Picks};

/// Events fetched for a watcher that is behind before others get their turn.
const FETCH_EVENTS_MAX: usize = 1000;
/// Bytes of events in an answer before the next revisions go into another.
const ANSWER_BYTES: usize = 64 << 10;
/// Room for the rest of a message when its events are cut into fragments.
const FRAGMENT_SLACK: usize = 512 << 10;

impl<R> Session<R>
where
    R: Stream<Item = Result<etcd::WatchRequest, Status>> + Unpin,
{
    /// Says everything there is to say.
    pub(super) async fn deliver(&mut self) -> Result<(), Status> {
        loop {
            let (items, behind) = self.stream.take();
            self.tell(items.into()).await;
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
            self.tell(waiting.into()).await;
            self.send(self.response(WHOLE_STREAM, revision)).await;
        }
        Ok(())
    }

    /// Says the next piece of what a watcher has missed.
    async fn catch_up(&mut self, behind: Behind) -> Result<(), Status> {
        let upto = match self.stream.fetch(&behind, FETCH_EVENTS_MAX) {
            Fetched::Log(items) => {
                self.tell(items).await;
                return Ok(());
            }
            Fetched::History { upto } => upto,
        };
        let compacted = self.member.shared.held.read().state.index.compacted();
        if behind.next < compacted {
            self.compacted(behind.watch_id, compacted).await;
            return Ok(());
        }
        match self.read_history(&behind, upto).await {
            Ok((changes, next)) => {
                let item = |change: Change| {
                    let picks = behind.spec.pick(&change);
                    Item { watch_id: behind.watch_id, change: Arc::new(change), picks }
                };
                self.stream.fetched_until(behind.watch_id, next);
                self.tell(changes.into_iter().map(item).collect()).await;
                Ok(())
            }
            // Compacted while it was being read: the next look says so to the client.
            Err(error) if self.member.shared.held.read().state.index.compacted() > behind.next => {
                tracing::debug!(%error, "a watcher's history was compacted while it was read");
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = %crate::report(&error), "a watcher's history cannot be read");
                Err(Refused::Corrupt.into())
            }
        }
    }

    /// Reads beside the connection's other calls, where there are threads: it may take long.
    async fn read_history(&self, behind: &Behind, upto: i64) -> std::io::Result<(Vec<Change>, i64)> {
        let (shared, spec, next) = (self.member.shared.clone(), behind.spec.clone(), behind.next);
        let read = move || history::fetch(&shared, &spec, next, upto, FETCH_EVENTS_MAX);
        if !self.member.env.threads {
            return read();
        }
        tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
    }

    /// The watcher asked for what is gone: it ends, and the client is told from where it can begin again.
    async fn compacted(&mut self, watch_id: i64, compact_revision: i64) {
        self.stream.cancel(watch_id);
        self.forget(watch_id);
        let revision = self.member.shared.hub.revision();
        let canceled = etcd::WatchResponse { canceled: true, compact_revision, ..self.response(watch_id, revision) };
        self.send(canceled).await;
    }

    /// Says events, of each watcher in order.
    async fn tell(&mut self, mut items: Vec<Item>) {
        if items.is_empty() {
            return;
        }
        items.sort_by_key(|item| item.watch_id);
        let now = Instant::now();
        for items in items.chunk_by(|one, other| one.watch_id == other.watch_id) {
            let watch_id = items[0].watch_id;
            let Some(view) = self.watches.get_mut(&watch_id) else { continue };
            view.last_sent = now;
            let mut rest = items;
            while !rest.is_empty() {
                rest = self.tell_some(watch_id, rest);
                self.out.room().await;
            }
        }
    }

    /// Writes an answer of as many revisions as fit; gives the others back.
    fn tell_some<'a>(&self, watch_id: i64, items: &'a [Item]) -> &'a [Item] {
        let Some(View { prev_kv, fragment, .. }) = self.watches.get(&watch_id) else { return &[] };
        let (mut parts, mut bytes, mut used) = (Vec::new(), 0, 0);
        while used < items.len() && bytes < ANSWER_BYTES {
            bytes += self.parts(&items[used].change, &items[used].picks, *prev_kv, &mut parts);
            used += 1;
        }
        let Some(last) = parts.last() else { return &items[used..] };
        let head = Head::new(&self.member.header(last.revision));
        self.member.shared.counts.events.add(parts.len() as u64);
        let bytes_max = if *fragment { self.member.limits.request_bytes + FRAGMENT_SLACK } else { usize::MAX };
        self.out.write(|out| answer::put_cut(out, &head, watch_id, &parts, bytes, bytes_max));
        &items[used..]
    }

    /// Adds what a watcher sees of a change; gives its length.
    fn parts<'a>(&self, change: &'a Change, picks: &Picks, prev_kv: bool, parts: &mut Vec<Part<'a>>) -> usize {
        let mut bytes = 0;
        for at in picks {
            let event = &change.events[*at as usize];
            let prev = match prev_kv {
                true => &event.prev_field(|loc| self.member.shared.value(loc))[..],
                false => &[],
            };
            let part = Part::new(change.revision, event.field(), prev);
            bytes += part.len();
            parts.push(part);
        }
        bytes
    }

    /// Tells quiet watchers that asked for it where they stand.
    pub(super) async fn notify_progress(&mut self) -> Result<(), Status> {
        let Some((revision, waiting)) = self.stream.progress() else { return Ok(()) };
        self.tell(waiting.into()).await;
        let now = Instant::now();
        let interval = self.progress_interval;
        let quiet = |view: &View| view.progress_notify && now - view.last_sent >= interval;
        let ids: Vec<i64> = self.watches.iter().filter(|(_, view)| quiet(view)).map(|(id, _)| *id).collect();
        for watch_id in ids {
            self.send(self.response(watch_id, revision)).await;
            if let Some(view) = self.watches.get_mut(&watch_id) {
                view.last_sent = now;
            }
        }
        Ok(())
    }
}
