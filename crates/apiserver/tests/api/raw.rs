//! Clients of REST that may do what no library does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::tls::ClientIdentity;
use testkit::pki::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use crate::harness::Cluster;

pub const LONGEST: Duration = Duration::from_secs(60);

/// A way to a server as somebody.
#[derive(Clone)]
pub struct Caller {
    pub address: SocketAddr,
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.body.escape_ascii()))
    }
}

impl Caller {
    pub fn new(cluster: &Cluster, address: SocketAddr, who: &str) -> Self {
        let pair = Some((cluster.pki.certificate(who), cluster.pki.key(who)));
        let identity = ClientIdentity::load(cluster.pki.authority(Authority::Cluster), pair).expect("good files");
        let with = |alpn: &[u8]| {
            let mut config = (*identity.config()).clone();
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        Self { address, h1: with(b"http/1.1"), h2: with(b"h2") }
    }

    pub async fn h1(&self) -> TlsStream<TcpStream> {
        self.connect(TcpStream::connect(self.address).await.expect("connected"), &self.h1).await
    }

    pub async fn h2(&self) -> TlsStream<TcpStream> {
        self.connect(TcpStream::connect(self.address).await.expect("connected"), &self.h2).await
    }

    /// A connection whose end of the network takes little.
    pub async fn narrow(&self, bytes: u32) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(bytes)?;
        let stream = socket.connect(self.address).await?;
        tokio_rustls::TlsConnector::from(Arc::clone(&self.h1))
            .connect("localhost".try_into().expect("a name"), stream)
            .await
    }

    async fn connect(&self, stream: TcpStream, config: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
        connector.connect("localhost".try_into().expect("a name"), stream).await.expect("tls")
    }

    /// One request and its whole answer.
    pub async fn ask(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = self.h1().await;
        let length = body.len();
        // 1.0: the answer ends with the connection.
        let head =
            format!("{method} {target} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n");
        // A server may answer before it has read all.
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            stream.flush().await
        };
        _ = tokio::time::timeout(LONGEST, sent).await.expect("sent in time");
        read(&mut stream).await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", b"").await
    }
}

/// What is answered until the connection ends.
pub async fn read(stream: &mut TlsStream<TcpStream>) -> Answer {
    let mut all = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let some = tokio::time::timeout(LONGEST, stream.read(&mut piece)).await.expect("answered in time");
        match some {
            Ok(0) | Err(_) => break,
            Ok(len) => all.extend_from_slice(&piece[..len]),
        }
    }
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { code, head, body: all.split_off(end) }
}
