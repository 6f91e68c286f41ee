//! The loop from outside: real sockets on loopback, real TLS.

use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::health::Scope;
use crate::tls::tests::Ca;
use crate::tls::{ClientCerts, ClientIdentity, Peer};

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(server: Server) -> Running {
    let listener = bind("127.0.0.1:0", "--bind-address").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.serve(listener, shutdown.clone()));
    Running { address, shutdown, task }
}

fn echo(server: Server) -> Server {
    server.fallback_fn(|request| async move {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.common_name.clone()).unwrap_or_default();
        builtin::text(http::StatusCode::OK, format!("{} {peer}", request.uri().path()))
    })
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let uri = format!("http://{address}{path}").parse().expect("a uri");
    let response = client.get(uri).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn plain_port_answers_built_in_paths_and_fallback() {
    let health = Health::new();
    let flag = health.flag("informers", Scope::Ready, "not synced");
    let running = start(echo(Server::new(health, Metrics::new()))).await;
    assert_eq!(get(running.address, "/livez").await, (200, "ok".to_owned()));
    let (status, text) = get(running.address, "/readyz").await;
    assert_eq!(status, 500);
    assert!(text.contains("[-]informers failed: not synced"), "{text}");
    flag.ok();
    assert_eq!(get(running.address, "/readyz").await.0, 200);
    assert_eq!(get(running.address, "/readyz/informers").await.0, 200);
    assert_eq!(get(running.address, "/readyz/nothing").await.0, 404);
    assert!(get(running.address, "/readyz?verbose").await.1.contains("[+]shutdown ok"));
    assert!(get(running.address, "/metrics").await.1.contains("process_cpu_seconds_total"));
    assert!(get(running.address, "/version").await.1.contains("\"gitVersion\": \"v1.36"));
    assert_eq!(get(running.address, "/other").await, (200, "/other ".to_owned()));
    running.shutdown.cancel();
    running.task.await.expect("ended");
}

#[tokio::test]
async fn tls_port_serves_grpc_with_the_callers_identity() {
    let ca = Ca::new();
    ca.issue("server", "o", 2020..4000);
    ca.issue("caller", "system:masters", 2020..4000);
    let identity = ca.server("server", ClientCerts::Optional(ca.path("ca.crt"))).expect("valid");
    let server = echo(Server::new(Health::new(), Metrics::new())).tls(identity).grpc(Routes::default());
    let running = start(server).await;

    let pair = (ca.path("caller.crt"), ca.path("caller.key"));
    let client = ClientIdentity::load(ca.path("ca.crt"), Some(pair)).expect("valid");
    let channel = client.channel(&format!("https://{}", running.address), None).expect("a channel");
    let status = HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("an answer");
    assert_eq!(status.into_inner().status, 1);

    let stream = TcpStream::connect(running.address).await.expect("connected");
    let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
    let tls = tokio_rustls::TlsConnector::from(client.config()).connect(name, stream).await.expect("tls");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.expect("h2");
    tokio::spawn(connection);
    let request = Request::get("https://localhost/who").body(Body::empty()).expect("a request");
    let body = sender.send_request(request).await.expect("an answer").into_body();
    assert_eq!(body.collect().await.expect("a body").to_bytes(), "/who caller");

    running.shutdown.cancel();
    drop(sender);
    running.task.await.expect("ended");
}

#[tokio::test]
async fn caller_from_another_ca_is_refused_and_anonymous_is_let_in() {
    let (ca, other) = (Ca::new(), Ca::new());
    ca.issue("server", "o", 2020..4000);
    other.issue("caller", "system:masters", 2020..4000);
    let identity = ca.server("server", ClientCerts::Optional(ca.path("ca.crt"))).expect("valid");
    let running = start(Server::new(Health::new(), Metrics::new()).tls(identity).grpc(Routes::default())).await;
    let address = format!("https://{}", running.address);

    let pair = (other.path("caller.crt"), other.path("caller.key"));
    let stranger = ClientIdentity::load(ca.path("ca.crt"), Some(pair)).expect("valid");
    let channel = stranger.channel(&address, None).expect("a channel");
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect_err("refused");

    let anonymous = ClientIdentity::load(ca.path("ca.crt"), None).expect("valid");
    let channel = anonymous.channel(&address, Some("localhost")).expect("a channel");
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("let in");

    let distrustful = ClientIdentity::load(other.path("ca.crt"), None).expect("valid");
    let channel = distrustful.channel(&address, None).expect("a channel");
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect_err("the server is a stranger");
    running.shutdown.cancel();
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let ca = Ca::new();
    ca.issue("server", "o", 2020..4000);
    let identity = ca.server("server", ClientCerts::Ignored).expect("valid");
    let running = start(Server::new(Health::new(), Metrics::new()).tls(identity)).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    let _reset_after_the_answer = stream.read_to_string(&mut answer).await;
    assert!(answer.contains("HTTP request to an HTTPS server"), "{answer}");
    running.shutdown.cancel();
}

#[tokio::test]
async fn shutdown_lets_a_running_call_finish_and_ends_one_that_does_not() {
    let limits = Limits { drain_timeout: Duration::from_millis(400), ..Limits::default() };
    let server = Server::new(Health::new(), Metrics::new()).limits(limits).fallback_fn(|request| async move {
        if request.uri().path() == "/forever" {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        builtin::text(http::StatusCode::OK, "done")
    });
    let running = start(server).await;
    let address = running.address;
    let short = tokio::spawn(async move { get(address, "/short").await });
    let forever = tokio::spawn(async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        client.get(format!("http://{address}/forever").parse().expect("a uri")).await.is_err()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.shutdown.cancel();
    assert_eq!(short.await.expect("ended"), (200, "done".to_owned()));
    assert!(forever.await.expect("ended"), "the endless call is cut");
    running.task.await.expect("ended");
}

#[tokio::test]
async fn taken_port_names_the_flag() {
    let first = bind("127.0.0.1:0", "--secure-port").await.expect("a port");
    let address = first.local_addr().expect("an address").to_string();
    let error = bind(&address, "--secure-port").await.expect_err("taken").to_string();
    assert!(error.contains("--secure-port") && error.contains("in use"), "{error}");
}
