//! `keelctl port-forward`: local ports lead to a pod's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};
use futures::StreamExt;
use proto::keelson::api::v1::{
    PodRef, PortForwardClose, PortForwardData, PortForwardFrame, PortForwardOpen, port_forward_frame,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::logs::{pod_ref, pods_of};
use super::target::{Which, find};
use crate::cli::Global;
use crate::describe;
use crate::remote::Remote;
use crate::resource::Catalog;

/// Frames on their way, each way.
const FRAMES_MAX: usize = 64;
/// Bytes in one frame.
const FRAME_BYTES: usize = 32 << 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pod, or what has pods: pod/p, service/web, deployment/hello
    pub resource: String,
    /// Ports: LOCAL:REMOTE, PORT, :REMOTE (any local port)
    #[arg(required = true)]
    pub ports: Vec<String>,
    /// Listen on these addresses
    #[arg(long, default_value = "localhost", value_delimiter = ',')]
    pub address: Vec<String>,
    /// How long to wait for a pod that runs
    #[arg(long, default_value = "1m", value_name = "DURATION")]
    pub pod_running_timeout: String,
}

/// A local port and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    local: u16,
    remote: u16,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let (pod, service) = target(&remote, &catalog, global, &args).await?;
    let pairs = args.ports.iter().map(|text| pair(text, &pod, service.as_ref())).collect::<anyhow::Result<Vec<_>>>()?;
    let mut listeners = Vec::new();
    for pair in pairs {
        for address in &args.address {
            let hosts: &[&str] = if address == "localhost" { &["127.0.0.1", "::1"] } else { &[address.as_str()] };
            let mut port = pair.local;
            let mut bound = false;
            for host in hosts {
                match TcpListener::bind((*host, port)).await {
                    Ok(listener) => {
                        let local = listener.local_addr()?;
                        // The second address of localhost takes the same port as the first.
                        port = local.port();
                        crate::say!("Forwarding from {local} -> {}", pair.remote);
                        bound = true;
                        listeners.push((listener, pair.remote));
                    }
                    // A machine without IPv6 still has localhost.
                    Err(_) if bound => {}
                    Err(problem) => bail!(
                        "unable to listen on {host}:{port}: {problem}; choose another local port, for example :{}",
                        pair.remote
                    ),
                }
            }
        }
    }
    let (lost, mut ended) = mpsc::channel(1);
    let forward = Arc::new(Forward { remote, pod: pod_ref(&pod), next: AtomicU32::new(1), lost });
    let mut tasks = tokio::task::JoinSet::new();
    for (listener, port) in listeners {
        tasks.spawn(accept(listener, port, Arc::clone(&forward)));
    }
    let mut interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        Some(ended) = ended.recv() => bail!("lost connection to pod: {ended}"),
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = interrupted.recv() => Ok(()),
        Some(done) = tasks.join_next() => done.context("listening")?,
    }
}

async fn target(
    remote: &Remote,
    catalog: &Catalog,
    global: &Global,
    args: &Args,
) -> anyhow::Result<(Value, Option<Value>)> {
    let pods = catalog.of_kind("v1", "Pod")?;
    let word = &args.resource;
    let mut service = None;
    if word.contains('/') {
        let words = [word.clone()];
        let target =
            find(remote, catalog, global, &Which { words: &words, ..Which::default() }).await?.into_iter().next();
        service = target.filter(|target| target.resource.kind == "Service").map(|target| target.object);
    }
    let wait = crate::duration::parse(&args.pod_running_timeout)?;
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let pod = pods_of(remote, catalog, global, pods, word, false).await?.remove(0);
        let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
        match phase {
            "Running" => return Ok((pod, service)),
            "Succeeded" | "Failed" => bail!(
                "unable to forward port because pod {} is not running. Current status={phase}",
                describe::name(&pod)
            ),
            _ if tokio::time::Instant::now() >= deadline => bail!(
                "pod {} does not run yet (it is {phase}); `keelctl why pod {}` says why",
                describe::name(&pod),
                describe::name(&pod)
            ),
            _ => tokio::time::sleep(std::time::Duration::from_millis(250)).await,
        }
    }
}

/// `8080:80`, `80`, `:80`; a service's port becomes the pod's.
fn pair(text: &str, pod: &Value, service: Option<&Value>) -> anyhow::Result<Pair> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let remote_port = match (remote.parse::<u16>(), service) {
        (Ok(0), _) => bail!("remote port must be > 0"),
        (Ok(port), None) => port,
        (number, Some(service)) => service_port(number.ok(), remote, pod, service)?,
        (Err(_), None) => named(pod, remote)
            .with_context(|| format!("pod '{}' does not have a named port '{remote}'", describe::name(pod)))?,
    };
    let local = match local {
        "" => 0,
        local if text.contains(':') => local.parse().with_context(|| format!("error parsing local port '{local}'"))?,
        // A name or a service's port alone: the local port is the number that was asked for.
        local => local.parse().unwrap_or(remote_port),
    };
    Ok(Pair { local, remote: remote_port })
}

fn service_port(number: Option<u16>, word: &str, pod: &Value, service: &Value) -> anyhow::Result<u16> {
    let ports = describe::list_at(service, "/spec/ports");
    let is = |port: &&Value| match number {
        Some(number) => describe::int_at(port, "/port") == i64::from(number),
        None => describe::str_at(port, "/name") == Some(word),
    };
    let port = ports
        .iter()
        .find(is)
        .with_context(|| format!("Service {} does not have a service port {word}", describe::name(service)))?;
    if describe::str_at(service, "/spec/clusterIP") == Some("None") && number.is_some() {
        return number.context("a number");
    }
    match port.get("targetPort") {
        Some(Value::String(name)) => named(pod, name)
            .with_context(|| format!("pod '{}' does not have a named port '{name}'", describe::name(pod))),
        Some(target) if target.as_u64().is_some_and(|target| target > 0) => {
            Ok(u16::try_from(target.as_u64().unwrap_or_default())?)
        }
        _ => Ok(u16::try_from(describe::int_at(port, "/port"))?),
    }
}

fn named(pod: &Value, name: &str) -> Option<u16> {
    let containers =
        describe::list_at(pod, "/spec/containers").iter().chain(describe::list_at(pod, "/spec/initContainers"));
    let port = containers
        .flat_map(|container| describe::list_at(container, "/ports"))
        .find(|port| describe::str_at(port, "/name") == Some(name))?;
    u16::try_from(describe::int_at(port, "/containerPort")).ok()
}

/// Connections to one pod. Each is a call of its own, so that one whose reader stalls holds up no other.
struct Forward {
    remote: Remote,
    pod: PodRef,
    next: AtomicU32,
    lost: mpsc::Sender<String>,
}

impl Forward {
    async fn carry(&self, stream: TcpStream, port: u16) {
        crate::say!("Handling connection for {port}");
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        let (frames, queue) = mpsc::channel(FRAMES_MAX);
        let open = PortForwardOpen { pod: Some(self.pod.clone()), connection, port: port.into() };
        // The queue is empty, so this waits for nothing.
        let _ = frames.send(frame(port_forward_frame::Frame::Open(open))).await;
        let (reader, writer) = stream.into_split();
        let up = async {
            send(reader, &frames, connection).await;
            // The other side may still answer.
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = receive(&self.remote, queue, writer, port) => ended,
            () = up => Ok(()),
        };
        if let Err(problem) = ended {
            let _ = self.lost.try_send(crate::error::text(&problem));
        }
    }
}

fn frame(frame: port_forward_frame::Frame) -> PortForwardFrame {
    PortForwardFrame { frame: Some(frame) }
}

/// What the local side says, until it has said all.
async fn send(mut reader: OwnedReadHalf, frames: &mpsc::Sender<PortForwardFrame>, connection: u32) {
    let mut buffer = vec![0; FRAME_BYTES];
    while let Ok(read @ 1..) = reader.read(&mut buffer).await {
        let data = PortForwardData { connection, data: buffer[..read].to_vec().into() };
        if frames.send(frame(port_forward_frame::Frame::Data(data))).await.is_err() {
            return;
        }
    }
    let close = PortForwardClose { connection, error: String::new() };
    let _ = frames.send(frame(port_forward_frame::Frame::Close(close))).await;
}

/// What the pod says, until it has said all or nobody listens. An error: the pod cannot be reached any more.
async fn receive(
    remote: &Remote,
    queue: mpsc::Receiver<PortForwardFrame>,
    mut writer: OwnedWriteHalf,
    port: u16,
) -> anyhow::Result<()> {
    let answer = remote.streams().port_forward(ReceiverStream::new(queue)).await;
    let mut frames = answer.map_err(|status| remote.failed(status))?.into_inner();
    while let Some(frame) = frames.next().await {
        match frame.map_err(|status| remote.failed(status))?.frame {
            Some(port_forward_frame::Frame::Data(data)) => {
                let written = writer.write_all(&data.data).await;
                if written.is_err() {
                    return Ok(());
                }
            }
            Some(port_forward_frame::Frame::Close(close)) => {
                if !close.error.is_empty() {
                    crate::complain!("an error occurred forwarding {port}: {}", close.error);
                }
                break;
            }
            _ => {}
        }
    }
    let _ = writer.shutdown().await;
    Ok(())
}

async fn accept(listener: TcpListener, port: u16, forward: Arc<Forward>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let forward = Arc::clone(&forward);
        tokio::spawn(async move { forward.carry(stream, port).await });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_read_in_every_form() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]}});
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"port": 81, "targetPort": 9090}]}});
        let read = |text: &str, service| {
            pair(text, &pod, service).map(|pair| (pair.local, pair.remote)).map_err(|error| error.to_string())
        };
        assert_eq!(read("8000:80", None), Ok((8000, 80)));
        assert_eq!(read("80", None), Ok((80, 80)));
        assert_eq!(read(":80", None), Ok((0, 80)));
        assert_eq!(read("5000:web", None), Ok((5000, 8080)));
        assert_eq!(read("5000:80", Some(&service)), Ok((5000, 8080)));
        assert_eq!(read("81", Some(&service)), Ok((81, 9090)));
        assert_eq!(read(":http", Some(&service)), Ok((0, 8080)));
        assert_eq!(read("82", Some(&service)), Err("Service s does not have a service port 82".to_owned()));
        assert!(read("x:y", None).is_err() && read("1:0", None).is_err());
    }
}
