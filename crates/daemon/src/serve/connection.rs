//! One connection: handshake, identity of the caller, requests, orderly end.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::UPGRADE;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Connection;
use super::router::Router;
use super::together::{Holding, Running};
use super::upgrades::Upgrades;
use crate::tls::{FrontProxy, Peer, ServerIdentity};

/// First byte of every TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// What a caller reads who speaks HTTP to a TLS port.
const PLAIN_ON_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// What a refused caller may still send before it has read why, and how long it may take.
const REFUSED_BYTES_MAX: u64 = 64 << 10;
const REFUSED_TIMEOUT: Duration = Duration::from_secs(1);
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;
/// Calls that a caller gives up before they were begun here. A process of many clients may lose them all at once; with h2's 20
/// the connection ended then, and with it the calls of all others on it.
const H2_GIVEN_UP_MAX: usize = 4096;

/// What every connection of a listener shares.
pub struct Context {
    pub router: Arc<Router>,
    pub header_timeout: Duration,
    pub handshake_timeout: Duration,
    pub streams_max: u32,
    pub together: bool,
    /// Zero: never.
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    pub drain: CancellationToken,
}

/// Serves a connection until it ends.
pub async fn run(
    stream: TcpStream,
    from: Connection,
    identity: Option<Arc<ServerIdentity>>,
    context: Arc<Context>,
    upgrades: Upgrades,
) {
    let Some(identity) = identity else {
        return requests(stream, from, (None, None), context, upgrades).await;
    };
    match tokio::time::timeout(context.handshake_timeout, handshake(stream, identity.config())).await {
        Err(_) => tracing::debug!(remote = %from.remote, "no TLS handshake in time"),
        Ok(Err(error)) => tracing::debug!(remote = %from.remote, "TLS handshake failed: {error}"),
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let who = identity.who(certificates);
            requests(stream, from, who, context, upgrades).await;
        }
    }
}

async fn handshake(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() && first[0] != TLS_HANDSHAKE {
        stream.write_all(PLAIN_ON_TLS).await?;
        stream.shutdown().await?;
        return Err(std::io::Error::other("plain HTTP on a TLS port"));
    }
    match TlsAcceptor::from(config).accept(stream).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, stream)) => {
            end_politely(stream).await;
            Err(error)
        }
    }
}

/// Lets a caller read why it was refused: closed at once, a connection with unread bytes is reset, and the reason lost.
async fn end_politely(mut stream: TcpStream) {
    let reading = async {
        stream.shutdown().await?;
        let mut unread = stream.take(REFUSED_BYTES_MAX);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
    };
    let _gone = tokio::time::timeout(REFUSED_TIMEOUT, reading).await;
}

async fn requests<S>(
    stream: S,
    from: Connection,
    (peer, front): (Option<Peer>, Option<FrontProxy>),
    context: Arc<Context>,
    upgrades: Upgrades,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = context.router.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(from);
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        if let Some(front) = &front {
            request.extensions_mut().insert(front.clone());
        }
        if request.headers().contains_key(UPGRADE) {
            request.extensions_mut().insert(upgrades.clone());
        }
        let router = router.clone();
        async move { router.answer(request).await }
    });
    if context.together {
        let mut running = Running::default();
        let stream = Holding::new(stream);
        let held = stream.held();
        let builder = builder(running.executor(), &context);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut draining = false;
        loop {
            tokio::select! {
                ended = std::future::poll_fn(|cx| running.poll(connection.as_mut(), &held, cx)) => return tell(&from, ended),
                () = context.drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
    let builder = builder(TokioExecutor::new(), &context);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut draining = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return tell(&from, ended),
            () = context.drain.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn tell<E: std::fmt::Display>(from: &Connection, ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(remote = %from.remote, "connection ended: {error}");
    }
}

fn builder<E>(executor: E, context: &Context) -> auto::Builder<E> {
    let mut builder = auto::Builder::new(executor);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(context.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(context.streams_max)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(H2_GIVEN_UP_MAX)
        .keep_alive_interval((!context.keepalive_interval.is_zero()).then_some(context.keepalive_interval))
        .keep_alive_timeout(context.keepalive_timeout);
    builder
}
