//! Processes that join a running container: probes, hooks and `exec`.

use containerd_client::services::v1 as api;
use prost_types::Any;

use super::connection::{patient, request};
use super::container::Streams;
use super::spec::Process;
use super::{Containerd, Error};

const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// A process that was added to a container.
#[derive(Clone)]
pub struct Exec {
    containerd: Containerd,
    container_id: String,
    exec_id: String,
}

impl Containerd {
    /// Adds a process to a container; it runs after [`Exec::start`].
    pub async fn exec(&self, container_id: &str, process: &Process, streams: &Streams) -> Result<Exec, Error> {
        let exec_id = uuid::Uuid::new_v4().simple().to_string();
        let spec = serde_json::to_vec(&process.to_oci()).map_err(super::image::document("process", container_id))?;
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let exec = api::ExecProcessRequest {
            container_id: container_id.into(),
            exec_id: exec_id.clone(),
            stdin: text(&streams.stdin),
            stdout: text(&streams.stdout),
            stderr: text(&streams.stderr),
            terminal: streams.terminal,
            spec: Some(Any { type_url: PROCESS_TYPE.into(), value: spec }),
        };
        self.tasks().exec(request(exec)).await.map_err(Error::of("exec in", container_id))?;
        Ok(Exec { containerd: self.clone(), container_id: container_id.into(), exec_id })
    }
}

impl Exec {
    pub async fn start(&self) -> Result<(), Error> {
        let start = api::StartRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone() };
        let started = self.containerd.tasks().start(request(start)).await;
        if started.is_err() {
            self.delete().await;
        }
        started.map_err(Error::of("exec in", &self.container_id))?;
        Ok(())
    }

    /// The exit code, once the process ended.
    pub async fn wait(&self) -> Result<i32, Error> {
        let wait = api::WaitRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone() };
        let answer = self.containerd.tasks().wait(patient(wait)).await;
        Ok(answer.map_err(Error::of("wait for exec in", &self.container_id))?.into_inner().exit_status as i32)
    }

    pub async fn kill(&self) {
        let kill = api::KillRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            signal: 9,
            all: false,
        };
        // The process may have ended meanwhile; there is nobody to tell.
        let _ = self.containerd.tasks().kill(request(kill)).await;
    }

    pub async fn resize(&self, width: u32, height: u32) {
        let resize = api::ResizePtyRequest {
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
            width,
            height,
        };
        let _ = self.containerd.tasks().resize_pty(request(resize)).await;
    }

    /// Tells the process that nothing more comes on its standard input.
    pub async fn close_stdin(&self) {
        let close =
            api::CloseIoRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone(), stdin: true };
        let _ = self.containerd.tasks().close_io(request(close)).await;
    }

    /// Forgets the ended process.
    pub async fn delete(&self) {
        let delete =
            api::DeleteProcessRequest { container_id: self.container_id.clone(), exec_id: self.exec_id.clone() };
        let _ = self.containerd.tasks().delete_process(request(delete)).await;
    }
}

impl Containerd {
    /// Resizes the terminal of a container's first process.
    pub async fn resize_task(&self, container_id: &str, width: u32, height: u32) {
        let resize = api::ResizePtyRequest { container_id: container_id.into(), exec_id: String::new(), width, height };
        let _ = self.tasks().resize_pty(request(resize)).await;
    }

    /// Ends the standard input of a container's first process.
    pub async fn close_task_stdin(&self, container_id: &str) {
        let close = api::CloseIoRequest { container_id: container_id.into(), exec_id: String::new(), stdin: true };
        let _ = self.tasks().close_io(request(close)).await;
    }
}
