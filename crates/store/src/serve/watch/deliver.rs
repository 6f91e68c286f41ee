//! What a session tells its client: events, in answers that watchers share but for their heads, and progress.

use std::sync::Arc;

use bytes::BytesMut;
use futures::Stream;
use proto::etcdserverpb as etcd;
use tokio::time::Instant;
use tonic::Status;

use super::answer::{self, Head, Part};
use super::{Session, View, WHOLE_STREAM};
use crate::history;
use crate::refused::Refused;
use crate::shared::Shared;
use crate::watcher::{Behind, Change, Fetched, Item};

/// Events fetched for a watcher that is behind before others get their turn.
const FETCH_EVENTS_MAX: usize = 1000;
/// Bytes of events in an answer before the next revisions go into another.
const ANSWER_BYTES: usize = 64 << 10;
/// What is compacted, for events that just happened.
const NOTHING: i64 = 0;
/// Room in what is taken from the outbox that an idle session keeps.
const ITEMS_KEPT: usize = 64;
/// Room for the rest of a message when its events are cut into fragments.
const FRAGMENT_SLACK: usize = 512 << 10;

impl<R> Session<R>
where
    R: Stream<Item = Result<etcd::WatchRequest, Status>> + Unpin,
{
    /// Says everything there is to say.
    pub(super) async fn deliver(&mut self) -> Result<(), Status> {
        loop {
            let behind = self.stream.take(&mut self.items);
            self.tell_taken().await;
            if behind.is_empty() {
                break;
            }
            for behind in behind {
                self.catch_up(behind).await?;
            }
        }
        if self.progress_wanted
            && let Some(revision) = self.stream.progress(&mut self.items)
        {
            self.progress_wanted = false;
            self.tell_taken().await;
            self.send(self.response(WHOLE_STREAM, revision)).await;
        }
        Ok(())
    }

    async fn tell_taken(&mut self) {
        let mut items = std::mem::take(&mut self.items);
        self.tell(&mut items, NOTHING).await;
        items.clear();
        if items.capacity() <= ITEMS_KEPT {
            self.items = items;
        }
    }

    /// Says the next piece of what a watcher has missed.
    async fn catch_up(&mut self, behind: Behind) -> Result<(), Status> {
        let compacted = self.member.shared.held.read().state.index.compacted();
        let upto = match self.stream.fetch(&behind, FETCH_EVENTS_MAX) {
            Fetched::Log(mut items) => {
                self.tell(&mut items, compacted).await;
                return Ok(());
            }
            Fetched::History { upto } => upto,
        };
        if behind.next < compacted {
            for watcher in self.stream.end_group(behind.group) {
                self.compacted(watcher.watch_id, &watcher.view, compacted).await;
            }
            return Ok(());
        }
        match self.read_history(&behind, upto).await {
            Ok((changes, next)) => {
                let item = |change: Change| {
                    let picks = behind.spec.pick(&change);
                    Item { group: behind.group, change: Arc::new(change), picks }
                };
                self.stream.fetched_until(behind.group, next);
                self.tell(&mut changes.into_iter().map(item).collect::<Vec<_>>(), compacted).await;
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

    /// A watcher that has ended asked for what is gone: the client is told from where it can begin again. As in etcd, the
    /// header says no revision.
    pub(super) async fn compacted(&mut self, watch_id: i64, view: &View, compact_revision: i64) {
        self.notified -= usize::from(view.progress_notify);
        let response = self.response(watch_id, 0);
        self.send(etcd::WatchResponse { canceled: true, compact_revision, ..response }).await;
    }

    /// Says events, to each watcher in order. As in etcd, what was before an event cannot be had where all before it is
    /// `compacted`.
    async fn tell(&mut self, items: &mut [Item], compacted: i64) {
        if items.is_empty() {
            return;
        }
        if items.iter().any(|item| item.group != items[0].group) {
            items.sort_by_key(|item| item.group);
        }
        for mut items in items.chunk_by(|one, other| one.group == other.group) {
            while !items.is_empty() {
                items = self.tell_some(items, compacted).await;
            }
        }
    }

    /// Says as many revisions as go into one answer to each watcher of a group; gives the others back.
    async fn tell_some<'a>(&mut self, items: &'a [Item], compacted: i64) -> &'a [Item] {
        let Some((spec, watchers)) = self.stream.group(items[0].group) else { return &[] };
        let (mut parts, mut bytes, mut used) = (Vec::with_capacity(items.len()), 0, 0);
        while used < items.len() && bytes < ANSWER_BYTES {
            let prev_kv = spec.prev_kv && items[used].change.revision > compacted;
            bytes += add_parts(&self.member.shared, &items[used], prev_kv, &mut parts);
            used += 1;
        }
        let Some(last) = parts.last() else { return &items[used..] };
        let head = Head::new(&self.member.header(last.revision));
        let fragment_max = self.member.limits.request_bytes + FRAGMENT_SLACK;
        let now = Instant::now();
        let mut told = 0;
        for watcher in watchers {
            let (mut parts, mut bytes) = (&parts[..], bytes);
            if parts[0].revision < watcher.from {
                parts = &parts[parts.partition_point(|part| part.revision < watcher.from)..];
                bytes = parts.iter().map(Part::len).sum();
            }
            if parts.is_empty() {
                continue;
            }
            told += parts.len();
            watcher.view.last_sent = now;
            let bytes_max = if watcher.view.fragment { fragment_max } else { usize::MAX };
            let write = |out: &mut BytesMut| answer::put_cut(out, &head, watcher.watch_id, parts, bytes, bytes_max);
            if !self.out.write(write) {
                self.out.room().await;
            }
        }
        self.member.shared.counts.events.add(told as u64);
        &items[used..]
    }

    /// Tells quiet watchers that asked for it where they stand.
    pub(super) async fn notify_progress(&mut self) {
        let Some(revision) = self.stream.progress(&mut self.items) else { return };
        self.tell_taken().await;
        let now = Instant::now();
        let mut quiet = Vec::new();
        for watcher in self.stream.watchers() {
            let view = &mut watcher.view;
            if view.progress_notify && now - view.last_sent >= self.progress_interval {
                view.last_sent = now;
                quiet.push(watcher.watch_id);
            }
        }
        for watch_id in quiet {
            self.send(self.response(watch_id, revision)).await;
        }
    }
}

/// Adds what watchers see of a change; gives its length.
fn add_parts<'a>(shared: &Shared, item: &'a Item, prev_kv: bool, parts: &mut Vec<Part<'a>>) -> usize {
    let mut bytes = 0;
    for at in &item.picks {
        let event = &item.change.events[*at as usize];
        let prev = if prev_kv { &event.prev_field(|loc| shared.value(loc))[..] } else { &[] };
        let part = Part::new(item.change.revision, event.field(), prev);
        bytes += part.len();
        parts.push(part);
    }
    bytes
}
