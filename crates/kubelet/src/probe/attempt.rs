//! One try of a probe or hook.

use std::net::IpAddr;
use std::time::Duration;

use proto::IntOrString;
use proto::core::v1::{Container, ExecAction, HttpGetAction, LifecycleHandler, ProbeHandler, TcpSocketAction};

use super::{grpc, http};
use crate::exec;
use crate::node_context::Node;
use crate::paths::PodPaths;
use crate::runtime::spec::Process;

/// The container that is asked.
#[derive(Clone)]
pub struct Target {
    pub paths: PodPaths,
    pub container: Container,
    pub container_id: String,
    pub ip: IpAddr,
    /// The container's own process: its user, environment and folder.
    pub process: Process,
}

/// What a try of a probe says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// No, and why.
    No(String),
    /// The probe itself could not be run: that says nothing about the container.
    Unknown(String),
}

/// Why a hook did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookError {
    /// It ran, and failed.
    Failed(String),
    /// containerd does not answer: it may not have run, and can be tried again.
    Unavailable(String),
}

/// Tries a probe once.
pub async fn probe(node: &Node, target: &Target, handler: &ProbeHandler, timeout: Duration) -> Answer {
    if let Some(action) = &handler.exec {
        return match run(node, target, action, Some(timeout)).await {
            Ok(ended) if ended.code == Some(0) => Answer::Yes,
            Ok(ended) if ended.code.is_none() => Answer::No(format!(
                "command timed out: \"{}\" timed out after {}s",
                action.command.join(" "),
                timeout.as_secs()
            )),
            Ok(ended) => Answer::No(ended.output),
            Err(error) => Answer::Unknown(crate::images::chain(&error)),
        };
    }
    if let Some(action) = &handler.http_get {
        return match http_get(target, action, timeout).await {
            Ok((code, _)) if (200..400).contains(&code) => Answer::Yes,
            Ok((code, _)) => Answer::No(format!("HTTP probe failed with statuscode: {code}")),
            Err(message) => Answer::No(message),
        };
    }
    if let Some(action) = &handler.tcp_socket {
        return tcp(target, action, timeout).await;
    }
    if let Some(action) = &handler.grpc {
        let service = action.service.as_deref().unwrap_or("");
        let port = u16::try_from(action.port).unwrap_or(0);
        return match grpc::check(target.ip, port, service, timeout).await {
            Ok(()) => Answer::Yes,
            Err(message) => Answer::No(message),
        };
    }
    Answer::Yes
}

/// Runs a post-start or pre-stop hook. `what` and `pod` name it in the error.
pub async fn hook(node: &Node, target: &Target, handler: &LifecycleHandler, pod: &str) -> Result<(), HookError> {
    let name = &target.container.name;
    if let Some(action) = &handler.exec {
        let failed = |why: String| {
            HookError::Failed(format!(
                "Exec lifecycle hook ([{}]) for Container \"{name}\" in Pod \"{pod}\" failed - error: {why}",
                action.command.join(" ")
            ))
        };
        return match run(node, target, action, None).await {
            Ok(ended) if ended.code == Some(0) => Ok(()),
            Ok(ended) => {
                let code = ended.code.unwrap_or(-1);
                Err(failed(format!(
                    "command '{}' exited with {code}: , message: {:?}",
                    action.command.join(" "),
                    ended.output
                )))
            }
            Err(error) if error.is_unavailable() => Err(HookError::Unavailable(crate::images::chain(&error))),
            Err(error) => Err(failed(crate::images::chain(&error))),
        };
    }
    if let Some(action) = &handler.http_get {
        const HOOK_TIMEOUT: Duration = Duration::from_secs(30);
        let failed = |why: String| {
            let path = &action.path;
            HookError::Failed(format!(
                "HTTP lifecycle hook ({path}) for Container \"{name}\" in Pod \"{pod}\" failed - error: {why}"
            ))
        };
        return match http_get(target, action, HOOK_TIMEOUT).await {
            Ok((code, _)) if (200..400).contains(&code) => Ok(()),
            Ok((code, body)) => Err(failed(format!("status {code}, message: {body:?}"))),
            Err(message) => Err(failed(message)),
        };
    }
    if let Some(action) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(action.seconds.max(0) as u64)).await;
    }
    Ok(())
}

async fn run(
    node: &Node,
    target: &Target,
    action: &ExecAction,
    timeout: Option<Duration>,
) -> Result<exec::Ended, crate::runtime::Error> {
    let process = Process { args: action.command.clone(), terminal: false, ..target.process.clone() };
    exec::run(&node.containerd, &target.paths, &target.container_id, &process, timeout).await
}

async fn http_get(target: &Target, action: &HttpGetAction, timeout: Duration) -> Result<(u16, String), String> {
    let port = port(&target.container, &action.port)?;
    http::get(action, target.ip, port, timeout).await
}

async fn tcp(target: &Target, action: &TcpSocketAction, timeout: Duration) -> Answer {
    let port = match port(&target.container, &action.port) {
        Ok(port) => port,
        Err(message) => return Answer::No(message),
    };
    let host = if action.host.is_empty() { target.ip.to_string() } else { action.host.clone() };
    match tokio::time::timeout(timeout, tokio::net::TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Answer::Yes,
        Ok(Err(error)) => Answer::No(format!("dial tcp {host}:{port}: connect: {}", http::plain(&error))),
        Err(_) => Answer::No(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

/// A port by number, or by the name of one of the container's ports.
fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    const STRING: i64 = 1;
    let number = if port.r#type == STRING {
        let named = container.ports.iter().find(|other| other.name == port.str_val).map(|other| other.container_port);
        named.or_else(|| port.str_val.parse().ok()).ok_or_else(|| format!("couldn't find port: {}", port.str_val))?
    } else {
        port.int_val
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}
