//! A port that is full, and connections without anything to do.

use super::*;

async fn shakes_hands(ca: &Ca, who: &str, address: SocketAddr) -> Option<tokio_rustls::client::TlsStream<TcpStream>> {
    let pair = (ca.path(&format!("{who}.crt")), ca.path(&format!("{who}.key")));
    let identity = ClientIdentity::load(ca.path("ca.crt"), Some(pair)).expect("valid");
    let mut config = (*identity.config()).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.expect("connected");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().expect("a name"), stream).await.ok()
}

/// Whether a request is answered on a connection that stays open.
async fn is_served(stream: &mut Option<tokio_rustls::client::TlsStream<TcpStream>>) -> bool {
    let Some(stream) = stream else { return false };
    if stream.write_all(b"GET /x HTTP/1.1\r\nHost: l\r\n\r\n").await.is_err() {
        return false;
    }
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.is_ok() && begin.ends_with(b"200")
}

#[tokio::test]
async fn a_full_port_lets_in_whom_it_knows_and_nobody_else() {
    let ca = Ca::new();
    for who in ["server", "mallory", "admin"] {
        ca.issue(who, if who == "admin" { "masters" } else { "o" }, 2020..4000);
    }
    let identity = ca.server("server", ClientCerts::Optional(ca.path("ca.crt"))).expect("valid");
    let lane: Admits = |peer| peer.organizations.iter().any(|group| group == "masters");
    let limits = Limits { connections_max: 2, lane: Some(lane), ..Limits::default() };
    let running = start(echo(Server::new(Health::new(), Metrics::new()).tls(identity).limits(limits))).await;
    let mut first = shakes_hands(&ca, "mallory", running.address).await;
    let mut second = shakes_hands(&ca, "mallory", running.address).await;
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    let mut third = shakes_hands(&ca, "mallory", running.address).await;
    assert!(!is_served(&mut third).await, "the port is full");
    // Handshakes that never end are in nobody's way.
    let _silent: Vec<_> = futures::future::join_all((0..300).map(|_| TcpStream::connect(running.address))).await;
    let mut admin = shakes_hands(&ca, "admin", running.address).await;
    assert!(is_served(&mut admin).await);
    drop(first);
    let mut later = None;
    for _ in 0..100 {
        later = shakes_hands(&ca, "mallory", running.address).await;
        if is_served(&mut later).await {
            break;
        }
        later = None;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(later.is_some(), "who left made room");
    running.shutdown.cancel();
}

#[tokio::test]
async fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let limits = Limits { idle_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Server::new(Health::new(), Metrics::new()).limits(limits).fallback_fn(|_| async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        builtin::text(http::StatusCode::OK, "done")
    });
    let running = start(server).await;
    let stream = TcpStream::connect(running.address).await.expect("connected");
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut caller, connection) = builder.handshake::<_, Body>(TokioIo::new(stream)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}/", running.address)).body(Body::empty()).expect("a request");
    let answer = caller.send_request(request).await.expect("it runs longer than a connection may be idle");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "done");
    let ended = tokio::time::timeout(Duration::from_secs(10), connection).await;
    assert!(ended.is_ok_and(|ended| ended.is_ok_and(|ended| ended.is_ok())), "it ended in order");
    running.shutdown.cancel();
}
