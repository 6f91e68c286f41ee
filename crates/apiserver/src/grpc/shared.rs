//! Watches whose events are encoded once and shared by all watchers.
//!
//! The generated service would encode every event anew for every watcher. This one stands before it: it answers
//! `Watch` itself, with chunks put together from events that are bytes already, and hands every other call on.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use prost::Message;
use proto::keelson::api::v1::WatchRequest;
use proto::keelson::api::v1::resources_server::ResourcesServer;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc as Call, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};
use tower_service::Service;

use super::Grpc;

const WATCH: &str = "/keelson.api.v1.Resources/Watch";

/// The events of one chunk, each an encoded field of it.
#[derive(Debug, Default)]
pub struct RawChunk {
    /// Encoded `events` fields, key and length included.
    pub parts: Vec<Bytes>,
}

impl RawChunk {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }
}

/// `keelson.api.v1.Resources`, with shared watches.
#[derive(Debug, Clone)]
pub struct SharedResources {
    door: Grpc,
    request_bytes_max: usize,
    rest: ResourcesServer<Grpc>,
}

impl SharedResources {
    /// Stands before the generated service.
    pub fn new(door: Grpc, request_bytes_max: usize) -> Self {
        let rest = ResourcesServer::new(door.clone())
            .max_decoding_message_size(request_bytes_max)
            .max_encoding_message_size(usize::MAX);
        Self { door, request_bytes_max, rest }
    }
}

impl NamedService for SharedResources {
    const NAME: &'static str = <ResourcesServer<Grpc> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for SharedResources {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != WATCH {
            return self.rest.call(request);
        }
        let (door, max) = (self.door.clone(), self.request_bytes_max);
        Box::pin(async move {
            let mut call = Call::new(RawCodec).max_decoding_message_size(max);
            Ok(call.server_streaming(Watch(door), request).await)
        })
    }
}

struct Watch(Grpc);

impl ServerStreamingService<WatchRequest> for Watch {
    type Response = RawChunk;
    type ResponseStream = BoxStream<'static, Result<RawChunk, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<WatchRequest>) -> Self::Future {
        let door = self.0.clone();
        Box::pin(async move { Ok(Response::new(door.watch_raw(request).await?.boxed())) })
    }
}

/// Reads messages, writes bytes.
#[derive(Debug, Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = RawChunk;
    type Decode = WatchRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = RawChunk;
    type Error = Status;

    fn encode(&mut self, chunk: RawChunk, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(chunk.len());
        for part in chunk.parts {
            bytes::BufMut::put(into, part);
        }
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for RawCodec {
    type Item = WatchRequest;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<WatchRequest>, Status> {
        WatchRequest::decode(from)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("malformed request: {error}")))
    }
}

/// A message as a field of the message around it.
pub fn field<M: Message>(number: u32, message: &M) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.encoded_len() + 8);
    prost::encoding::message::encode(number, message, &mut bytes);
    bytes.freeze()
}
