//! `attach`: what a container writes from now on, and its standard input where it has one.

use std::path::PathBuf;

use proto::keelson::api::v1::exec_input::Input;
use proto::keelson::api::v1::exec_output::Output;
use proto::keelson::api::v1::{ExecInput, ExecOutput};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::exec::{failed, first};
use super::{ANSWERS_MAX, Answers, NodeService, container};
use crate::logs::format::Stream;
use crate::runtime::Containerd;

impl NodeService {
    pub(super) async fn serve_attach(&self, mut input: Streaming<ExecInput>) -> Result<Answers<ExecOutput>, Status> {
        let start = first(&mut input).await?;
        let (id, pipes, uid) = self.running(&start)?;
        let pod = self.pod(start.pod.as_ref())?;
        let (_, container) = container(&pod, &start.container)?;
        if start.stdin && !container.stdin {
            return Err(Status::failed_precondition(format!(
                "container {} has no standard input (spec.containers[].stdin)",
                container.name
            )));
        }
        let writer = self.node.log_writer(&uid);
        let mut attached = writer.attach(&id).await.map_err(|error| failed("attach", &error))?;
        let (tx, rx) = mpsc::channel(ANSWERS_MAX);
        let stdin = start.stdin.then(|| pipes.join(format!("{}-in", &id[..id.len().min(12)])));
        let feeder = tokio::spawn(feed(self.node.containerd.clone(), id, stdin, container.stdin_once, input));
        tokio::spawn(async move {
            let out = |output| Ok(ExecOutput { output: Some(output) });
            let mut open = tx.send(out(Output::Started(true))).await.is_ok();
            while open {
                open = tokio::select! {
                    next = attached.next() => match next {
                        Ok(Some((Stream::Stdout, bytes))) => tx.send(out(Output::Stdout(bytes.into()))).await.is_ok(),
                        Ok(Some((Stream::Stderr, bytes))) => tx.send(out(Output::Stderr(bytes.into()))).await.is_ok(),
                        Ok(None) | Err(_) => false,
                    },
                    () = tx.closed() => false,
                };
            }
            feeder.abort();
        });
        Ok(ReceiverStream::new(rx))
    }
}

async fn feed(containerd: Containerd, id: String, stdin: Option<PathBuf>, once: bool, mut input: Streaming<ExecInput>) {
    let mut pipe = stdin.and_then(|path| pipe::OpenOptions::new().open_sender(path).ok());
    while let Ok(Some(message)) = input.message().await {
        match message.input {
            Some(Input::Stdin(bytes)) => {
                if let Some(sink) = &mut pipe
                    && sink.write_all(&bytes).await.is_err()
                {
                    pipe = None;
                }
            }
            Some(Input::StdinClosed(true)) => break,
            Some(Input::Resize(size)) => containerd.resize_task(&id, size.width, size.height).await,
            _ => {}
        }
    }
    // stdinOnce: the first client that leaves takes the standard input with it.
    if once && pipe.take().is_some() {
        containerd.close_task_stdin(&id).await;
    }
}
