//! Bodies of calls, counted against what bodies in flight may hold together. tonic gathers a message before anybody sees it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use daemon::tls::Peer;
use http::Request;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::status;
use crate::authenticate::User;
use crate::budget::Share;
use crate::server::Server;

/// A body of so many bytes is not counted; what is beyond is, in pieces of that size.
const SMALL_BYTES: usize = 16 << 10;
const COUNTED_BYTES: usize = 256 << 10;

/// The same call with its body counted, for whom the certificate of its connection names. Streams are not: their messages are
/// passed on as they come.
pub fn count(request: Request<Body>, server: &Arc<Server>) -> Request<Body> {
    if request.uri().path().contains(".Streams/") {
        return request;
    }
    let user = request.extensions().get::<Peer>().map_or_else(User::anonymous, User::of_peer);
    let server = Arc::clone(server);
    request.map(|body| Body::new(Counted { body, server, user, bytes: 0, counted: SMALL_BYTES, shares: Vec::new() }))
}

struct Counted {
    body: Body,
    server: Arc<Server>,
    user: User,
    bytes: usize,
    counted: usize,
    shares: Vec<Share>,
}

impl Counted {
    fn take(&mut self, bytes: usize) -> Result<(), Status> {
        self.bytes += bytes;
        while self.bytes > self.counted {
            let share = self.server.requests.try_take(&self.user, COUNTED_BYTES as u64).map_err(status::of)?;
            self.shares.push(share);
            self.counted += COUNTED_BYTES;
        }
        Ok(())
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(refused) = self.take(data.len())
        {
            return Poll::Ready(Some(Err(refused)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
