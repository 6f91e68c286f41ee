//! Logs, exec and port-forward, relayed to a kubelet that this test plays.

use std::net::Ipv4Addr;

use daemon::health::Health;
use daemon::metrics::Metrics;
use daemon::serve::Server;
use daemon::tls::{ClientCerts, Peer, ServerIdentity};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use proto::core::v1::{Binding, Node, NodeAddress, Pod, ServiceAccount};
use proto::keelson::api::v1::exec_input::Input;
use proto::keelson::api::v1::exec_output::Output;
use proto::keelson::api::v1::port_forward_frame::Frame;
use proto::keelson::api::v1::{
    ExecInput, ExecOutput, ExecStart, LogsChunk, LogsRequest, PodRef, PortForwardData, PortForwardFrame,
    PortForwardOpen,
};
use proto::keelson::node::v1::node_server::{Node as Kubelet, NodeServer};
use testkit::pki::Authority;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::harness::{Cluster, Engine, pod, service_account};
use crate::on_each_store;

on_each_store! {
    streams_reach_the_kubelet_of_the_pods_node
}

type Chunks<T> = BoxStream<'static, Result<T, Status>>;

/// Answers with what it was asked.
struct Echo;

#[tonic::async_trait]
impl Kubelet for Echo {
    type LogsStream = Chunks<LogsChunk>;
    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let caller = request.extensions().get::<Peer>().map(|peer| peer.common_name.clone()).unwrap_or_default();
        let asked = request.into_inner();
        let uid = asked.pod.map(|pod| pod.uid).unwrap_or_default();
        let text = format!("{caller} {} {}", asked.container, uid.len());
        Ok(Response::new(stream::iter([Ok(LogsChunk { data: text.into_bytes().into() })]).boxed()))
    }

    type ExecStream = Chunks<ExecOutput>;
    async fn exec(&self, request: Request<Streaming<ExecInput>>) -> Result<Response<Self::ExecStream>, Status> {
        let outputs = request.into_inner().map(|input| {
            let output = match input?.input {
                Some(Input::Start(start)) if start.command == ["fail"] => {
                    return Err(Status::not_found("no such command"));
                }
                Some(Input::Start(_)) => Output::Started(true),
                Some(Input::Stdin(bytes)) => Output::Stdout(bytes),
                _ => Output::ExitCode(7),
            };
            Ok(ExecOutput { output: Some(output) })
        });
        Ok(Response::new(outputs.boxed()))
    }

    type AttachStream = Chunks<ExecOutput>;
    async fn attach(&self, request: Request<Streaming<ExecInput>>) -> Result<Response<Self::AttachStream>, Status> {
        let outputs = request.into_inner().map(|input| {
            let output = match input?.input {
                Some(Input::Start(start)) => Output::Stderr(start.container.into_bytes().into()),
                Some(Input::Stdin(bytes)) => Output::Stdout(bytes),
                _ => Output::ExitCode(3),
            };
            Ok(ExecOutput { output: Some(output) })
        });
        Ok(Response::new(outputs.boxed()))
    }

    type PortForwardStream = Chunks<PortForwardFrame>;
    async fn port_forward(
        &self,
        request: Request<Streaming<PortForwardFrame>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        Ok(Response::new(request.into_inner().boxed()))
    }
}

async fn kubelet(cluster: &Cluster, stop: CancellationToken) -> i32 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let clients = ClientCerts::Required(cluster.pki.authority(Authority::Cluster));
    let (cert, key) = (cluster.pki.certificate("apiserver"), cluster.pki.key("apiserver"));
    let identity = ServerIdentity::load(cert, key, clients).expect("an identity");
    let routes = tonic::service::Routes::new(NodeServer::new(Echo));
    let server = Server::new(Health::new(), Metrics::new()).tls(identity).grpc(routes);
    tokio::spawn(server.serve(listener, stop));
    i32::from(port)
}

async fn streams_reach_the_kubelet_of_the_pods_node(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let stop = CancellationToken::new();
    let port = kubelet(&cluster, stop.clone()).await;
    let admin = cluster.client(&server, "admin");
    let mut node = Node::default();
    node.metadata.name = "n1".into();
    node.status.addresses = vec![NodeAddress { r#type: "InternalIP".into(), address: "127.0.0.1".into() }];
    node.status.daemon_endpoints.kubelet_endpoint.port = port;
    admin.api::<Node>().create(&node).await.expect("created");
    admin.api::<ServiceAccount>().create(&service_account("default", "default")).await.expect("created");
    let made = admin.api::<Pod>().create(&pod("default", "p")).await.expect("created");

    let named = PodRef { namespace: "default".into(), name: "p".into(), uid: String::new() };
    let logs = LogsRequest { pod: Some(named.clone()), ..Default::default() };
    let early = admin.streams().logs(logs.clone()).await.expect_err("on no node");
    assert!(early.message().contains("does not have a host assigned"), "{early}");
    let mut binding = Binding::default();
    binding.metadata.name = "p".into();
    binding.metadata.namespace = "default".into();
    binding.target.name = "n1".into();
    admin.api::<Pod>().create_subresource("default", "p", "binding", &binding).await.expect("bound");

    let mut chunks = admin.streams().logs(logs.clone()).await.expect("relayed").into_inner();
    let text = chunks.message().await.expect("a chunk").expect("one").data;
    let expect = format!("kubernetes-admin c {}", made.metadata.uid.len());
    assert_eq!(
        String::from_utf8_lossy(&text),
        expect,
        "the only container, the pod's uid, the apiserver's certificate"
    );

    let start = |command: &str| ExecInput {
        input: Some(Input::Start(ExecStart {
            pod: Some(named.clone()),
            command: vec![command.into()],
            ..Default::default()
        })),
    };
    let stdin = ExecInput { input: Some(Input::Stdin(b"hello".to_vec().into())) };
    let close = ExecInput { input: Some(Input::StdinClosed(true)) };
    let inputs = stream::iter([start("cat"), stdin, close]);
    let outputs = admin.streams().exec(inputs).await.expect("relayed").into_inner();
    let outputs: Vec<Output> =
        outputs.filter_map(|output| std::future::ready(output.ok().and_then(|it| it.output))).collect().await;
    assert_eq!(outputs, [Output::Started(true), Output::Stdout(b"hello".to_vec().into()), Output::ExitCode(7)]);
    let mut failing = admin.streams().exec(stream::iter([start("fail")])).await.expect("begun").into_inner();
    assert_eq!(failing.message().await.expect_err("the kubelet's own words").message(), "no such command");

    let inputs = stream::iter([
        ExecInput {
            input: Some(Input::Start(ExecStart { pod: Some(named.clone()), stdin: true, ..Default::default() })),
        },
        ExecInput { input: Some(Input::Stdin(b"hello".to_vec().into())) },
        ExecInput { input: Some(Input::StdinClosed(true)) },
    ]);
    let outputs = admin.streams().attach(inputs).await.expect("relayed").into_inner();
    let outputs: Vec<Output> =
        outputs.filter_map(|output| std::future::ready(output.ok().and_then(|it| it.output))).collect().await;
    let container = Output::Stderr(b"c".to_vec().into());
    assert_eq!(outputs, [container, Output::Stdout(b"hello".to_vec().into()), Output::ExitCode(3)]);

    let open = PortForwardOpen { pod: Some(named.clone()), port: 80, connection: 1 };
    let data = Frame::Data(PortForwardData { connection: 1, data: b"ping".to_vec().into() });
    let frames = [Frame::Open(open), data.clone()].map(|frame| PortForwardFrame { frame: Some(frame) });
    let echoed = admin.streams().port_forward(stream::iter(frames)).await.expect("relayed").into_inner();
    let echoed: Vec<Frame> =
        echoed.filter_map(|frame| std::future::ready(frame.ok().and_then(|it| it.frame))).collect().await;
    let Frame::Open(opened) = &echoed[0] else { panic!("{echoed:?}") };
    assert_eq!(opened.pod.as_ref().map(|pod| pod.uid.as_str()), Some(made.metadata.uid.as_str()));
    assert_eq!(echoed[1], data);
    let data = [PortForwardFrame { frame: Some(data) }];
    let unopened = admin.streams().port_forward(stream::iter(data)).await.expect_err("opens nothing");
    assert_eq!(unopened.code(), tonic::Code::InvalidArgument, "{unopened}");

    let refused = cluster.client(&server, "scheduler").streams().logs(logs.clone()).await.expect_err("no role");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    stop.cancel();
    let mut gone = None;
    for _ in 0..100 {
        gone = admin.streams().logs(logs.clone()).await.err();
        if gone.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let gone = gone.expect("the kubelet is gone");
    assert_eq!(gone.code(), tonic::Code::Unavailable, "{gone}");
    server.stop().await;
}
