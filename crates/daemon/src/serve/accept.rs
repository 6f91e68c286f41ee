//! Accepts connections, bounded, and ends them at shutdown.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Context};
use super::lane::{Lane, Place};
use super::router::Router;
use super::{Connection, Limits};
use crate::tls::ServerIdentity;

/// Rest after accept failed for lack of something (descriptors, memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A connection on which nothing came for so long is asked whether the caller is still there, then so often. A stream over
/// HTTP/1.1 (a watch, an exec) would outlive a caller that lost its power.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Warn when a certificate has less left.
const EXPIRY_WARNING_S: i64 = 7 * 24 * 3600;

/// Runs until shutdown, then drains.
pub async fn run(
    listener: TcpListener,
    identity: Option<Arc<ServerIdentity>>,
    router: Arc<Router>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let abort = CancellationToken::new();
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let tasks = TaskTracker::new();
    let context = Arc::new(Context { router, limits: limits.clone(), tasks: tasks.clone(), drain: shutdown.clone() });
    // Without TLS nobody shows who it is.
    let mut lane = limits.lane.filter(|_| identity.is_some()).map(Lane::new);
    let mut reload = tokio::time::interval(limits.reload_interval);
    reload.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let waited_for = match lane {
            Some(_) => None,
            None => tokio::select! {
                () = shutdown.cancelled() => break,
                permit = slots.clone().acquire_owned() => Some(permit.expect("the semaphore is never closed")),
            },
        };
        let accepted = loop {
            tokio::select! {
                () = shutdown.cancelled() => break None,
                accepted = listener.accept() => break Some(accepted),
                _ = reload.tick(), if identity.is_some() => reload_identity(identity.as_deref()),
            }
        };
        let Some(accepted) = accepted else { break };
        match accepted.and_then(|(stream, _)| prepare(stream, identity.is_some())) {
            Ok((stream, from)) => {
                let context = context.clone();
                let identity = identity.clone();
                let place = match (waited_for.or_else(|| slots.clone().try_acquire_owned().ok()), &mut lane) {
                    (Some(permit), _) => Place::Taken(permit),
                    (None, Some(lane)) => lane.place(),
                    (None, None) => continue,
                };
                let abort = abort.child_token();
                tasks.spawn(async move {
                    tokio::select! {
                        () = connection::run(stream, from, identity, context, place, abort.clone()) => {}
                        () = abort.cancelled() => {}
                    }
                });
            }
            Err(error) => accept_failed(error).await,
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain_timeout, tasks.wait()).await.is_err() {
        tracing::info!(connections = tasks.len(), "ending calls that outlived the drain deadline");
        abort.cancel();
        tasks.wait().await;
    }
}

fn prepare(stream: TcpStream, tls: bool) -> io::Result<(TcpStream, Connection)> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let from = Connection { remote: stream.peer_addr()?, local: stream.local_addr()?, tls };
    Ok((stream, from))
}

async fn accept_failed(error: io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {}
        _ => {
            tracing::warn!("accepting a connection failed: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn reload_identity(identity: Option<&ServerIdentity>) {
    let Some(identity) = identity else { return };
    match identity.reload_if_changed() {
        Ok(true) => tracing::info!(subject = identity.expiry().subject, "serving with a renewed certificate"),
        Ok(false) => {}
        Err(error) => tracing::warn!("keeping the certificate that was loaded before: {error}"),
    }
    let expiry = identity.expiry();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let left_s = expiry.not_after_s - now;
    if left_s < EXPIRY_WARNING_S && identity.may_warn() {
        let (subject, file) = (&expiry.subject, identity.certificate().display());
        tracing::warn!(
            subject,
            %file,
            "the certificate served here {} on {}; write a new one there, it is taken up without a restart",
            if left_s < 0 { "expired" } else { "expires" },
            crate::tls::date(expiry.not_after_s),
        );
    }
}
