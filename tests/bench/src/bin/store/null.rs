//! A server that answers at once with what it was told: what the generator alone can do.

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use test_bench::frame::{self, kind};

const READ_BYTES: usize = 256 << 10;
/// Given back to the client of its window, once as much was taken.
const WINDOW_STEP: u32 = 1 << 20;

/// Serves on a port of loopback until the task is dropped; every message is answered by `answer`. With `stays`, calls go on.
pub async fn serve(listener: TcpListener, answer: Vec<u8>, stays: bool) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(converse(socket, answer.clone(), stays));
    }
}

async fn converse(mut socket: TcpStream, answer: Vec<u8>, stays: bool) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut preface = vec![0; frame::PREFACE.len()];
    socket.read_exact(&mut preface).await?;
    let mut out = Vec::new();
    frame::write_settings(&mut out);
    let mut bytes = vec![0; READ_BYTES];
    let (mut filled, mut taken) = (0, 0);
    loop {
        socket.write_all(&out).await?;
        out.clear();
        let read = socket.read(&mut bytes[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut used = 0;
        while let Some((frame, len)) = frame::split(&bytes[used..filled]) {
            used += len;
            match frame.kind {
                kind::SETTINGS if frame.flags & frame::ACK == 0 => {
                    frame::write(&mut out, kind::SETTINGS, frame::ACK, 0, &[]);
                }
                kind::HEADERS => frame::write_answer_head(&mut out, frame.stream),
                kind::DATA => {
                    taken += frame.payload.len() as u32;
                    if frame.ends_stream() || stays {
                        frame::write_message(&mut out, frame.stream, &answer, false);
                    }
                    if !stays && frame.ends_stream() {
                        frame::write_ok(&mut out, frame.stream);
                    }
                }
                _ => {}
            }
        }
        if taken > WINDOW_STEP {
            frame::write_window(&mut out, 0, std::mem::take(&mut taken));
        }
        bytes.copy_within(used..filled, 0);
        filled -= used;
    }
}
