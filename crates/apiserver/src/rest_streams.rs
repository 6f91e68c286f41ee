//! The streams of the REST API: `pods/exec`, `pods/attach`, `pods/portforward` and `pods/log`.
//!
//! [`exec`] and [`port_forward`] answer an upgrade and leave a session behind that lives as long as its connection.
//! [`negotiate`] chooses what is spoken: a WebSocket with numbered channels ([`channel`]), SPDY/3.1 ([`spdy`]), or SPDY
//! in the messages of a WebSocket. The session translates it to the kubelet's gRPC calls ([`exec`](mod@self::exec),
//! [`connections`]). Whoever calls these functions has authenticated and authorized the caller before.

mod channel;
mod connections;
mod drive;
mod exec;
mod forward;
#[cfg(test)]
mod fuzz;
mod log_options;
mod logs;
mod negotiate;
pub(crate) mod options;
mod resize;
mod spdy;
mod status;
mod websocket;

use daemon::serve::{Body, Upgrades};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use proto::core::v1::Pod;
use proto::keelson::api::v1::{ExecStart, PodRef};
use proto::keelson::node::v1::node_client::NodeClient;
use tonic::transport::Channel;

use crate::metrics::Running;
use crate::relay;
use crate::server::Server;
use crate::status::{Failure, Result};
use connections::Forward;
use exec::Exec;
use negotiate::{Asked, ForwardProtocol};

pub use log_options::parse as log_options;
pub use logs::logs;
pub use negotiate::websocket_bearer;
pub use options::Kind;

/// Answers `pods/exec` or `pods/attach` by a session with a container; `running` is held until its end.
///
/// # Errors
/// The pod, its container or its node is not there; the options make no sense; no upgrade is asked for. Mistakes of the
/// upgrade itself are answered in plain text, as upstream answers them; what the kubelet refuses, in the session.
pub async fn exec(
    server: &Server,
    mut request: Request<Incoming>,
    kind: Kind,
    pod: PodRef,
    running: Running,
) -> Result<Response<Body>> {
    let start = options::exec(kind, pod.clone(), request.uri().query().unwrap_or_default());
    let exec = place_exec(server, kind, &pod, start).await?;
    let asked = match negotiate::asked(&request) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(*refusal),
    };
    let upgrades = upgrades(&request)?;
    let connection = hyper::upgrade::on(&mut request);
    match asked {
        Asked::WebSocket { accept, protocols } => {
            let Some(protocol) = negotiate::choose(&protocols, &negotiate::EXEC_WEBSOCKET) else {
                return Ok(negotiate::no_protocol(&protocols, &negotiate::EXEC_WEBSOCKET));
            };
            spawn(&upgrades, running, connection, move |connection| exec::websocket::run(connection, protocol, exec));
            Ok(negotiate::websocket(&accept, protocol.name))
        }
        Asked::Spdy { protocols } => {
            let Some(protocol) = negotiate::choose(&protocols, &negotiate::EXEC_SPDY) else {
                return Ok(negotiate::no_protocol(&protocols, &negotiate::EXEC_SPDY));
            };
            spawn(&upgrades, running, connection, move |connection| {
                let (chunks, pieces) = spdy::over(TokioIo::new(connection));
                exec::spdy::run(chunks, pieces, protocol, exec)
            });
            Ok(negotiate::spdy(protocol.name))
        }
        Asked::Nothing => Err(upgrade_required()),
    }
}

/// Answers `pods/portforward` by a session with the pod's ports; `running` is held until its end.
///
/// # Errors
/// As those of [`exec`]. A port that cannot be reached is told in the session.
pub async fn port_forward(
    server: &Server,
    mut request: Request<Incoming>,
    pod: PodRef,
    running: Running,
) -> Result<Response<Body>> {
    let object = relay::pod(server, &pod).await?;
    let kubelet = kubelet(server, &object).await?;
    let forward = Forward { pod: PodRef { uid: object.metadata.uid.clone(), ..pod }, kubelet };
    let asked = match negotiate::asked(&request) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(*refusal),
    };
    let upgrades = upgrades(&request)?;
    let connection = hyper::upgrade::on(&mut request);
    let spdy_over = |connection| spdy::over(TokioIo::new(connection));
    match asked {
        Asked::WebSocket { accept, protocols } => {
            let Some((name, protocol)) = negotiate::choose(&protocols, &negotiate::FORWARD_WEBSOCKET) else {
                return Ok(negotiate::no_protocol(&protocols, &negotiate::FORWARD_WEBSOCKET));
            };
            match *protocol {
                ForwardProtocol::Channels(codec) => {
                    let ports = options::ports(request.uri().query().unwrap_or_default())?;
                    let run = move |connection| forward::channels::run(connection, codec, forward, ports);
                    spawn(&upgrades, running, connection, run);
                }
                ForwardProtocol::Tunnel | ForwardProtocol::Spdy => {
                    spawn(&upgrades, running, connection, move |connection| async move {
                        let (chunks, pieces) = websocket::tunnel(websocket::over(connection).await);
                        forward::spdy::run(chunks, pieces, forward).await;
                    });
                }
            }
            Ok(negotiate::websocket(&accept, name))
        }
        Asked::Spdy { protocols } => {
            let Some((name, _)) = negotiate::choose(&protocols, &negotiate::FORWARD_SPDY) else {
                return Ok(negotiate::no_protocol(&protocols, &negotiate::FORWARD_SPDY));
            };
            spawn(&upgrades, running, connection, move |connection| {
                let (chunks, pieces) = spdy_over(connection);
                forward::spdy::run(chunks, pieces, forward)
            });
            Ok(negotiate::spdy(name))
        }
        Asked::Nothing => Err(upgrade_required()),
    }
}

/// Finds where an exec runs, in upstream's order of refusals.
async fn place_exec(server: &Server, kind: Kind, pod: &PodRef, mut start: ExecStart) -> Result<Exec> {
    let object = relay::pod(server, pod).await?;
    start.container = relay::container(&object, &start.container)?;
    let kubelet = kubelet(server, &object).await?;
    relay::check_not_completed(&object, kind.name())?;
    options::check(kind, &start)?;
    start.pod = Some(PodRef { uid: object.metadata.uid.clone(), ..pod.clone() });
    Ok(Exec { kind, kubelet, start })
}

/// The kubelet of a pod. That its node is not there is told as upstream tells it: of a pod with the node's name.
async fn kubelet(server: &Server, pod: &Pod) -> Result<NodeClient<Channel>> {
    match relay::kubelet(server, pod).await {
        Err(failure) if failure.is_not_found() => Err(Failure::not_found("", "pods", &pod.spec.node_name)),
        found => found,
    }
}

fn upgrade_required() -> Failure {
    Failure::bad_request("Upgrade request required")
}

/// What an upgraded connection is held by.
fn upgrades(request: &Request<Incoming>) -> Result<Upgrades> {
    request.extensions().get::<Upgrades>().cloned().ok_or_else(upgrade_required)
}

/// Runs a session once the answer is sent, as long as its connection may live.
fn spawn<S>(
    upgrades: &Upgrades,
    running: Running,
    connection: hyper::upgrade::OnUpgrade,
    session: impl FnOnce(Upgraded) -> S + Send + 'static,
) where
    S: Future<Output = ()> + Send + 'static,
{
    upgrades.spawn(async move {
        match connection.await {
            Ok(connection) => session(connection).await,
            Err(error) => tracing::debug!("a connection was not upgraded: {error}"),
        }
        drop(running);
    });
}
