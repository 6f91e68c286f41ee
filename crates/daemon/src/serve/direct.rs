//! gRPC calls without a framework between HTTP and the code that answers, for the few that are called all the time.
//!
//! The contract is the same as that of the generated services, and so is what they are given ([`tonic::Request`] with
//! metadata and extensions); what is left out are buffers, boxes and layers for what these calls never do: compression, and
//! streams where there is one message.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::Stream;
use futures::task::{ArcWake, AtomicWaker, waker_ref};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming};
use parking_lot::Mutex;
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::Body;

/// Before each message: whether it is compressed, and its length.
const PREFIX_LEN: usize = 5;
/// Bytes of a stream that wait for a slow caller before its session waits, too.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// An answer under way.
pub type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Answers some gRPC calls.
pub trait Direct: Send + Sync + 'static {
    /// Gives a request back that is not one of those.
    #[expect(clippy::result_large_err, reason = "the request goes on to somebody else")]
    fn answer(&self, request: Request<Incoming>) -> Result<Answer, Request<Incoming>>;
}

/// Reads one message, has it answered by one.
pub async fn unary<Q, R, F>(
    request: Request<Incoming>,
    bytes_max: usize,
    call: impl FnOnce(tonic::Request<Q>) -> F,
) -> Response<Body>
where
    Q: Message + Default,
    R: Message,
    F: Future<Output = Result<tonic::Response<R>, Status>>,
{
    let answer = async move |request| {
        let (metadata, message, _) = call(request).await?.into_parts();
        Ok((metadata, vec![framed(&message)]))
    };
    once(request, bytes_max, answer).await
}

/// As [`unary`], where the call encodes its answer: a message with its [`prefix`], in pieces that are sent as they are.
pub async fn pieces<Q, F>(
    request: Request<Incoming>,
    bytes_max: usize,
    call: impl FnOnce(tonic::Request<Q>) -> F,
) -> Response<Body>
where
    Q: Message + Default,
    F: Future<Output = Result<Vec<Bytes>, Status>>,
{
    let answer = async move |request| Ok((MetadataMap::new(), call(request).await?));
    once(request, bytes_max, answer).await
}

async fn once<Q: Message + Default>(
    request: Request<Incoming>,
    bytes_max: usize,
    answer: impl AsyncFnOnce(tonic::Request<Q>) -> Result<(MetadataMap, Vec<Bytes>), Status>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut messages = Messages::new(body, bytes_max);
    let message = match messages.only().await {
        Ok(message) => message,
        Err(status) => return status.into_http(),
    };
    let metadata = MetadataMap::from_headers(parts.headers);
    match answer(tonic::Request::from_parts(metadata, parts.extensions, message)).await {
        Ok((metadata, pieces)) => respond(metadata, Once { pieces: pieces.into_iter(), ended: false }),
        Err(status) => status.into_http(),
    }
}

/// Answers with a stream: `session` gets the caller's messages and where its own go, and runs when the connection does.
pub fn stream<Q, F>(
    request: Request<Incoming>,
    bytes_max: usize,
    session: impl FnOnce(tonic::Request<Messages<Q>>, Outgoing) -> F,
) -> Response<Body>
where
    Q: Message + Default,
    F: Future<Output = Status> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let request = tonic::Request::from_parts(
        MetadataMap::from_headers(parts.headers),
        parts.extensions,
        Messages::new(body, bytes_max),
    );
    let outgoing = Outgoing::default();
    respond(MetadataMap::new(), Talk::new(session(request, outgoing.clone()), outgoing))
}

fn respond(
    metadata: MetadataMap,
    body: impl http_body::Body<Data = Bytes, Error = Status> + Send + 'static,
) -> Response<Body> {
    let mut response = Response::new(Body::new(body));
    *response.headers_mut() = metadata.into_headers();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A message with its prefix.
pub fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX_LEN + message.encoded_len());
    put(&mut out, message);
    out.freeze()
}

/// What stands before a message of so many bytes; none for one that is longer than others take.
pub fn prefix(len: usize) -> Option<[u8; PREFIX_LEN]> {
    let [a, b, c, d] = i32::try_from(len).ok()?.to_be_bytes();
    Some([0, a, b, c, d])
}

/// Appends a message with its prefix.
pub fn put(out: &mut impl BufMut, message: &impl Message) {
    out.put_u8(0);
    out.put_u32(message.encoded_len() as u32);
    message.encode(out).expect("a buffer that grows");
}

fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

/// One message and that it went well.
struct Once {
    pieces: std::vec::IntoIter<Bytes>,
    ended: bool,
}

impl http_body::Body for Once {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(piece) = self.pieces.next() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let ended = std::mem::replace(&mut self.ended, true);
        Poll::Ready((!ended).then(|| Ok(Frame::trailers(ok()))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// Where a session leaves what its caller is to get: messages with their prefixes ([`put`]), one after the other.
#[derive(Clone, Default)]
pub struct Outgoing {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    messages: BytesMut,
    /// The session waits for room.
    blocked: bool,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.messages.len() >= WAITING_BYTES_MAX
    }
}

impl Outgoing {
    /// Returns when there is room: a caller that is behind stops its session.
    pub async fn room(&self) {
        // Nobody has to wake this: the body polls its session once it has taken what waits.
        std::future::poll_fn(|_| {
            let mut waiting = self.waiting.lock();
            waiting.blocked = waiting.is_full();
            if waiting.blocked { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Has messages written behind what waits; whether there is room for more. Nothing is refused: whoever writes much waits
    /// for [`Outgoing::room`] now and then.
    pub fn write(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let mut waiting = self.waiting.lock();
        write(&mut waiting.messages);
        !waiting.is_full()
    }

    /// What waits, and whether the session waited for that.
    fn take(&self) -> Option<(Bytes, bool)> {
        let mut waiting = self.waiting.lock();
        let blocked = std::mem::take(&mut waiting.blocked);
        (!waiting.messages.is_empty()).then(|| (std::mem::take(&mut waiting.messages).freeze(), blocked))
    }
}

/// Wakes a session. A body is polled for other reasons, too (room to send, mostly), which are none to poll its session.
struct Turn {
    wanted: AtomicBool,
    body: AtomicWaker,
}

impl ArcWake for Turn {
    fn wake_by_ref(turn: &Arc<Self>) {
        if !turn.wanted.swap(true, Ordering::AcqRel) {
            turn.body.wake();
        }
    }
}

/// A stream that runs its session when it is asked for what comes next.
pub struct Talk {
    session: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
    turn: Arc<Turn>,
    outgoing: Outgoing,
    end: Option<Status>,
}

impl Talk {
    /// A session that writes to `outgoing`.
    pub fn new(session: impl Future<Output = Status> + Send + 'static, outgoing: Outgoing) -> Self {
        let turn = Arc::new(Turn { wanted: AtomicBool::new(true), body: AtomicWaker::new() });
        Self { session: Some(Box::pin(session)), turn, outgoing, end: None }
    }

    /// What comes next, prefixes and all, in whole messages; at the end, how it ended, once.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if let Some(session) = &mut self.session {
            self.turn.body.register(cx.waker());
            if self.turn.wanted.swap(false, Ordering::AcqRel)
                && let Poll::Ready(status) = session.as_mut().poll(&mut Context::from_waker(&waker_ref(&self.turn)))
            {
                (self.session, self.end) = (None, Some(status));
            }
        }
        if let Some((messages, blocked)) = self.outgoing.take() {
            if blocked {
                self.turn.wanted.store(true, Ordering::Release);
            }
            return Poll::Ready(Some(Ok(messages)));
        }
        if self.session.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(self.end.take().map(Err))
    }
}

impl http_body::Body for Talk {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.poll_next(cx).map(|next| {
            next.map(|next| match next {
                Ok(messages) => Ok(Frame::data(messages)),
                Err(status) => Ok(Frame::trailers(trailers(status))),
            })
        })
    }
}

fn trailers(status: Status) -> HeaderMap {
    let mut trailers = ok();
    if status.code() != tonic::Code::Ok {
        trailers.clear();
        if let Err(error) = status.add_header(&mut trailers) {
            tracing::warn!(%error, "a status cannot be said in trailers");
            trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("13"));
        }
    }
    trailers
}

/// The messages of a caller.
pub struct Messages<Q> {
    body: Incoming,
    buffer: BytesMut,
    bytes_max: usize,
    kind: std::marker::PhantomData<fn() -> Q>,
}

impl<Q: Message + Default> Messages<Q> {
    fn new(body: Incoming, bytes_max: usize) -> Self {
        Self { body, buffer: BytesMut::new(), bytes_max, kind: std::marker::PhantomData }
    }

    /// The next message; none at the stream's end. Can be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<Q>, Status> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Q>, Status>> {
        loop {
            if let Some(message) = self.ready()? {
                return Poll::Ready(Ok(Some(message)));
            }
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => return Poll::Ready(Err(Status::from_error(error.into()))),
                None if self.buffer.is_empty() => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(Err(Status::internal("Unexpected EOF decoding stream."))),
            }
        }
    }

    /// A message that is there already.
    pub fn ready(&mut self) -> Result<Option<Q>, Status> {
        match split(&mut self.buffer, self.bytes_max)? {
            Some(message) => decode(message).map(Some),
            None => Ok(None),
        }
    }

    /// The one message of a call that has one.
    async fn only(&mut self) -> Result<Q, Status> {
        let Some(message) = self.next().await? else { return Err(Status::internal("Missing request message.")) };
        while !self.body.is_end_stream() {
            match self.body.frame().await {
                None => break,
                Some(Err(error)) => return Err(Status::from_error(error.into())),
                Some(Ok(frame)) if frame.data_ref().is_none_or(Bytes::is_empty) => {}
                Some(Ok(_)) => return Err(Status::internal("More than one request message.")),
            }
        }
        Ok(message)
    }
}

impl<Q: Message + Default> Stream for Messages<Q> {
    type Item = Result<Q, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Q, Status>>> {
        self.poll_message(cx).map(Result::transpose)
    }
}

fn decode<Q: Message + Default>(message: Bytes) -> Result<Q, Status> {
    Q::decode(message).map_err(|error| Status::internal(error.to_string()))
}

/// The refusal of a message of `len` bytes where `max` are taken, as grpc-go words it.
pub fn too_long(len: usize, max: usize) -> Status {
    Status::resource_exhausted(format!("grpc: received message larger than max ({len} vs. {max})"))
}

/// Cuts the first whole message off.
pub fn split(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, Status> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
    if prefix[0] != 0 {
        return Err(Status::unimplemented("compressed messages are not supported; send them as they are"));
    }
    let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if len > bytes_max {
        return Err(too_long(len, bytes_max));
    }
    if buffer.len() < PREFIX_LEN + len {
        return Ok(None);
    }
    buffer.advance(PREFIX_LEN);
    Ok(Some(buffer.split_to(len).freeze()))
}

#[cfg(test)]
mod tests;
