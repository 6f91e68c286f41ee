//! Runs a command in a container to its end, for probes and hooks.

use std::io::Read;
use std::time::Duration;

use crate::paths::PodPaths;
use crate::runtime::container::Streams;
use crate::runtime::spec::Process;
use crate::runtime::{Containerd, Error};

/// What a probe or hook may say; more is cut off.
const OUTPUT_BYTES_MAX: usize = 10 * 1024;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// None: it did not end in time and was killed.
    pub code: Option<i32>,
    pub output: String,
}

/// Runs `process` in the container; kills it after `timeout`.
pub async fn run(
    containerd: &Containerd,
    paths: &PodPaths,
    container_id: &str,
    process: &Process,
    timeout: Option<Duration>,
) -> Result<Ended, Error> {
    let path = paths.pipes().join(format!("x-{}", uuid::Uuid::new_v4().simple()));
    sys::fifo::make(&path)?;
    // Both ends: nothing waits for anybody, and what was written stays until it is read.
    let pipe = sys::fifo::open_both(&path)?;
    let streams = Streams { stdout: path.clone(), stderr: path.clone(), ..Streams::default() };
    let exec = containerd.exec(container_id, process, &streams).await;
    let ended = match exec {
        Err(error) => Err(error),
        Ok(exec) => match exec.start().await {
            Err(error) => Err(error),
            Ok(()) => {
                let code = match timeout {
                    Some(timeout) => match tokio::time::timeout(timeout, exec.wait()).await {
                        Ok(code) => code.map(Some),
                        Err(_) => {
                            exec.kill().await;
                            Ok(None)
                        }
                    },
                    None => exec.wait().await.map(Some),
                };
                // The deletion returns after the shim copied all that the process wrote.
                exec.delete().await;
                code
            }
        },
    };
    let output = drain(pipe);
    let _ = std::fs::remove_file(&path);
    Ok(Ended { code: ended?, output })
}

fn drain(mut pipe: std::fs::File) -> String {
    let (mut out, mut buffer) = (Vec::new(), [0; 4096]);
    // The pipe does not block: an error means that it is empty.
    while let Ok(length) = pipe.read(&mut buffer) {
        out.extend_from_slice(&buffer[..length]);
        if length == 0 || out.len() >= OUTPUT_BYTES_MAX {
            break;
        }
    }
    out.truncate(OUTPUT_BYTES_MAX);
    String::from_utf8_lossy(&out).into_owned()
}
