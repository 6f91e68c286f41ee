//! A port that serves nothing but the streams of pods, an apiserver's objects behind it, and HTTP clients of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apiserver::rest_streams::{self, Kind};
use apiserver::server::Server as Apiserver;
use apiserver::status::{Failure, Result};
use daemon::health::Health;
use daemon::metrics::Metrics;
use daemon::serve::{Body, Limits, Server};
use daemon::tls::{ClientCerts, ClientIdentity, ServerIdentity};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use proto::core::v1::{Binding, Node, NodeAddress, Pod, ServiceAccount};
use proto::keelson::api::v1::{PodRef, ResourceRef};
use testkit::pki::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::kubelet;
use crate::harness::{Cluster, Engine, pod, service_account, until};

pub struct Door {
    pub cluster: Cluster,
    objects: crate::harness::Apiserver,
    pub address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    sleepers: Arc<AtomicUsize>,
}

impl Door {
    pub async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// Pods: `p` runs, `pending` is on no node, `lost` on a node that is not there.
    pub async fn open_with(change: impl FnOnce(&mut Limits)) -> Self {
        let cluster = Cluster::start(Engine::Keelson);
        let objects = cluster.apiserver().await;
        let stop = CancellationToken::new();
        let clients = ClientCerts::Required(cluster.pki.authority(Authority::Cluster));
        let (cert, key) = (cluster.pki.certificate("apiserver"), cluster.pki.key("apiserver"));
        let identity = ServerIdentity::load(cert, key, clients).expect("an identity");
        let sleepers = Arc::new(AtomicUsize::new(0));

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let kubelet_port = listener.local_addr().expect("bound").port();
        let routes = kubelet::routes(Arc::clone(&sleepers));
        let server = Server::new(Health::new(), Metrics::new()).tls(Arc::clone(&identity)).grpc(routes);
        tokio::spawn(server.serve(listener, stop.clone()));
        place(&cluster, &objects, kubelet_port).await;

        let parts = Arc::new(cluster.parts());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut limits = Limits::default();
        change(&mut limits);
        let answer = move |request| answer(Arc::clone(&parts), request);
        let server = Server::new(Health::new(), Metrics::new()).tls(identity).limits(limits).fallback_fn(answer);
        let serving = tokio::spawn(server.serve(listener, stop.clone()));
        Self { cluster, objects, address, stop, serving, sleepers }
    }

    pub async fn close(self) {
        self.stop.cancel();
        self.serving.await.expect("no panic");
        self.objects.stop().await;
        drop(self.cluster);
    }

    /// Waits until so many processes sleep.
    pub async fn wait_for_sleepers(&self, expect: usize) {
        let sleepers = || async { (self.sleepers.load(Ordering::SeqCst) == expect).then_some(()) };
        until("the number of sleepers", sleepers).await;
    }

    pub async fn connect(&self) -> TlsStream<TcpStream> {
        let pair = Some((self.cluster.pki.certificate("admin"), self.cluster.pki.key("admin")));
        let identity = ClientIdentity::load(self.cluster.pki.authority(Authority::Cluster), pair).expect("good files");
        let mut config = (*identity.config()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect("localhost".try_into().expect("a name"), stream).await.expect("tls")
    }

    /// The whole answer to a request.
    pub async fn http(&self, request: &str, headers: &str) -> String {
        let (head, mut stream) = self.upgrade(request, headers).await;
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                stream.read_exact(&mut body).await.expect("a body");
            }
            None if head.to_ascii_lowercase().contains("transfer-encoding: chunked") => {
                while !body.ends_with(b"0\r\n\r\n") {
                    body.push(stream.read_u8().await.expect("a body"));
                }
            }
            None => {}
        }
        head + &String::from_utf8_lossy(&body)
    }

    /// The head of the answer, and what follows it.
    pub async fn upgrade(&self, request: &str, headers: &str) -> (String, TlsStream<TcpStream>) {
        let mut stream = self.connect().await;
        let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        (String::from_utf8(head).expect("text"), stream)
    }

    /// As [`Self::upgrade`], to SPDY, about the pod `p`.
    pub async fn spdy(&self, query: &str, protocol: &str) -> (String, TlsStream<TcpStream>) {
        let request = format!("POST /api/v1/namespaces/default/pods/p/{query}");
        let headers = format!(
            "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9.channel.k8s.io\r\n\
             X-Stream-Protocol-Version: {protocol}\r\n"
        );
        self.upgrade(&request, &headers).await
    }
}

async fn place(cluster: &Cluster, objects: &crate::harness::Apiserver, kubelet_port: u16) {
    let admin = cluster.client(objects, "admin");
    let mut node = Node::default();
    node.metadata.name = "n1".into();
    node.status.addresses = vec![NodeAddress { r#type: "InternalIP".into(), address: "127.0.0.1".into() }];
    node.status.daemon_endpoints.kubelet_endpoint.port = i32::from(kubelet_port);
    admin.api::<Node>().create(&node).await.expect("created");
    admin.api::<ServiceAccount>().create(&service_account("default", "default")).await.expect("created");
    for (name, node) in [("p", "n1"), ("pending", ""), ("lost", "nn")] {
        admin.api::<Pod>().create(&pod("default", name)).await.expect("created");
        if node.is_empty() {
            continue;
        }
        let mut binding = Binding::default();
        binding.metadata.name = name.into();
        binding.metadata.namespace = "default".into();
        binding.target.name = node.into();
        admin.api::<Pod>().create_subresource("default", name, "binding", &binding).await.expect("bound");
    }
}

/// As the REST door does it, without its other paths.
async fn answer(server: Arc<Apiserver>, request: Request<Incoming>) -> Response<Body> {
    let answer = stream(&server, request).await;
    answer.unwrap_or_else(|failure| {
        let body = Full::new(bytes::Bytes::from(proto::json::to_vec(failure.0.as_ref())));
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = StatusCode::from_u16(failure.code() as u16).expect("a code");
        response
    })
}

async fn stream(server: &Apiserver, request: Request<Incoming>) -> Result<Response<Body>> {
    let path: Vec<String> = request.uri().path().split('/').map(str::to_owned).collect();
    let ["", "api", "v1", "namespaces", namespace, "pods", name, subresource] =
        path.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        return look(server, request.uri().path()).await;
    };
    let pod = PodRef { namespace: namespace.into(), name: name.into(), uid: String::new() };
    let running = server.metrics.begin(&server.registry, "CONNECT", Some(&ResourceRef::default()), false).runs();
    match subresource {
        "exec" => rest_streams::exec(server, request, Kind::Exec, pod, running).await,
        "attach" => rest_streams::exec(server, request, Kind::Attach, pod, running).await,
        "portforward" => rest_streams::port_forward(server, request, pod, running).await,
        "log" => {
            let query = request.uri().query().unwrap_or_default();
            rest_streams::logs(server, pod, query, running).await
        }
        other => panic!("{other}"),
    }
}

/// What kubectl looks at before it streams: which kinds there are, and the pod `p`.
async fn look(server: &Apiserver, path: &str) -> Result<Response<Body>> {
    let text = match path {
        "/api" => r#"{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[]}"#.to_owned(),
        "/apis" => r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#.to_owned(),
        "/api/v1" => concat!(
            r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","#,
            r#""namespaced":true,"kind":"Pod","verbs":["get"]}]}"#
        )
        .to_owned(),
        "/api/v1/namespaces/default/pods/p" => {
            let pod = PodRef { namespace: "default".into(), name: "p".into(), uid: String::new() };
            let mut pod = apiserver::relay::pod(server, &pod).await?;
            pod.status.phase = "Running".into();
            proto::json::to_string(&pod)
        }
        _ => return Err(Failure::no_resource()),
    };
    let mut response = Response::new(Body::new(Full::new(bytes::Bytes::from(text))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
