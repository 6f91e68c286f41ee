//! One connection: handshake, identity of the caller, requests, orderly end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::UPGRADE;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hangup::Hangup;
use super::idle::{Activity, until_sent};
use super::lane::Place;
use super::router::Router;
use super::together::{Holding, Running};
use super::upgrades::Upgrades;
use super::{Connection, Limits};
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

/// What was sent and is not acknowledged for so long will not be.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(60);

/// What every connection of a listener shares.
pub struct Context {
    pub router: Arc<Router>,
    pub limits: Limits,
    pub tasks: TaskTracker,
    pub drain: CancellationToken,
}

/// Serves a connection until it ends, or `abort` ends it.
pub async fn run(
    stream: TcpStream,
    from: Connection,
    identity: Option<Arc<ServerIdentity>>,
    context: Arc<Context>,
    place: Place,
    abort: CancellationToken,
) {
    let upgrades = |place| Upgrades::new(context.tasks.clone(), abort.clone(), place);
    let Some(identity) = identity else {
        let Some(place) = place.of(None) else { return };
        let upgrades = upgrades(place);
        return requests(stream, from, (None, None), context, upgrades, abort).await;
    };
    let over = place.over();
    let shaken = tokio::select! {
        () = over.cancelled() => return,
        shaken = tokio::time::timeout(context.limits.handshake_timeout, handshake(stream, identity.config())) => shaken,
    };
    match shaken {
        Err(_) => tracing::debug!(remote = %from.remote, "no TLS handshake in time"),
        Ok(Err(error)) => tracing::debug!(remote = %from.remote, "TLS handshake failed: {error}"),
        Ok(Ok(stream)) => {
            let (socket, tls) = stream.get_ref();
            if tls.alpn_protocol() == Some(b"h2") {
                give_up_on_the_lost(socket);
            }
            let certificates = tls.peer_certificates().unwrap_or_default();
            let who = identity.who(certificates);
            let Some(place) = place.of(who.0.as_ref()) else {
                return tracing::debug!(remote = %from.remote, "too many connections");
            };
            let upgrades = upgrades(place);
            requests(stream, from, who, context, upgrades, abort).await;
        }
    }
}

/// A caller that lost its power acknowledges nothing: what it is sent would be tried for a quarter of an hour. Only for HTTP/2,
/// whose callers always read; over HTTP/1.1 a session may stand still while somebody looks at it.
fn give_up_on_the_lost(socket: &TcpStream) {
    if let Err(error) = SockRef::from(socket).set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT)) {
        tracing::debug!("a connection keeps the system's time for lost callers: {error}");
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
    abort: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = context.router.clone();
    let idle_timeout = context.limits.idle_timeout;
    let activity = (!idle_timeout.is_zero()).then(Activity::new);
    let hangup = Hangup::new(abort);
    let seen = activity.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(from);
        request.extensions_mut().insert(hangup.clone());
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
        let active = seen.as_ref().map(Activity::begin);
        async move {
            let answer = router.answer(request).await?;
            Ok::<_, Infallible>(match active {
                Some(active) => until_sent(answer, active),
                None => answer,
            })
        }
    });
    if context.limits.together {
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
    let mut ending = false;
    let mut left = idle_timeout;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return tell(&from, ended),
            () = context.drain.cancelled(), if !ending => {}
            () = tokio::time::sleep(left), if !ending && activity.is_some() => {
                let idle = activity.as_ref().map_or(Duration::ZERO, |activity| activity.idle_for());
                left = idle_timeout.saturating_sub(idle);
                if !left.is_zero() {
                    continue;
                }
            }
        }
        ending = true;
        connection.as_mut().graceful_shutdown();
    }
}

fn tell<E: std::fmt::Display>(from: &Connection, ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(remote = %from.remote, "connection ended: {error}");
    }
}

fn builder<E>(executor: E, context: &Context) -> auto::Builder<E> {
    let limits = &context.limits;
    let mut builder = auto::Builder::new(executor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.head_bytes_max + limits.send_buffer_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(H2_GIVEN_UP_MAX)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(limits.send_buffer_bytes)
        .keep_alive_interval((!limits.keepalive_interval.is_zero()).then_some(limits.keepalive_interval))
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}
