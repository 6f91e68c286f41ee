//! Writes to the leader over gRPC.
//!
//! One alone goes by Forward, which every version knows. Several go by ForwardAll; a leader of a version that does not know it
//! has logged nothing then, and is spoken to one by one for a while: it may be replaced by a newer one.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use proto::keelson::raft::v1 as pb;
use tokio::time::Instant;

use super::{CALL_TIMEOUT, GrpcTransport};
use crate::forward::Carried;
use crate::propose::Unproposed;
use crate::reply;

/// How long a leader is not asked again whether it knows ForwardAll.
const SINGLY: Duration = Duration::from_secs(60);

/// Leaders that know only Forward, and since when that is known.
#[derive(Default)]
pub struct Older(Mutex<BTreeMap<u64, Instant>>);

impl Older {
    fn is_one(&self, member: u64) -> bool {
        self.0.lock().get(&member).is_some_and(|noted| noted.elapsed() < SINGLY)
    }

    fn note(&self, member: u64) {
        self.0.lock().insert(member, Instant::now());
    }
}

impl GrpcTransport {
    pub(super) async fn carry(&self, leader: u64, mut commands: Vec<pb::Command>) -> Vec<Carried> {
        let count = commands.len();
        match commands.pop() {
            None => Vec::new(),
            Some(only) if count == 1 => vec![self.carry_one(leader, only).await],
            Some(last) => {
                commands.push(last);
                if self.inner.older.is_one(leader) {
                    return join_all(commands.into_iter().map(|command| self.carry_one(leader, command))).await;
                }
                let carried = self.carry_all(leader, commands).await;
                carried.unwrap_or_else(|why| vec![Err(why); count])
            }
        }
    }

    async fn carry_one(&self, leader: u64, command: pb::Command) -> Carried {
        let mut client = self.client(leader).ok_or(Unproposed::NotLeader)?;
        let req = pb::ForwardRequest { target: self.target(leader), command: Some(command) };
        match tokio::time::timeout(CALL_TIMEOUT, client.forward(req)).await {
            Ok(Ok(rsp)) => Ok(reply::from_wire(rsp.into_inner().reply)),
            Ok(Err(status)) => Err(unproposed(&status)),
            Err(_) => Err(Unproposed::Lost),
        }
    }

    async fn carry_all(&self, leader: u64, commands: Vec<pb::Command>) -> Result<Vec<Carried>, Unproposed> {
        let mut client = self.client(leader).ok_or(Unproposed::NotLeader)?;
        let req = pb::ForwardAllRequest { target: self.target(leader), commands };
        match tokio::time::timeout(CALL_TIMEOUT, client.forward_all(req)).await {
            Ok(Ok(rsp)) => {
                let replies = rsp.into_inner().replies.into_iter();
                Ok(replies.map(|reply| Ok(reply::from_wire(Some(reply)))).collect())
            }
            Ok(Err(status)) if status.code() == tonic::Code::Unimplemented => {
                self.inner.older.note(leader);
                Err(Unproposed::NotLeader)
            }
            Ok(Err(status)) => Err(unproposed(&status)),
            Err(_) => Err(Unproposed::Lost),
        }
    }
}

fn unproposed(status: &tonic::Status) -> Unproposed {
    match status.code() {
        // The member says so itself: it did not log the commands.
        tonic::Code::FailedPrecondition => Unproposed::NotLeader,
        // A dead leader: another one is waited for.
        _ if never_sent(status) => Unproposed::NotLeader,
        _ => Unproposed::Lost,
    }
}

/// Whether there was no connection to send it on.
fn never_sent(status: &tonic::Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use daemon::health::Health;
    use daemon::metrics::Metrics;
    use daemon::serve::Server;
    use daemon::serve::direct::{Answer, Direct, unary};
    use http::Request;
    use hyper::body::Incoming;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::reply::Answer as Done;

    /// A leader of a version that knows only Forward.
    struct OldLeader(Arc<AtomicUsize>);

    impl Direct for OldLeader {
        fn answer(&self, request: Request<Incoming>) -> Result<Answer, Request<Incoming>> {
            if request.uri().path() != "/keelson.raft.v1.Raft/Forward" {
                return Err(request);
            }
            self.0.fetch_add(1, Ordering::Relaxed);
            let done = pb::ForwardResponse { reply: Some(reply::to_wire(Ok(Done::Done))) };
            let answer = |_: tonic::Request<pb::ForwardRequest>| ready(Ok(tonic::Response::new(done)));
            Ok(Box::pin(async move { unary(request, 1 << 20, answer).await }))
        }
    }

    #[tokio::test]
    async fn a_leader_that_knows_no_batches_gets_none_and_nothing_twice() {
        let (asked, end) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let listener = daemon::serve::bind("127.0.0.1:0", "--test").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new(Health::new(), Metrics::new()).direct(Arc::new(OldLeader(asked.clone())));
        let serving = tokio::spawn(server.serve(listener, end.clone()));
        let transport = GrpcTransport::new(7, None);
        transport.connect(1, &[url]).unwrap();

        let several = || vec![pb::Command::default(); 3];
        assert_eq!(transport.carry(1, several()).await, vec![Err(Unproposed::NotLeader); 3], "nothing was logged");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        assert_eq!(transport.carry(1, several()).await, vec![Ok(Ok(Done::Done)); 3]);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert_eq!(transport.carry(1, vec![pb::Command::default()]).await, [Ok(Ok(Done::Done))]);
        assert_eq!(transport.carry(1, Vec::new()).await, []);
        assert_eq!(asked.load(Ordering::Relaxed), 4);
        end.cancel();
        drop(transport);
        serving.await.unwrap();
    }
}
