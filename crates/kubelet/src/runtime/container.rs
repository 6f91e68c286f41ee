//! Containers and their tasks: create, start, signal, delete, list.

use std::collections::HashMap;
use std::path::PathBuf;

use containerd_client::services::v1 as api;
use prost_types::Any;

use super::connection::request;
use super::{Containerd, Error, Image};
use crate::time::{self, Nanos};

/// How containerd knows that a container's specification is an OCI one.
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// One shim serves all containers whose annotation of this name is equal.
pub const SHIM_GROUP: &str = "io.containerd.runc.v2.group";
const RUNTIME: &str = "io.containerd.runc.v2";

/// Labels by which a container is found again.
pub mod label {
    pub const KIND: &str = "io.cri-containerd.kind";
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    pub const ATTEMPT: &str = "io.keelson.container.attempt";
    /// Which kubelet made it, where several share a containerd.
    pub const NODE: &str = "io.keelson.node";
}

/// The named pipes of a process; empty paths are absent streams.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    pub stdin: PathBuf,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
    pub terminal: bool,
}

/// Everything containerd needs to make a container.
pub struct NewContainer<'a> {
    pub id: &'a str,
    pub image: &'a Image,
    pub labels: HashMap<String, String>,
    pub spec: &'a serde_json::Value,
    pub streams: Streams,
}

/// A container as containerd holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub id: String,
    pub labels: HashMap<String, String>,
    pub image: String,
    pub created_at: Nanos,
}

/// A container's process as containerd sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Created, not started, or in a state between.
    Pending,
    Running {
        pid: u32,
    },
    Stopped {
        exit_code: i32,
        finished_at: Nanos,
    },
}

fn path(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Containerd {
    /// Makes container, root file system and task; the process waits to be started.
    pub async fn create_container(&self, new: &NewContainer<'_>) -> Result<u32, Error> {
        let spec = serde_json::to_vec(new.spec).map_err(super::image::document("specification", new.id))?;
        let container = api::Container {
            id: new.id.into(),
            labels: new.labels.clone(),
            image: new.image.name.clone(),
            runtime: Some(api::container::Runtime { name: RUNTIME.into(), options: None }),
            spec: Some(Any { type_url: SPEC_TYPE.into(), value: spec }),
            snapshotter: self.snapshotter.clone(),
            snapshot_key: new.id.into(),
            ..Default::default()
        };
        let create = api::CreateContainerRequest { container: Some(container) };
        // First the container, then the snapshot that it refers to: so the garbage collector never sees an orphan.
        self.containers().create(request(create)).await.map_err(Error::of("create container", new.id))?;
        let made = self.create_task(new).await;
        if made.is_err() {
            // What is half made must not be found again; the first error is the one that matters.
            let _ = self.delete_container(new.id).await;
        }
        made
    }

    async fn create_task(&self, new: &NewContainer<'_>) -> Result<u32, Error> {
        let rootfs = self.prepare_root(new.id, &new.image.chain_id).await?;
        let create = api::CreateTaskRequest {
            container_id: new.id.into(),
            rootfs,
            stdin: path(&new.streams.stdin),
            stdout: path(&new.streams.stdout),
            stderr: path(&new.streams.stderr),
            terminal: new.streams.terminal,
            ..Default::default()
        };
        let answer = self.tasks().create(request(create)).await.map_err(Error::of("create task", new.id))?;
        Ok(answer.into_inner().pid)
    }

    /// Lets a created process run.
    pub async fn start_task(&self, id: &str) -> Result<(), Error> {
        let start = api::StartRequest { container_id: id.into(), ..Default::default() };
        self.tasks().start(request(start)).await.map_err(Error::of("start task", id))?;
        Ok(())
    }

    /// Sends a signal to the container's first process, or to all of them. Fine when it ended already.
    pub async fn kill_task(&self, id: &str, signal: u32, all: bool) -> Result<(), Error> {
        let kill = api::KillRequest { container_id: id.into(), exec_id: String::new(), signal, all };
        match self.tasks().kill(request(kill)).await {
            Err(status) if !matches!(status.code(), tonic::Code::NotFound | tonic::Code::FailedPrecondition) => {
                Err(Error::of("signal task", id)(status))
            }
            _ => Ok(()),
        }
    }

    /// Deletes an ended task; its shim ends with the last task of the pod. Fine when it is gone.
    pub async fn delete_task(&self, id: &str) -> Result<(), Error> {
        let delete = api::DeleteTaskRequest { container_id: id.into() };
        match self.tasks().delete(request(delete)).await {
            Err(status) if status.code() != tonic::Code::NotFound => Err(Error::of("delete task", id)(status)),
            _ => Ok(()),
        }
    }

    /// Removes an ended container with its root file system. Fine when it is gone.
    pub async fn delete_container(&self, id: &str) -> Result<(), Error> {
        self.delete_task(id).await?;
        let delete = api::DeleteContainerRequest { id: id.into() };
        match self.containers().delete(request(delete)).await {
            Err(status) if status.code() != tonic::Code::NotFound => {
                return Err(Error::of("delete container", id)(status));
            }
            _ => {}
        }
        self.remove_snapshot(id).await
    }

    /// The state of the container's first process; None when it has no task.
    pub async fn task_state(&self, id: &str) -> Result<Option<TaskState>, Error> {
        let get = api::GetRequest { container_id: id.into(), ..Default::default() };
        match self.tasks().get(request(get)).await {
            Ok(answer) => Ok(answer.into_inner().process.map(|process| state(&process))),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(Error::of("look up task", id)(status)),
        }
    }

    /// All tasks' states by container id.
    pub async fn list_tasks(&self) -> Result<HashMap<String, TaskState>, Error> {
        let list = api::ListTasksRequest::default();
        let answer = self.tasks().list(request(list)).await.map_err(Error::of("list", "tasks"))?;
        let tasks = answer.into_inner().tasks.into_iter();
        Ok(tasks.map(|task| (task.id.clone(), state(&task))).collect())
    }

    /// The containers that carry a label with this value.
    pub async fn list_containers(&self, label: &str, value: &str) -> Result<Vec<Listed>, Error> {
        let list = api::ListContainersRequest { filters: vec![format!("labels.\"{label}\"==\"{value}\"")] };
        let answer = self.containers().list(request(list)).await.map_err(Error::of("list", "containers"))?;
        let containers = answer.into_inner().containers.into_iter();
        let listed = containers.map(|container| Listed {
            created_at: container.created_at.map_or(0, |at| time::from_parts(at.seconds, at.nanos)),
            id: container.id,
            labels: container.labels,
            image: container.image,
        });
        Ok(listed.collect())
    }

    /// The process of a container as it was specified; what joins the container looks like it.
    pub async fn process_of(&self, id: &str) -> Result<super::spec::Process, Error> {
        let get = api::GetContainerRequest { id: id.into() };
        let answer = self.containers().get(request(get)).await.map_err(Error::of("look up container", id))?;
        let spec = answer.into_inner().container.and_then(|container| container.spec).map(|any| any.value);
        let spec: serde_json::Value =
            serde_json::from_slice(&spec.unwrap_or_default()).map_err(super::image::document("specification", id))?;
        Ok(super::spec::Process::from_oci(&spec["process"]))
    }

    /// Changes the resources of a running container; the message is an OCI `LinuxResources` in JSON.
    pub async fn update_task(&self, id: &str, resources: &serde_json::Value) -> Result<(), Error> {
        let value = serde_json::to_vec(resources).map_err(super::image::document("resources", id))?;
        let update = api::UpdateTaskRequest {
            container_id: id.into(),
            resources: Some(Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources".into(),
                value,
            }),
            ..Default::default()
        };
        self.tasks().update(request(update)).await.map_err(Error::of("update task", id))?;
        Ok(())
    }
}

fn state(process: &containerd_client::types::v1::Process) -> TaskState {
    use containerd_client::types::v1::Status;
    match Status::try_from(process.status) {
        Ok(Status::Stopped) => TaskState::Stopped {
            exit_code: process.exit_status as i32,
            finished_at: process.exited_at.as_ref().map_or(0, |at| time::from_parts(at.seconds, at.nanos)),
        },
        Ok(Status::Running | Status::Paused | Status::Pausing) => TaskState::Running { pid: process.pid },
        _ => TaskState::Pending,
    }
}
