//! The store's endpoints: one lazy channel each, the one that answered last is asked first.
//!
//! A member that died refuses connections, and the next one is asked at once. One that stands still (stopped, or a machine
//! that is gone) takes whatever is sent and answers nothing, one that is cut off from the others serves nothing: where there
//! are several, a call that lasts long makes us look at all of them. Then it may be given up: its calls fail, its watches
//! move, and it is avoided for a while.

mod look;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemon::tls::ClientIdentity;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

pub use look::{Look, Seen};

use super::error::{self, StorageError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A call that lasts longer is doubted.
const PATIENCE: Duration = Duration::from_secs(1);
/// For so long others are preferred to a member that was given up.
const AVOIDED: Duration = Duration::from_secs(10);

/// How to reach the store: `--etcd-servers` and its certificate flags.
#[derive(Debug, Clone, Default)]
pub struct EndpointConfig {
    /// URLs, `http://` or `https://`.
    pub servers: Vec<String>,
    /// The CA and the client certificate; needed for `https://`.
    pub identity: Option<Arc<ClientIdentity>>,
}

/// Channels to every member, and which one to use.
#[derive(Debug)]
pub struct Endpoints {
    members: Vec<Member>,
    current: AtomicUsize,
}

#[derive(Debug)]
struct Member {
    server: String,
    channel: Channel,
    /// When it was given up last.
    given_up: watch::Sender<Option<Instant>>,
}

/// An answer, and whether an attempt before it may have reached the store as well.
pub struct Answered<T> {
    /// The last attempt's answer.
    pub answer: T,
    /// An earlier one was lost.
    pub uncertain: bool,
}

impl Endpoints {
    /// Prepares the channels; connections are made on first use.
    pub fn new(config: &EndpointConfig) -> anyhow::Result<Self> {
        anyhow::ensure!(!config.servers.is_empty(), "no store endpoint is configured: set --etcd-servers");
        let member = |server: &String| {
            let channel = channel(server, config)?;
            let given_up = watch::Sender::new(None);
            anyhow::Ok(Member { server: server.clone(), channel, given_up })
        };
        let members = config.servers.iter().map(member).collect::<Result<_, _>>()?;
        Ok(Self { members, current: AtomicUsize::new(0) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The channel to use now, and its number for [`Self::failed`].
    pub fn current(&self) -> (usize, Channel) {
        let at = self.current.load(Ordering::Relaxed) % self.members.len();
        (at, self.members[at].channel.clone())
    }

    /// Moves on from an endpoint that did not answer.
    pub fn failed(&self, at: usize) {
        let after = (1..self.members.len()).map(|step| (at + step) % self.members.len());
        let next = after.clone().find(|next| !self.is_avoided(*next)).or(after.clone().next());
        let _ = self.current.compare_exchange(at, next.unwrap_or(at), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is_avoided(&self, at: usize) -> bool {
        self.members[at].given_up.borrow().is_some_and(|since| since.elapsed() < AVOIDED)
    }

    /// Expects nothing from a member for a while: its watches move, and others are asked.
    fn give_up(&self, at: usize) {
        let member = &self.members[at];
        if !self.is_avoided(at) {
            tracing::warn!(server = member.server, "the store's member does not serve: others are asked");
        }
        member.given_up.send_replace(Some(Instant::now()));
        self.failed(at);
    }

    /// Changes when a member is given up.
    pub fn given_up(&self, at: usize) -> watch::Receiver<Option<Instant>> {
        self.members[at].given_up.subscribe()
    }

    /// Looks at every member: whoever does not serve while another one does is given up.
    pub async fn look(&self) -> Vec<Seen> {
        let looks = self.members.iter().map(|member| look::look(&member.server, member.channel.clone()));
        let seen: Vec<Seen> = futures::future::join_all(looks).await;
        let is_served = seen.iter().any(|seen| seen.look == Look::Serves);
        for (at, seen) in seen.iter().enumerate() {
            // While nobody serves, there may be an election: whoever is there is waited for.
            if seen.look == Look::Silent || (seen.look == Look::Alone && is_served) {
                self.give_up(at);
            }
        }
        seen
    }

    /// Runs a request that may be repeated: each endpoint is tried, the list twice over.
    pub async fn read<T, F, Fut>(&self, operation: &'static str, requested: i64, send: F) -> Result<T, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        match self.run(operation, requested, 0, true, send).await {
            Ok(answered) => Ok(answered.answer),
            Err(StorageError::Unknown { source, .. }) => Err(self.unreachable(*source)),
            Err(error) => Err(error),
        }
    }

    /// Runs a write: another endpoint is tried only where the first cannot have received it.
    pub async fn write<T, F, Fut>(&self, operation: &'static str, bytes: usize, send: F) -> Result<T, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        Ok(self.run(operation, 0, bytes, false, send).await?.answer)
    }

    /// Runs a write that can take effect once only: it is repeated as a read is. Whether an attempt that was lost was the
    /// one that did it is for the caller to find out.
    pub async fn write_once<T, F, Fut>(
        &self,
        operation: &'static str,
        bytes: usize,
        send: F,
    ) -> Result<Answered<T>, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        self.run(operation, 0, bytes, true, send).await
    }

    async fn run<T, F, Fut>(
        &self,
        operation: &'static str,
        requested: i64,
        bytes: usize,
        repeatable: bool,
        send: F,
    ) -> Result<Answered<T>, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let attempts = self.members.len() * 2;
        let mut uncertain = false;
        for attempt in 1..=attempts {
            let (at, channel) = self.current();
            let status = match self.attempt(at, send(channel)).await {
                Ok(answer) => return Ok(Answered { answer, uncertain }),
                Err(status) => status,
            };
            let lost = |source| StorageError::Unknown { operation, source: Box::new(source) };
            if !error::try_another(&status) {
                // What a lost attempt did stays unknown, whatever is said of the next one.
                return Err(if uncertain { lost(status) } else { error::refused(operation, requested, bytes, status) });
            }
            self.failed(at);
            uncertain |= !error::never_sent(&status);
            if uncertain && (!repeatable || attempt == attempts) {
                return Err(lost(status));
            }
            if attempt == attempts {
                return Err(self.unreachable(status));
            }
            if attempt % self.members.len() == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        unreachable!("the last attempt returns")
    }

    fn unreachable(&self, source: Status) -> StorageError {
        let servers: Vec<&str> = self.members.iter().map(|member| member.server.as_str()).collect();
        StorageError::Unreachable { endpoints: servers.join(","), source: Box::new(source) }
    }

    /// A call to a member, given up when the member is.
    pub async fn attempt<T>(&self, at: usize, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        if self.members.len() == 1 {
            // There is nobody else to ask; the connection's keep-alive ends what hangs.
            return call.await;
        }
        let mut call = std::pin::pin!(call);
        loop {
            if let Ok(answer) = tokio::time::timeout(PATIENCE, call.as_mut()).await {
                return answer;
            }
            let given_up = self.given_up(at);
            tokio::select! {
                answer = call.as_mut() => return answer,
                _seen = self.look() => {}
            }
            if given_up.has_changed().unwrap_or(true) {
                return Err(Status::unavailable(format!("{} does not serve", self.members[at].server)));
            }
        }
    }
}

fn channel(server: &str, config: &EndpointConfig) -> anyhow::Result<Channel> {
    if server.starts_with("https://") {
        let Some(identity) = &config.identity else {
            anyhow::bail!("{server} needs the CA of its certificate: set --etcd-cafile");
        };
        return Ok(identity.channel(server, None)?);
    }
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let endpoint = Endpoint::from_shared(url)
        .map_err(|error| anyhow::anyhow!("--etcd-servers: {server}: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .tcp_nodelay(true);
    Ok(endpoint.connect_lazy())
}

#[cfg(test)]
mod tests;
