//! One watch stream of one server: what is asked on it, and what came.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::mvccpb::Event;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::watched::{Got, Inbox, take_in};

const PATIENCE: Duration = Duration::from_secs(60);
const REQUESTS_MAX: usize = 8;

#[derive(Default)]
struct Came {
    inbox: Mutex<Inbox>,
    more: Notify,
    /// Responses that said that more of the same revision follows.
    fragments: AtomicU64,
}

pub struct Watching {
    channel: Channel,
    came: Arc<Came>,
    /// Once the stream is open; etcd answers nothing before it was asked for something.
    open: Option<Open>,
}

struct Open {
    tx: mpsc::Sender<etcd::WatchRequest>,
    answers: mpsc::Receiver<etcd::WatchResponse>,
}

impl Watching {
    pub fn new(channel: Channel) -> Self {
        Self { channel, came: Arc::default(), open: None }
    }

    pub async fn send(&mut self, union: RequestUnion) -> Result<()> {
        let request = etcd::WatchRequest { request_union: Some(union) };
        if let Some(open) = &self.open {
            return Ok(open.tx.send(request).await?);
        }
        let (tx, rx) = mpsc::channel(REQUESTS_MAX);
        let (answered, answers) = mpsc::channel(REQUESTS_MAX);
        tx.send(request).await?;
        let mut client = WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        let came = self.came.clone();
        // Ends with the connection, or when nobody looks at the answers any more.
        tokio::spawn(async move {
            let mut responses = client.watch(ReceiverStream::new(rx)).await?.into_inner();
            while let Some(rsp) = responses.message().await? {
                came.fragments.fetch_add(u64::from(rsp.fragment), Ordering::Relaxed);
                let answer = take_in(&mut lock(&came.inbox), rsp);
                came.more.notify_waiters();
                if let Some(answer) = answer
                    && answered.send(answer).await.is_err()
                {
                    break;
                }
            }
            Ok::<(), tonic::Status>(())
        });
        self.open = Some(Open { tx, answers });
        Ok(())
    }

    pub fn fragments(&self) -> u64 {
        self.came.fragments.load(Ordering::Relaxed)
    }

    /// Asks for something that is answered.
    pub async fn ask(&mut self, union: RequestUnion) -> Result<etcd::WatchResponse> {
        self.send(union).await?;
        let open = self.open.as_mut().context("an open stream")?;
        open.answers.recv().await.context("the watch stream has ended")
    }

    /// Everything that has come, once `enough` says that it is all that is to come.
    pub async fn take(&self, enough: impl Fn(&Inbox) -> bool) -> Result<Inbox> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.came.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            {
                let mut inbox = lock(&self.came.inbox);
                if enough(&inbox) {
                    return Ok(std::mem::take(&mut inbox));
                }
            }
            let waited = tokio::time::timeout_at(deadline, more).await;
            ensure!(waited.is_ok(), "watchers wait for events; so far came: {:?}", lock(&self.came.inbox));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events of one watcher.
pub fn events(inbox: &Inbox, watch_id: i64) -> Vec<Event> {
    let got = inbox.get(&watch_id).map(Vec::as_slice).unwrap_or_default();
    let event = |got: &Got| match got {
        Got::Event(event) => Some(Event::clone(event)),
        _ => None,
    };
    got.iter().filter_map(event).collect()
}
