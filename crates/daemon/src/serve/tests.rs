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

mod crowded;

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
    for path in ["/version", "/version/"] {
        assert!(get(running.address, path).await.1.contains("\"gitVersion\": \"v1.36"), "{path}");
    }
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

/// What reflection lists, by the newer protocol and by the older one.
async fn reflected(channel: tonic::transport::Channel) -> Result<[Vec<String>; 2], tonic::Status> {
    use tonic_reflection::pb::{v1, v1alpha};
    let ask = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let ask = v1::ServerReflectionRequest { message_request: Some(ask), ..Default::default() };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answer = client.server_reflection_info(futures::stream::iter([ask])).await?.into_inner().message().await?;
    let mut newer = Vec::new();
    if let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.and_then(|answer| answer.message_response)
    {
        newer = list.service.into_iter().map(|service| service.name).collect();
    }
    let ask = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let ask = v1alpha::ServerReflectionRequest { message_request: Some(ask), ..Default::default() };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answer = client.server_reflection_info(futures::stream::iter([ask])).await?.into_inner().message().await?;
    let mut older = Vec::new();
    if let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.and_then(|answer| answer.message_response)
    {
        older = list.service.into_iter().map(|service| service.name).collect();
    }
    Ok([newer, older])
}

#[tokio::test]
async fn every_port_has_grpc_health_and_reflection() {
    // A port without services of its own.
    let running = start(Server::new(Health::new(), Metrics::new())).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", running.address))
        .expect("an address")
        .connect_lazy();
    let status = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.expect("an answer");
    assert_eq!(status.into_inner().status, 1);
    for listed in reflected(channel).await.expect("listed") {
        assert_eq!(listed, ["grpc.health.v1.Health"]);
    }
    running.shutdown.cancel();
}

#[tokio::test]
async fn reflection_lists_the_ports_services_to_callers_with_a_certificate() {
    let ca = Ca::new();
    ca.issue("server", "o", 2020..4000);
    ca.issue("caller", "o", 2020..4000);
    let identity = ca.server("server", ClientCerts::Optional(ca.path("ca.crt"))).expect("valid");
    let own = &["grpc.health.v1.Health"];
    let server =
        Server::new(Health::new(), Metrics::new()).tls(identity).reflection(tonic_health::pb::FILE_DESCRIPTOR_SET, own);
    let running = start(server).await;
    let address = format!("https://{}", running.address);
    let pair = (ca.path("caller.crt"), ca.path("caller.key"));
    let known = ClientIdentity::load(ca.path("ca.crt"), Some(pair)).expect("valid");
    for listed in reflected(known.channel(&address, None).expect("a channel")).await.expect("listed") {
        assert!(listed.contains(&"grpc.health.v1.Health".to_owned()), "{listed:?}");
    }
    let anonymous = ClientIdentity::load(ca.path("ca.crt"), None).expect("valid");
    let channel = anonymous.channel(&address, None).expect("a channel");
    let refused = reflected(channel.clone()).await.expect_err("tells the whole API");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused}");
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("health is for everybody");
    running.shutdown.cancel();
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let ca = Ca::new();
    ca.issue("server", "o", 2020..3000);
    let identity = ca.server("server", ClientCerts::Ignored).expect("valid");
    let limits = Limits { reload_interval: Duration::from_millis(10), ..Limits::default() };
    let running = start(Server::new(Health::new(), Metrics::new()).tls(identity).limits(limits)).await;
    let client = ClientIdentity::load(ca.path("ca.crt"), None).expect("valid");
    let shown = || async {
        let stream = TcpStream::connect(running.address).await.expect("connected");
        let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
        let tls = tokio_rustls::TlsConnector::from(client.config()).connect(name, stream).await.expect("tls");
        tls.get_ref().1.peer_certificates().expect("one")[0].to_vec()
    };
    let first = shown().await;
    ca.issue("server", "o", 2020..3500);
    crate::tls::tests::touch(&ca.path("server.crt"), 1);
    crate::tls::tests::touch(&ca.path("server.key"), 1);
    let begin = std::time::Instant::now();
    while shown().await == first {
        assert!(begin.elapsed() < Duration::from_secs(10), "the old certificate is still served");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.shutdown.cancel();
}

#[tokio::test]
async fn expired_certificates_are_named_with_their_day_and_the_mend() {
    let ca = Ca::new();
    let (old, fresh) = (ca.issued("server", "o", 2000..2001), ca.issued("server", "o", 2020..4000));
    ca.issue("caller", "o", 2020..4000);
    let key = |pair: &(Vec<rustls_pki_types::CertificateDer<'static>>, rustls_pki_types::PrivateKeyDer<'static>)| {
        (pair.0.clone(), pair.1.clone_key())
    };
    // A server whose certificate expired while it ran: a fresh start would have been refused.
    let config = rustls::ServerConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth();
    let (chain, private) = key(&old);
    let config = std::sync::Arc::new(config.with_single_cert(chain, private).expect("a pair"));
    let listener = bind("127.0.0.1:0", "--bind-address").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _refused = acceptor.accept(stream).await;
        }
    });
    let client = ClientIdentity::load(ca.path("ca.crt"), None).expect("valid");
    let channel = client.channel(&format!("https://{address}"), Some("localhost")).expect("a channel");
    let refused = HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect_err("expired");
    let text = crate::process::chain(&refused);
    for part in [&format!("the certificate of {address} expired on "), "2001", "issue a new one"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    serving.abort();

    // A caller whose certificate expired while it ran.
    let identity = {
        ca.issue("server", "o", 2020..4000);
        ca.server("server", ClientCerts::Optional(ca.path("ca.crt"))).expect("valid")
    };
    let running = start(Server::new(Health::new(), Metrics::new()).tls(identity)).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(ca.path("ca.crt")).expect("read");
    roots.add(rustls_pemfile::certs(&mut pem.as_slice()).next().expect("one").expect("valid")).expect("a CA");
    let config = |pair| {
        let (chain, private) = key(pair);
        rustls::ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain, private)
            .expect("a pair")
    };
    let told = crate::tls::tests::captured(|| async {
        for (pair, fine) in [(&fresh, true), (&old, false)] {
            let stream = TcpStream::connect(running.address).await.expect("connected");
            let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
            let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config(pair)));
            let mut tls = connector.connect(name, stream).await.expect("our half of the handshake");
            tls.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("sent");
            let mut answer = String::new();
            let read = tls.read_to_string(&mut answer).await;
            assert_eq!(read.is_ok() && answer.ends_with("ok"), fine, "{read:?} {answer}");
        }
    })
    .await;
    for part in ["refused a caller: its certificate", "CN=server", "expired on", "2001", "issue a new one"] {
        assert!(told.contains(part), "{part:?} in {told:?}");
    }
    running.shutdown.cancel();
}

#[tokio::test]
async fn an_http_1_connection_is_upgraded() {
    let server = Server::new(Health::new(), Metrics::new()).fallback_fn(|mut request| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.expect("upgraded"));
            let mut bytes = [0; 5];
            io.read_exact(&mut bytes).await.expect("five bytes");
            bytes.reverse();
            io.write_all(&bytes).await.expect("sent");
        });
        let mut answer = builtin::text(http::StatusCode::SWITCHING_PROTOCOLS, "");
        answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
        answer.headers_mut().insert(http::header::UPGRADE, http::HeaderValue::from_static("backwards"));
        answer
    });
    let running = start(server).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: backwards\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"hello").await.expect("sent");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.expect("the answer");
    assert_eq!(&answer, b"olleh");
    running.shutdown.cancel();
}

#[tokio::test]
async fn taken_port_names_the_flag() {
    let first = bind("127.0.0.1:0", "--secure-port").await.expect("a port");
    let address = first.local_addr().expect("an address").to_string();
    let error = bind(&address, "--secure-port").await.expect_err("taken").to_string();
    assert!(error.contains("--secure-port") && error.contains("in use"), "{error}");
}

#[tokio::test]
async fn a_refused_caller_reads_why_and_whose_certificate_it_was() {
    let (ca, other) = (Ca::new(), Ca::new());
    ca.issue("server", "o", 2020..4000);
    other.issue("caller", "o", 2020..4000);
    for clients in [ClientCerts::Optional(ca.path("ca.crt")), ClientCerts::Required(ca.path("ca.crt"))] {
        let identity = ca.server("server", clients).expect("valid");
        let running = start(Server::new(Health::new(), Metrics::new()).tls(identity)).await;
        let pair = (other.path("caller.crt"), other.path("caller.key"));
        let strange = ClientIdentity::load(ca.path("ca.crt"), Some(pair)).expect("valid");
        // Many times: what the caller sends meanwhile must not lose the reason.
        for _ in 0..20 {
            let channel = strange.channel(&format!("https://{}", running.address), None).expect("a channel");
            let refused = HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect_err("refused");
            let text = crate::process::chain(&refused);
            for part in ["caller.crt", "received fatal alert", "--client-ca-file"] {
                assert!(text.contains(part), "{part:?} in {text}");
            }
        }
        running.shutdown.cancel();
    }
}
