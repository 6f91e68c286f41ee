//! exec and attach over a WebSocket: standard input is channel 0, output 1 and 2, the end 3, the terminal's size 4.

use hyper::upgrade::Upgraded;
use proto::keelson::api::v1::exec_input::Input;

use super::{Exec, Inputs, Process, Said};
use crate::rest_streams::channel::Received;
use crate::rest_streams::drive::{self, Idle};
use crate::rest_streams::negotiate::ExecProtocol;
use crate::rest_streams::resize::Resizes;
use crate::rest_streams::status::Form;
use crate::rest_streams::websocket::{self, Reader, Writer};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// Bytes of output in a message.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Which channels were asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// Runs a session until the process or the client ends it.
pub async fn run(connection: Upgraded, protocol: &'static ExecProtocol, exec: Exec) {
    let idle = Idle::new();
    let (reader, writer) = websocket::channels(websocket::over(connection).await, protocol.codec, &idle);
    let wanted = Wanted { stdin: exec.start.stdin, stdout: exec.start.stdout, stderr: exec.start.stderr };
    let (inputs, process) = exec.prepare();
    let reading = read(reader, inputs, wanted.stdin);
    let writing = write(writer, process, wanted, protocol.status);
    drive::run(Box::pin(reading), Box::pin(writing), &idle).await;
}

async fn read(mut reader: Reader, inputs: Inputs, mut stdin: bool) {
    let mut resizes = Resizes::default();
    while let Some(received) = reader.next().await {
        match received {
            Received::Data(STDIN, bytes) if stdin => inputs.stdin(bytes).await,
            Received::Closed(STDIN) if stdin => {
                stdin = false;
                inputs.send(Input::StdinClosed(true)).await;
            }
            Received::Data(RESIZE, bytes) => {
                if let Some(size) = resizes.read(&bytes) {
                    inputs.send(Input::Resize(size)).await;
                }
            }
            // Its answer is sent while the rest is read.
            Received::Gone => return reader.discard().await,
            Received::Data(..) | Received::Closed(_) | Received::Nothing => {}
        }
    }
}

/// True once the end was sent.
async fn write(mut writer: Writer, mut process: Process, wanted: Wanted, form: Form) -> bool {
    // An empty message on the first channel that is there tells the client that the session has begun.
    let first = match wanted {
        Wanted { stdout: true, .. } => STDOUT,
        Wanted { stderr: true, .. } => STDERR,
        Wanted { .. } => ERROR,
    };
    let mut there = writer.send(first, b"").await;
    while there {
        let (channel, bytes) = match process.next().await {
            Said::Stdout(bytes) if wanted.stdout => (STDOUT, bytes),
            Said::Stderr(bytes) if wanted.stderr => (STDERR, bytes),
            Said::Stdout(_) | Said::Stderr(_) => continue,
            Said::Ended(status) => {
                if let Some(bytes) = form.encode(&status) {
                    writer.send(ERROR, &bytes).await;
                }
                return writer.end().await;
            }
        };
        for part in bytes.chunks(OUTPUT_BYTES_MAX) {
            there = there && writer.send(channel, part).await;
        }
    }
    false
}
