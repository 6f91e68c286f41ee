//! Connections to pods: what they are opened with, as webhooks and policies see it.

use proto::core::v1::{PodAttachOptions, PodExecOptions, PodPortForwardOptions};
use proto::keelson::api::v1::{ExecStart, PodRef};
use proto::reflect::Reflect;
use serde_json::Value;

use super::Asking;
use super::attributes::{KindName, Operation, Options};
use crate::authenticate::User;
use crate::server::Server;
use crate::status::Result;
use crate::verbs::Target;

/// What somebody connects to a pod for.
#[derive(Debug, Clone, Copy)]
pub enum Connection<'a> {
    Exec(&'a ExecStart),
    Attach(&'a ExecStart),
    PortForward(&'a [u16]),
}

impl Connection<'_> {
    fn subresource(self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Attach(_) => "attach",
            Self::PortForward(_) => "portforward",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Exec(_) => "PodExecOptions",
            Self::Attach(_) => "PodAttachOptions",
            Self::PortForward(_) => "PodPortForwardOptions",
        }
    }

    fn to_json(self) -> Value {
        let options: Box<dyn Reflect> = match self {
            Self::Exec(start) => Box::new(PodExecOptions {
                stdin: start.stdin,
                stdout: start.stdout,
                stderr: start.stderr,
                tty: start.tty,
                container: start.container.clone(),
                command: start.command.clone(),
            }),
            Self::Attach(start) => Box::new(PodAttachOptions {
                stdin: start.stdin,
                stdout: start.stdout,
                stderr: start.stderr,
                tty: start.tty,
                container: start.container.clone(),
            }),
            Self::PortForward(ports) => {
                Box::new(PodPortForwardOptions { ports: ports.iter().map(|port| i32::from(*port)).collect() })
            }
        };
        let mut json = proto::json::dyn_to_value(options.as_ref());
        json["kind"] = self.kind().into();
        json["apiVersion"] = "v1".into();
        json
    }
}

/// Asks whether somebody may connect to the pod so.
pub async fn to_pod(
    server: &Server,
    user: &User,
    pod: &PodRef,
    connection: Connection<'_>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if server.others.is_nobody() {
        return Ok(());
    }
    let place = ("", "v1", "pods");
    let target = Target::resolve(&server.registry, place, &pod.namespace, &pod.name, connection.subresource())?;
    let asking = Asking { server, user, target: &target, operation: Operation::Connect, options: Options::None };
    let kind = KindName { group: "", version: "v1", kind: connection.kind() };
    asking.connect(kind, connection.to_json(), warnings).await
}

/// Asks whether somebody may send a request through a pod, a Service or a node. `name`: as the path has it, with scheme and
/// port; `path`: what is passed on.
pub async fn through(
    server: &Server,
    user: &User,
    (plural, namespace, name): (&str, &str, &str),
    path: &str,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if server.others.is_nobody() {
        return Ok(());
    }
    let kind = match plural {
        "pods" => "PodProxyOptions",
        "services" => "ServiceProxyOptions",
        _ => "NodeProxyOptions",
    };
    let target = Target::resolve(&server.registry, ("", "v1", plural), namespace, name, "proxy")?;
    let asking = Asking { server, user, target: &target, operation: Operation::Connect, options: Options::None };
    let mut shown = serde_json::json!({ "kind": kind, "apiVersion": "v1" });
    if !path.is_empty() {
        shown["path"] = path.into();
    }
    asking.connect(KindName { group: "", version: "v1", kind }, shown, warnings).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connection_is_shown_as_its_options() {
        let start = ExecStart { stdin: true, container: "c".into(), command: vec!["ls".into()], ..Default::default() };
        let shown = Connection::Exec(&start).to_json();
        assert_eq!((&shown["kind"], &shown["command"]), (&json!("PodExecOptions"), &json!(["ls"])));
        assert_eq!(Connection::PortForward(&[80]).to_json()["ports"], json!([80]));
        assert_eq!(Connection::Attach(&start).to_json()["stdin"], json!(true));
    }
}
