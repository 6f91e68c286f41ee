//! `port-forward`: connections to ports inside of a pod's network, as many as the caller opens.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use proto::keelson::api::v1::port_forward_frame::Frame;
use proto::keelson::api::v1::{PortForwardClose, PortForwardData, PortForwardFrame, PortForwardOpen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Status, Streaming};

use super::{ANSWERS_MAX, Answers, NodeService};

const READ_BYTES: usize = 32 * 1024;
/// Bytes chunks that wait to be written into the pod.
const CHUNKS_MAX: usize = 64;
/// How long the others wait for a connection whose reader in the pod takes nothing; then it is closed.
const STALLED: Duration = Duration::from_secs(10);

type Out = mpsc::Sender<Result<PortForwardFrame, Status>>;

impl NodeService {
    pub(super) async fn serve_forward(
        &self,
        mut input: Streaming<PortForwardFrame>,
    ) -> Result<Answers<PortForwardFrame>, Status> {
        let opened = match input.message().await?.and_then(|message| message.frame) {
            Some(Frame::Open(open)) => open,
            _ => return Err(Status::invalid_argument("the first frame must open a connection")),
        };
        let pod = self.pod(opened.pod.as_ref())?;
        let network = match pod.spec.host_network {
            true => None,
            false => Some(self.node.paths.pod(&pod.metadata.uid).network()),
        };
        let (tx, rx) = mpsc::channel(ANSWERS_MAX);
        tokio::spawn(serve(network, opened, input, tx, STALLED));
        Ok(ReceiverStream::new(rx))
    }
}

async fn serve(
    network: Option<PathBuf>,
    first: PortForwardOpen,
    mut input: impl Stream<Item = Result<PortForwardFrame, Status>> + Unpin,
    tx: Out,
    stalled: Duration,
) {
    let mut sinks: HashMap<u32, (mpsc::Sender<bytes::Bytes>, AbortHandle)> = HashMap::new();
    let open = |open: PortForwardOpen, sinks: &mut HashMap<u32, (mpsc::Sender<bytes::Bytes>, AbortHandle)>| {
        let (sink, rx) = mpsc::channel(CHUNKS_MAX);
        let number = open.connection;
        let task = tokio::spawn(connection(network.clone(), open, rx, tx.clone()));
        sinks.insert(number, (sink, task.abort_handle()));
    };
    open(first, &mut sinks);
    while let Some(Ok(message)) = input.next().await {
        match message.frame {
            Some(Frame::Open(next)) => open(next, &mut sinks),
            Some(Frame::Data(data)) => {
                let Some((sink, _)) = sinks.get(&data.connection) else { continue };
                match sink.send_timeout(data.data, stalled).await {
                    Ok(()) => {}
                    Err(mpsc::error::SendTimeoutError::Closed(_)) => drop(sinks.remove(&data.connection)),
                    // A lone connection may be as slow as it likes: nobody waits for it.
                    Err(mpsc::error::SendTimeoutError::Timeout(rest)) if sinks.len() == 1 => {
                        let sent = sink.send(rest).await;
                        sent.is_err().then(|| sinks.remove(&data.connection));
                    }
                    Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                        sinks.remove(&data.connection);
                        let error = "nothing in the pod read from this connection, and others waited for it".into();
                        let close = PortForwardClose { connection: data.connection, error };
                        let _ = tx.send(Ok(PortForwardFrame { frame: Some(Frame::Close(close)) })).await;
                    }
                }
            }
            Some(Frame::Close(close)) => {
                let gone = sinks.remove(&close.connection);
                // With a reason the client gave the connection up: what the pod still sends is for nobody.
                if let Some((_, task)) = gone.filter(|_| !close.error.is_empty()) {
                    task.abort();
                }
            }
            None => {}
        }
    }
}

/// One connection: ends when both sides have said that they are done.
async fn connection(network: Option<PathBuf>, open: PortForwardOpen, mut rx: mpsc::Receiver<bytes::Bytes>, tx: Out) {
    let id = open.connection;
    let frame = |frame| Ok(PortForwardFrame { frame: Some(frame) });
    let close = |error: String| frame(Frame::Close(PortForwardClose { connection: id, error }));
    let stream = match connect(network, open.port).await {
        Ok(stream) => stream,
        Err(error) => {
            let _ = tx.send(close(error)).await;
            return;
        }
    };
    let (mut reader, mut writer) = stream.into_split();
    let inward = async {
        while let Some(bytes) = rx.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // The other side learns that nothing more comes; it may still answer.
        let _ = writer.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; READ_BYTES];
        let error = loop {
            match reader.read(&mut buffer).await {
                Ok(0) => break String::new(),
                Ok(length) => {
                    let data =
                        PortForwardData { connection: id, data: bytes::Bytes::copy_from_slice(&buffer[..length]) };
                    if tx.send(frame(Frame::Data(data))).await.is_err() {
                        break String::new();
                    }
                }
                Err(error) => break error.to_string(),
            }
        };
        let _ = tx.send(close(error)).await;
    };
    tokio::join!(inward, outward);
}

/// Connects to the pod's own loopback, from inside of its network.
async fn connect(network: Option<PathBuf>, port: u32) -> Result<TcpStream, String> {
    let port = u16::try_from(port).map_err(|_| format!("{port} is no port"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let plain = |error: std::io::Error| {
        format!("failed to connect to localhost:{port} inside the pod: {}", crate::probe::http::plain(&error))
    };
    let Some(network) = network else { return TcpStream::connect(address).await.map_err(plain) };
    let dial = move || sys::ns::in_network(&network, || std::net::TcpStream::connect(address));
    let dialled = tokio::task::spawn_blocking(dial).await.map_err(|error| error.to_string())?;
    let stream = dialled.map_err(|error| crate::images::chain(&error))?.map_err(plain)?;
    stream.set_nonblocking(true).map_err(plain)?;
    TcpStream::from_std(stream).map_err(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_nobody_reads_does_not_stop_the_others() {
        let (deaf, echo) = (
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let port = |listener: &tokio::net::TcpListener| u32::from(listener.local_addr().unwrap().port());
        let frame = |frame| Ok::<_, Status>(PortForwardFrame { frame: Some(frame) });
        let open = |connection, port| PortForwardOpen { connection, port, ..PortForwardOpen::default() };
        let data = |connection, data: Vec<u8>| frame(Frame::Data(PortForwardData { connection, data: data.into() }));
        // Far more than sockets and queues hold.
        let mut frames = vec![frame(Frame::Open(open(2, port(&echo))))];
        frames.extend((0..512).map(|_| data(1, vec![0; 64 * 1024])));
        frames.push(data(2, b"hello".to_vec()));
        let (tx, mut rx) = mpsc::channel(4);
        let input = tokio_stream::iter(frames).chain(tokio_stream::pending());
        let served = tokio::spawn(serve(None, open(1, port(&deaf)), input, tx, Duration::from_millis(200)));
        let (_held, _) = deaf.accept().await.unwrap();
        let (mut echo, _) = echo.accept().await.unwrap();
        let mut heard = [0; 5];
        echo.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        let told = rx.recv().await.unwrap().unwrap().frame.unwrap();
        assert!(matches!(told, Frame::Close(close) if close.connection == 1 && !close.error.is_empty()));
        served.abort();
    }

    #[tokio::test]
    async fn a_connection_that_the_client_gives_up_is_closed_though_the_pod_still_sends() {
        let endless = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = u32::from(endless.local_addr().unwrap().port());
        let frame = |frame| Ok::<_, Status>(PortForwardFrame { frame: Some(frame) });
        let (input, frames) = mpsc::channel(4);
        let (tx, mut rx) = mpsc::channel(4);
        let first = PortForwardOpen { connection: 1, port, ..PortForwardOpen::default() };
        let served = tokio::spawn(serve(None, first, ReceiverStream::new(frames), tx, STALLED));
        let (mut endless, _) = endless.accept().await.unwrap();
        let sending = tokio::spawn(async move { while endless.write_all(&[7; 4096]).await.is_ok() {} });
        assert!(rx.recv().await.is_some(), "it sends");
        let error = "given up".to_owned();
        input.send(frame(Frame::Close(PortForwardClose { connection: 1, error }))).await.unwrap();
        sending.await.expect("its socket is closed");
        served.abort();
    }
}
