//! Starts one container: image, configuration, mounts, streams, create, start.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::core::v1::{Container, Pod};

use crate::cluster::{self, Event};
use crate::confine;
use crate::env::{self, Referred};
use crate::identity::{self, Identity};
use crate::images::{Failure, Obtained};
use crate::logs;
use crate::node_context::Node;
use crate::paths::PodPaths;
use crate::pod::{Role, field_path};
use crate::resize::Amounts;
use crate::runtime::Image;
use crate::runtime::container::{NewContainer, SHIM_GROUP, Streams, label};
use crate::runtime::registry::{Credentials, from_secret};
use crate::runtime::spec::{self, Namespace, Process};
use crate::time::{self, Nanos};
use crate::worker::forget_old_logs;

/// A run that is to begin.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: String,
    pub name: String,
    pub attempt: u32,
    /// What it is begun with.
    pub amounts: Amounts,
    pub pod_ip: Option<IpAddr>,
}

/// A run that began.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    pub started_at: Nanos,
    pub image_id: String,
}

/// Why a run did not begin; reason and message are shown in the container's state.
#[derive(Clone, Debug, PartialEq)]
pub struct StartError {
    pub reason: &'static str,
    pub message: String,
    /// The container existed, so it counts as a run that failed: with this image.
    pub failed_run: Option<String>,
    /// The image could not be pulled: further tries are put off.
    pub is_pull: bool,
}

impl StartError {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), failed_run: None, is_pull: false }
    }

    fn config(message: impl Into<String>) -> Self {
        Self::new("CreateContainerConfigError", message)
    }

    /// The kubelet itself failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("CreateContainerError", message)
    }
}

/// Starts the container and tells what happens as events.
pub async fn start(
    node: &Node,
    pod: &Pod,
    role: Role,
    container: &Container,
    run: &Run,
) -> Result<Started, StartError> {
    let starter = Starter { node, pod, role, container, run, paths: node.paths.pod(&pod.metadata.uid) };
    let image = starter.image().await?;
    starter.run(&image).await
}

struct Starter<'a> {
    node: &'a Node,
    pod: &'a Pod,
    role: Role,
    container: &'a Container,
    run: &'a Run,
    paths: PodPaths,
}

impl Starter<'_> {
    fn event(&self, warning: bool, reason: &'static str, message: impl Into<String>) {
        let event =
            Event { warning, reason, message: message.into(), field_path: field_path(self.role, &self.container.name) };
        self.node.cluster.event(self.pod, event);
    }

    async fn image(&self) -> Result<Arc<Image>, StartError> {
        let name = &self.container.image;
        let credentials = self.credentials().await;
        let pulling = || self.event(false, "Pulling", format!("Pulling image \"{name}\""));
        let got = self.node.images.obtain(name, &self.container.image_pull_policy, &credentials, pulling).await;
        match got {
            Ok((image, Obtained::Present)) => {
                let text =
                    format!("Container image \"{name}\" already present on machine and can be accessed by the pod");
                self.event(false, "Pulled", text);
                Ok(image)
            }
            Ok((image, Obtained::Pulled { took, size_bytes })) => {
                let took = format!("{:.3}s", took.as_secs_f64());
                let text = format!(
                    "Successfully pulled image \"{name}\" in {took} ({took} including waiting). Image size: {size_bytes} bytes."
                );
                self.event(false, "Pulled", text);
                Ok(image)
            }
            Err(Failure::InvalidName(message)) => {
                self.event(true, "InspectFailed", &*message);
                self.event(true, "Failed", "Error: InvalidImageName");
                Err(StartError::new("InvalidImageName", message))
            }
            Err(failure @ Failure::NeverPull(_)) => {
                let message = failure.to_string();
                self.event(true, "ErrImageNeverPull", &*message);
                self.event(true, "Failed", "Error: ErrImageNeverPull");
                Err(StartError::new("ErrImageNeverPull", message))
            }
            Err(Failure::Pull(message)) => {
                self.event(true, "Failed", format!("Failed to pull image \"{name}\": {message}"));
                self.event(true, "Failed", "Error: ErrImagePull");
                Err(StartError { is_pull: true, ..StartError::new("ErrImagePull", message) })
            }
            Err(Failure::Runtime(error)) => Err(StartError::new("ImageInspectError", crate::images::chain(&error))),
        }
    }

    /// What the pod's pull secrets know. A secret that is missing is ignored, as upstream does.
    async fn credentials(&self) -> Vec<Credentials> {
        let namespace = &self.pod.metadata.namespace;
        let mut out = Vec::new();
        for reference in &self.pod.spec.image_pull_secrets {
            match self.node.cluster.secret(namespace, &reference.name).await {
                Ok(secret) => out.extend(from_secret(&secret)),
                Err(error) => {
                    let text = format!(
                        "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                        reference.name
                    );
                    tracing::debug!(%error, secret = reference.name, "pull secret");
                    self.event(true, "FailedToRetrieveImagePullSecret", text);
                }
            }
        }
        out
    }

    async fn run(&self, image: &Image) -> Result<Started, StartError> {
        let configured = match self.configure(image).await {
            Ok(configured) => configured,
            Err(error) => {
                self.event(true, "Failed", format!("Error: {}", error.message));
                self.give_up().await;
                return Err(error);
            }
        };
        let spec = configured.to_oci();
        let streams = self.streams();
        let begun = match self.open(&streams).await {
            Ok(()) => self.begin(image, &spec, streams).await,
            Err(error) => Err(self.failed("CreateContainerError", error.to_string())),
        };
        if let Err(error) = begun {
            self.give_up().await;
            return Err(error);
        }
        let started_at = time::now();
        self.event(false, "Started", "Container started");
        Ok(Started { started_at, image_id: image.status_id() })
    }

    /// Makes the container and lets it run.
    async fn begin(&self, image: &Image, spec: &serde_json::Value, streams: Streams) -> Result<(), StartError> {
        let containerd = &self.node.containerd;
        let _turn = self.node.starts.acquire().await;
        let new = NewContainer { id: &self.run.id, image, labels: self.labels(), spec, streams };
        let created = containerd.create_container(&new).await;
        self.event(false, "Created", "Container created");
        let begun = match created {
            Ok(_) => containerd.start_task(&self.run.id).await,
            Err(error) => Err(error),
        };
        let Err(error) = begun else { return Ok(()) };
        let message = runtime_message(&error);
        self.event(true, "Failed", format!("Error: {message}"));
        if let Err(error) = containerd.delete_container(&self.run.id).await {
            tracing::warn!(%error, id = self.run.id, "a container that did not start stays behind");
        }
        Err(StartError { failed_run: Some(image.status_id()), ..StartError::new("RunContainerError", message) })
    }

    /// A run that did not begin leaves nothing: no pipes, no reader of them, no empty log.
    async fn give_up(&self) {
        const LIMIT: Duration = Duration::from_secs(2);
        for pipe in self.paths.pipes_of(&self.run.id) {
            // A pipe that had a writer and has none any more ends: so its reader does.
            drop(pipe.exists().then(|| sys::fifo::open_both(&pipe)));
        }
        let writer = self.node.log_writer(&self.pod.metadata.uid);
        if !matches!(tokio::time::timeout(LIMIT, writer.drained(&self.run.id)).await, Ok(Ok(()))) {
            tracing::debug!(id = self.run.id, "the log writer did not say that it is done");
        }
        let log = self.log();
        if fs::metadata(&log).is_ok_and(|file| file.len() == 0) {
            let _ = fs::remove_file(&log);
        }
        for file in self.paths.pipes_of(&self.run.id) {
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_file(self.paths.termination_log(&self.container.name, &self.run.id));
        forget_old_logs(&log, self.run.attempt);
    }

    /// The log of this run.
    fn log(&self) -> PathBuf {
        let meta = &self.pod.metadata;
        self.node.paths.log(&meta.namespace, &meta.name, &meta.uid, &self.container.name, self.run.attempt)
    }

    fn failed(&self, reason: &'static str, message: String) -> StartError {
        self.event(true, "Failed", format!("Error: {message}"));
        StartError::new(reason, message)
    }

    fn labels(&self) -> HashMap<String, String> {
        let meta = &self.pod.metadata;
        HashMap::from([
            (label::KIND.to_owned(), "container".to_owned()),
            (label::POD_UID.to_owned(), meta.uid.clone()),
            (label::POD_NAME.to_owned(), meta.name.clone()),
            (label::POD_NAMESPACE.to_owned(), meta.namespace.clone()),
            (label::CONTAINER_NAME.to_owned(), self.container.name.clone()),
            (label::ATTEMPT.to_owned(), self.run.attempt.to_string()),
            (label::NODE.to_owned(), self.node.name.clone()),
        ])
    }

    fn streams(&self) -> Streams {
        let (tty, id) = (self.container.tty, &self.run.id);
        Streams {
            stdin: if self.container.stdin { self.paths.pipe(id, "in") } else { PathBuf::new() },
            stdout: self.paths.pipe(id, "out"),
            stderr: if tty { PathBuf::new() } else { self.paths.pipe(id, "err") },
            terminal: tty,
        }
    }

    /// Makes the named pipes; the pod's log writer reads them before anything can be written.
    async fn open(&self, streams: &Streams) -> std::io::Result<()> {
        for path in [&streams.stdin, &streams.stdout, &streams.stderr] {
            if !path.as_os_str().is_empty() {
                sys::fifo::make(path).map_err(std::io::Error::other)?;
            }
        }
        let open = logs::protocol::Open {
            run: self.run.id.clone(),
            log: self.log(),
            stdout: streams.stdout.clone(),
            stderr: (!streams.terminal).then(|| streams.stderr.clone()),
            limits: self.node.settings.log_limits,
        };
        let writer = self.node.log_writer(&self.pod.metadata.uid);
        if writer.open(open.clone()).await.is_err() {
            writer.spawn()?;
            writer.open(open).await?;
        }
        Ok(())
    }

    async fn configure(&self, image: &Image) -> Result<spec::Container, StartError> {
        let (referred, accounts) = tokio::join!(self.referred(), self.node.images.accounts(image));
        let accounts = accounts.map_err(|error| StartError::config(crate::images::chain(&error)))?;
        let place = self.node.place(self.run.pod_ip);
        let own = env::environment(self.pod, self.container, &referred?, &place).map_err(StartError::config)?;
        let who = identity::identity(self.pod, self.container, image.user(), &accounts).map_err(StartError::config)?;
        let env = merged(image, own, &crate::sandbox::hostname(self.pod, &self.node.name), self.container.tty);
        let args = env::arguments(self.container, image.entrypoint(), image.command(), &env);
        if args.is_empty() {
            return Err(StartError::new("CreateContainerError", "no command specified"));
        }
        let mounts = self.mounts(&env)?;
        let process = self.process(args, env, image, who);
        let profiles = self.node.paths.root.join("seccomp");
        let seccomp = confine::seccomp(self.pod, self.container, &process.capabilities, &profiles);
        for text in confine::unheeded(self.pod, self.container) {
            self.event(true, "Unsupported", text);
        }
        Ok(self.container_spec(process, mounts, seccomp.map_err(StartError::config)?))
    }

    async fn referred(&self) -> Result<Referred, StartError> {
        let namespace = &self.pod.metadata.namespace;
        let (maps, secrets) = env::references(self.container);
        let cluster = &self.node.cluster;
        let mut referred = Referred { services: cluster.services(namespace).await, ..Referred::default() };
        for name in maps {
            let found = optional(cluster.config_map(namespace, &name).await)?;
            referred.config_maps.insert(name, found);
        }
        for name in secrets {
            let found = optional(cluster.secret(namespace, &name).await)?;
            referred.secrets.insert(name, found);
        }
        Ok(referred)
    }

    fn process(&self, args: Vec<String>, env: Vec<(String, String)>, image: &Image, who: Identity) -> Process {
        let context = self.container.security_context.clone().unwrap_or_default();
        let cwd = match self.container.working_dir.as_str() {
            "" => image.working_dir(),
            own => own,
        };
        let score = crate::resources::oom_score(self.pod, self.container, self.node.memory_bytes);
        Process {
            args,
            env,
            cwd: cwd.to_owned(),
            uid: who.uid,
            gid: who.gid,
            additional_gids: who.groups,
            terminal: self.container.tty,
            capabilities: identity::capabilities(self.container, &self.node.own.capabilities),
            no_new_privileges: context.allow_privilege_escalation == Some(false),
            oom_score_adj: Some(score.max(self.node.own.oom_score_min)),
        }
    }

    fn container_spec(
        &self,
        process: Process,
        mounts: Vec<spec::Mount>,
        seccomp: Option<serde_json::Value>,
    ) -> spec::Container {
        let (pod, spec) = (self.pod, &self.pod.spec);
        let context = self.container.security_context.clone().unwrap_or_default();
        let pinned = |name: &str| Namespace::Join(self.paths.namespaces().join(name));
        let group = crate::resources::cgroup(&self.node.settings.cgroup_root, pod);
        let mut resources = crate::resources::container(self.container);
        let v2 = self.node.cgroups.version() == sys::cgroup::Version::V2;
        if v2 && resources.memory_bytes.is_some() {
            resources.unified.push(("memory.oom.group".into(), "1".into()));
        }
        let privileged = identity::is_privileged(self.container);
        spec::Container {
            process,
            hostname: Some(crate::sandbox::uts_name(pod, self.node)),
            read_only_root: context.read_only_root_filesystem == Some(true),
            privileged,
            unmasked_proc: context.proc_mount.as_deref() == Some("Unmasked"),
            mounts,
            pid: if spec.host_pid { Namespace::Host } else { Namespace::Own },
            network: if spec.host_network { Namespace::Host } else { pinned("net") },
            ipc: if spec.host_ipc { Namespace::Host } else { pinned("ipc") },
            uts: match spec.host_network {
                true => Namespace::Host,
                false if crate::sandbox::shares_uts(pod) => pinned("uts"),
                false => Namespace::Own,
            },
            cgroup: format!("{group}/{}", self.run.id),
            cgroup_v2: v2,
            resources,
            annotations: vec![(SHIM_GROUP.to_owned(), pod.metadata.uid.clone())],
            seccomp,
            devices: if privileged { crate::devices::host() } else { Vec::new() },
        }
    }

    fn mounts(&self, env: &[(String, String)]) -> Result<Vec<spec::Mount>, StartError> {
        let mut mounts = Vec::new();
        for (index, mount) in self.container.volume_mounts.iter().enumerate() {
            let volume = self.pod.spec.volumes.iter().find(|volume| volume.name == mount.name);
            let volume = volume.ok_or_else(|| StartError::config(format!("no volume named {}", mount.name)))?;
            let mut source = crate::volume::prepare::location(&self.paths, volume);
            let sub = match mount.sub_path_expr.as_str() {
                "" => mount.sub_path.clone(),
                expression => env::expand(expression, env),
            };
            if !sub.is_empty() {
                source = self.subpath(&source, &sub, index)?;
            }
            mounts.push(spec::Mount {
                source,
                target: mount.mount_path.clone(),
                // What is made of objects is the API's to change.
                read_only: mount.read_only || crate::volume::prepare::is_made_of_objects(volume),
                propagation: match mount.mount_propagation.as_deref() {
                    Some("HostToContainer") => "rslave",
                    Some("Bidirectional") => "rshared",
                    _ => "rprivate",
                },
            });
        }
        self.own_mounts(&mut mounts)?;
        Ok(mounts)
    }

    /// Binds a part of a volume at a place of its own: what the container gets cannot be swapped under it.
    fn subpath(&self, volume: &std::path::Path, sub: &str, index: usize) -> Result<PathBuf, StartError> {
        let failed = |error: std::io::Error| {
            StartError::config(format!(
                "failed to prepare subPath for volumeMount \"{}\" of container \"{}\": {error}",
                self.container.volume_mounts[index].name, self.container.name
            ))
        };
        let real = crate::volume::subpath::resolve(volume, sub).map_err(failed)?;
        let target = self.paths.dir.join("subpaths").join(&self.container.name).join(index.to_string());
        crate::volume::subpath::bind(&real, &target).map_err(failed)?;
        Ok(target)
    }

    fn own_mounts(&self, mounts: &mut Vec<spec::Mount>) -> Result<(), StartError> {
        let mut add = |source: PathBuf, target: &str, read_only: bool| {
            if !mounts.iter().any(|mount| mount.target == target) {
                mounts.push(spec::Mount { source, target: target.into(), read_only, propagation: "rprivate" });
            }
        };
        let read_only = self.container.security_context.as_ref().and_then(|context| context.read_only_root_filesystem);
        let read_only = read_only == Some(true);
        add(self.paths.hosts(), "/etc/hosts", read_only);
        add(self.paths.resolv_conf(), "/etc/resolv.conf", read_only);
        add(self.paths.hostname(), "/etc/hostname", read_only);
        let shm = if self.pod.spec.host_ipc { PathBuf::from("/dev/shm") } else { self.paths.shm() };
        add(shm, "/dev/shm", false);
        let words = self.paths.termination_log(&self.container.name, &self.run.id);
        let made = words.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&words, ""));
        let made = made.and_then(|()| fs::set_permissions(&words, fs::Permissions::from_mode(0o666)));
        made.map_err(|error| StartError::new("CreateContainerError", format!("make the termination log: {error}")))?;
        let target = match self.container.termination_message_path.as_str() {
            "" => "/dev/termination-log",
            path => path,
        };
        add(words, target, false);
        Ok(())
    }
}

fn optional<T>(found: Result<T, cluster::Error>) -> Result<Option<T>, StartError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(cluster::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(StartError::config(error.to_string())),
    }
}

/// The image's variables under the container's own.
fn merged(image: &Image, own: Vec<(String, String)>, hostname: &str, tty: bool) -> Vec<(String, String)> {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut env = vec![("PATH".to_owned(), PATH.to_owned()), ("HOSTNAME".to_owned(), hostname.to_owned())];
    if tty {
        env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let of_image = image.environment().iter().filter_map(|line| line.split_once('='));
    let all = of_image.map(|(name, value)| (name.to_owned(), value.to_owned())).chain(own);
    for (name, value) in all {
        match env.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => env.push((name, value)),
        }
    }
    env
}

/// What upstream shows of the runtime's answer.
fn runtime_message(error: &crate::runtime::Error) -> String {
    match error {
        crate::runtime::Error::Containerd { operation, source, .. } if operation.ends_with("task") => {
            format!("failed to {operation}: {}", source.message())
                .replace("create task", "create containerd task")
                .replace("start task", "start containerd task")
        }
        other => crate::images::chain(other),
    }
}
