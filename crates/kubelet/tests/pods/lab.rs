//! A node to test on: a network namespace, a containerd, a kubelet without a process, an API server made of maps.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use daemon::tls::Peer;
use futures::FutureExt;
use kubelet::admission::Offer;
use kubelet::cluster::{Cluster, Error, Event, Token, TokenFor};
use kubelet::logs;
use kubelet::manager::{Handles, Manager, PodEvent};
use kubelet::node_context::{Node, Parts, Settings};
use kubelet::observed::State;
use kubelet::paths::Paths;
use kubelet::runtime::spec::Process;
use kubelet::runtime::{Containerd, events};
use kubelet::serve::NodeService;
use proto::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use proto::keelson::api::v1::{LogsRequest, PodRef};
use proto::keelson::node::v1::node_client::NodeClient;
use proto::keelson::node::v1::node_server::NodeServer;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::transport::Channel;

pub const IMAGE: &str = "lab.example/busybox:1";
/// User "me", password "secret".
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
const RANGE: &str = "10.77.0.0/24";
/// The node's address, which is also the bridge's.
pub const NODE_IP: &str = "10.77.0.1";
/// What `--resolv-conf` names.
pub const RESOLVER: &str = "search lab.example\nnameserver 192.0.2.53\noptions edns0\n";
const WAIT: Duration = Duration::from_secs(20);

/// One lab at a time: they share the machine.
static TURN: Mutex<()> = Mutex::new(());

pub fn on_lab(test: impl AsyncFn(&Lab)) {
    on_lab_with(None, test);
}

/// A lab whose containerd keeps its things on a disk of its own, of so many bytes.
pub fn on_lab_with(disk_bytes: Option<u64>, test: impl AsyncFn(&Lab)) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The runtime's threads and everything they start are born in the namespace of this thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("needs root (CAP_SYS_ADMIN)");
    // RUST_LOG=kubelet=debug shows what the kubelet thinks.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let lab = Lab::start(disk_bytes).await;
        let result = AssertUnwindSafe(test(&lab)).catch_unwind().await;
        if result.is_err() {
            lab.tell_all();
        }
        lab.end().await;
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The API server: objects in maps, changes told to the kubelet at once.
#[derive(Default)]
pub struct Map {
    state: Mutex<MapState>,
}

#[derive(Default)]
struct MapState {
    pods: BTreeMap<String, Pod>,
    config_maps: BTreeMap<(String, String), ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    events: Vec<Event>,
    /// Pods in their last state.
    removed: BTreeMap<String, Pod>,
    /// The reason of the event at which the kubelet is made to panic, once.
    panic_at: Option<&'static str>,
    version: u64,
    /// How many were given.
    tokens: u64,
    tx: Option<mpsc::Sender<PodEvent>>,
}

fn key(pod: &Pod) -> String {
    format!("{}/{}", pod.metadata.namespace, pod.metadata.name)
}

impl Map {
    pub fn pod(&self, pod: &Pod) -> Option<Pod> {
        self.state.lock().unwrap().pods.get(&key(pod)).cloned()
    }

    pub fn events(&self) -> Vec<Event> {
        self.state.lock().unwrap().events.clone()
    }

    /// The pod as it was when its object was removed.
    pub fn removed(&self, pod: &Pod) -> Option<Pod> {
        self.state.lock().unwrap().removed.get(&pod.metadata.uid).cloned()
    }

    /// Has the kubelet panic where it next tells an event with this reason.
    pub fn panic_at(&self, reason: &'static str) {
        self.state.lock().unwrap().panic_at = Some(reason);
    }

    pub fn put_config_map(&self, namespace: &str, name: &str, data: &[(&str, &str)]) {
        let mut map = ConfigMap::default();
        map.data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.state.lock().unwrap().config_maps.insert((namespace.into(), name.into()), map);
    }

    pub fn put_secret(&self, name: &str, key: &str, value: &str) {
        let mut secret = Secret::default();
        secret.data.insert(key.into(), value.as_bytes().to_vec());
        self.state.lock().unwrap().secrets.insert(name.into(), secret);
    }

    pub fn remove_secret(&self, name: &str) {
        self.state.lock().unwrap().secrets.remove(name);
    }

    /// Stores the pod under the next version and returns what to tell whom.
    fn put(&self, mut pod: Pod) -> (Pod, Option<mpsc::Sender<PodEvent>>) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        pod.metadata.resource_version = state.version.to_string();
        state.pods.insert(key(&pod), pod.clone());
        (pod, state.tx.clone())
    }

    async fn set(&self, pod: Pod) -> Pod {
        let (pod, tx) = self.put(pod);
        if let Some(tx) = tx {
            let _ = tx.send(PodEvent::Set(Arc::new(pod.clone()))).await;
        }
        pod
    }
}

#[async_trait]
impl Cluster for Map {
    async fn config_map(&self, namespace: &str, name: &str) -> Result<ConfigMap, Error> {
        let found = self.state.lock().unwrap().config_maps.get(&(namespace.to_owned(), name.to_owned())).cloned();
        found.ok_or_else(|| Error::NotFound(format!("configmap \"{name}\" not found")))
    }

    async fn secret(&self, _: &str, name: &str) -> Result<Secret, Error> {
        let found = self.state.lock().unwrap().secrets.get(name).cloned();
        found.ok_or_else(|| Error::NotFound(format!("secret \"{name}\" not found")))
    }

    async fn claim(&self, _: &str, name: &str) -> Result<PersistentVolumeClaim, Error> {
        Err(Error::NotFound(name.into()))
    }

    async fn volume(&self, name: &str) -> Result<PersistentVolume, Error> {
        Err(Error::NotFound(name.into()))
    }

    async fn node_labels(&self, _: &str) -> Result<BTreeMap<String, String>, Error> {
        Ok(BTreeMap::new())
    }

    async fn token(&self, _: &Pod, wanted: &TokenFor) -> Result<Token, Error> {
        let mut state = self.state.lock().unwrap();
        state.tokens += 1;
        let expires_at = kubelet::time::now() + wanted.expiration_seconds * kubelet::time::SECOND;
        Ok(Token { token: format!("token-{}", state.tokens), expires_at })
    }

    async fn services(&self, _: &str) -> Vec<Arc<Service>> {
        Vec::new()
    }

    async fn get_pod(&self, namespace: &str, name: &str) -> Result<Pod, Error> {
        let found = self.state.lock().unwrap().pods.get(&format!("{namespace}/{name}")).cloned();
        found.ok_or_else(|| Error::NotFound(name.into()))
    }

    async fn update_status(&self, pod: &Pod) -> Result<Pod, Error> {
        let current = self.get_pod(&pod.metadata.namespace, &pod.metadata.name).await?;
        if current.metadata.resource_version != pod.metadata.resource_version {
            return Err(Error::Conflict("the object has been modified".into()));
        }
        // As with the API server, the status is all that is taken.
        Ok(self.set(Pod { status: pod.status.clone(), ..current }).await)
    }

    async fn delete_pod(&self, pod: &Pod) -> Result<(), Error> {
        let (removed, tx) = {
            let mut state = self.state.lock().unwrap();
            (state.pods.remove(&key(pod)), state.tx.clone())
        };
        let removed = removed.ok_or_else(|| Error::NotFound(key(pod)))?;
        self.state.lock().unwrap().removed.insert(removed.metadata.uid.clone(), removed.clone());
        if let Some(tx) = tx {
            let _ = tx.send(PodEvent::Gone(Arc::new(removed))).await;
        }
        Ok(())
    }

    fn event(&self, _: &Pod, event: Event) {
        let panics = {
            let mut state = self.state.lock().unwrap();
            state.events.push(event.clone());
            state.panic_at.take_if(|reason| *reason == event.reason).is_some()
        };
        assert!(!panics, "a test made the kubelet panic at {}", event.reason);
    }
}

/// A registry; it ends with this.
pub struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The node.
pub struct Lab {
    dir: tempfile::TempDir,
    root: PathBuf,
    pub map: Arc<Map>,
    containerd: Containerd,
    process: Mutex<Child>,
    kubelet: Mutex<Option<Kubelet>>,
    cgroup_root: String,
    /// What the node gives.
    offer: Mutex<Offer>,
}

struct Kubelet {
    tasks: JoinSet<()>,
    node: Arc<Node>,
    handles: Handles,
    /// What keeps the node from being ready, as far as containerd goes.
    runtime: watch::Receiver<Result<(), String>>,
}

impl Lab {
    async fn start(disk_bytes: Option<u64>) -> Self {
        let dir = tempfile::Builder::new().prefix("kl").tempdir_in("/tmp").unwrap();
        let root = dir.path().canonicalize().unwrap();
        kubelet::network::bridge::loopback_only(&kubelet::network::bridge::open().unwrap()).await.unwrap();
        let config = format!(
            "version = 2\nroot = \"{0}/c\"\nstate = \"{0}/s\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/c.sock\"\n",
            root.display()
        );
        std::fs::write(root.join("config.toml"), config).unwrap();
        std::fs::write(root.join("resolv.conf"), RESOLVER).unwrap();
        if disk_bytes.is_some() {
            sys::mount::tmpfs(&root.join("c"), disk_bytes, 0o755).unwrap();
        }
        let process = Mutex::new(start_containerd(&root));
        let containerd = Containerd::new(&root.join("c.sock"), "overlayfs");
        let lab = Self {
            dir,
            map: Arc::default(),
            containerd,
            process,
            kubelet: Mutex::new(None),
            cgroup_root: format!("/keelson-lab-{}", std::process::id()),
            root,
            offer: Mutex::new(Offer {
                allocatable: ["cpu", "memory", "ephemeral-storage"].map(|name| (name.to_owned(), i64::MAX)).into(),
                pods_max: i64::MAX,
                unsafe_sysctls: Vec::new(),
            }),
        };
        lab.wait_containerd().await;
        let archive = lab.root.join("image.tar");
        let image = testkit::image::Image::busybox().expect("needs busybox-static");
        image.write_archive(IMAGE, &archive).unwrap();
        let socket = lab.root.join("c.sock");
        let import = Command::new("ctr")
            .arg("-a")
            .arg(&socket)
            .args(["-n", "k8s.io", "images", "import"])
            .arg(&archive)
            .output()
            .unwrap();
        assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
        lab.start_kubelet().await;
        lab
    }

    async fn wait_containerd(&self) {
        eventually("containerd answers", async || self.containerd.version().await.is_ok()).await;
    }

    async fn start_kubelet(&self) {
        let node = Arc::new(Node::new(Parts {
            name: "lab".into(),
            ip: NODE_IP.parse().unwrap(),
            paths: Paths { root: self.root.join("k"), logs: self.root.join("logs") },
            settings: Settings {
                dns: Default::default(),
                cluster_domain: "cluster.local".into(),
                resolv_conf: self.root.join("resolv.conf"),
                cgroup_root: self.cgroup_root.clone(),
                log_limits: logs::Limits { bytes_max: 10 << 20, files_max: 3 },
                program: env!("CARGO_BIN_EXE_keelson-log-writer").into(),
            },
            containerd: self.containerd.clone(),
            cluster: self.map.clone(),
            offer: self.offer.lock().unwrap().clone(),
            memory_bytes: 1 << 30,
        }));
        kubelet::run_dir::mount(&node.paths).expect("needs root (CAP_SYS_ADMIN)");
        let range = RANGE.parse().unwrap();
        kubelet::node::network::set_up(&node, range, &[range]).await.expect("needs root and nft");
        let (pod_tx, pod_rx) = mpsc::channel(64);
        let (task_tx, task_rx) = mpsc::channel(64);
        let (ready, runtime) = watch::channel(Err("containerd has not answered yet".to_owned()));
        let manager = Manager::new(node.clone(), pod_rx, task_rx, ready);
        let handles = manager.handles();
        let mut tasks = JoinSet::new();
        tasks.spawn(manager.run(CancellationToken::new()));
        tasks.spawn(events::run(self.containerd.clone(), task_tx));
        let known: Vec<Pod> = {
            let mut state = self.map.state.lock().unwrap();
            state.tx = Some(pod_tx.clone());
            state.pods.values().cloned().collect()
        };
        for pod in known {
            pod_tx.send(PodEvent::Set(Arc::new(pod))).await.unwrap();
        }
        *self.kubelet.lock().unwrap() = Some(Kubelet { tasks, node, handles, runtime });
    }

    /// As kill -9: every task is dropped where it stands.
    pub async fn restart_kubelet(&self) {
        self.stop_kubelet().await;
        self.start_kubelet().await;
    }

    /// Has the node give no more than this, from the next kubelet on.
    pub async fn offer(&self, offer: Offer) {
        *self.offer.lock().unwrap() = offer;
        self.restart_kubelet().await;
    }

    pub async fn stop_kubelet(&self) {
        let old = self.kubelet.lock().unwrap().take();
        if let Some(mut old) = old {
            old.tasks.shutdown().await;
            drop(old.handles);
        }
    }

    /// Takes the pod's object and its record away, as a disk that loses them would.
    pub fn forget(&self, pod: &Pod) {
        self.map.state.lock().unwrap().pods.remove(&key(pod));
        let dir = self.root.join("k/pods").join(&pod.metadata.uid);
        for file in ["record.json", "pod.bin"] {
            std::fs::remove_file(dir.join(file)).unwrap();
        }
    }

    /// How many containers containerd has of the pod.
    pub async fn containers(&self, pod: &Pod) -> usize {
        self.containerd.list_containers("io.kubernetes.pod.uid", &pod.metadata.uid).await.unwrap().len()
    }

    /// The names of the pod's pipes.
    pub fn pipes(&self, pod: &Pod) -> Vec<String> {
        let dir = self.node().paths.pod(&pod.metadata.uid).pipes();
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// How many pipes the pod's log writer has open.
    pub fn log_writer_pipes(&self, pod: &Pod) -> usize {
        let pids = log_writers(&self.root, &pod.metadata.uid);
        assert_eq!(pids.len(), 1);
        let files = std::fs::read_dir(format!("/proc/{}/fd", pids[0])).unwrap().flatten();
        let pipes = self.node().paths.pod(&pod.metadata.uid).pipes();
        files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|path| path.starts_with(&pipes))).count()
    }

    /// The container's state by the record.
    pub fn state(&self, pod: &Pod, container: &str) -> Option<State> {
        let paths = kubelet::paths::Paths { root: self.root.join("k"), logs: self.root.join("logs") };
        let (_, observed) = kubelet::record::load(&paths.pod(&pod.metadata.uid))?;
        observed.container(container).map(|seen| seen.state.clone())
    }

    /// A registry of Debian's on loopback that asks for a user, holding one image. Returns its address.
    pub fn registry(&self, port: u16) -> Registry {
        let dir = self.root.join("registry");
        std::fs::create_dir_all(&dir).unwrap();
        // "me" with the password "secret", as htpasswd -B writes it.
        std::fs::write(dir.join("users"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {0}/data\nhttp:\n  addr: 127.0.0.1:{port}\nauth:\n  htpasswd:\n    realm: lab\n    path: {0}/users\n",
            dir.display()
        );
        std::fs::write(dir.join("config.yml"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.join("config.yml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("needs docker-registry (Debian: apt install docker-registry)");
        let registry = Registry(process);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < WAIT, "the registry does not answer");
            std::thread::yield_now();
        }
        let copied = Command::new("skopeo")
            .args(["copy", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds", "me:secret"])
            .arg(format!("oci-archive:{}", self.root.join("image.tar").display()))
            .arg(format!("docker://127.0.0.1:{port}/lab/app:1"))
            .output()
            .expect("needs skopeo");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        registry
    }

    pub async fn restart_containerd(&self) {
        self.stop_containerd();
        self.start_containerd().await;
    }

    pub fn stop_containerd(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub async fn start_containerd(&self) {
        *self.process.lock().unwrap() = start_containerd(&self.root);
        self.wait_containerd().await;
    }

    /// Makes the disk of containerd larger (see [`on_lab_with`]).
    pub fn grow_disk(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        let mounted = Command::new("mount").args(["-o", &options]).arg(self.root.join("c")).status().unwrap();
        assert!(mounted.success());
    }

    /// What the API server calls, as the API server.
    pub async fn client(&self) -> NodeClient<Channel> {
        let peer = Peer { common_name: "kube-apiserver-kubelet-client".into(), organizations: Vec::new() };
        self.client_as(Some(peer)).await
    }

    /// The same, called by somebody else; None: without a certificate.
    pub async fn client_as(&self, peer: Option<Peer>) -> NodeClient<Channel> {
        let (node, handles) = {
            let kubelet = self.kubelet.lock().unwrap();
            let kubelet = kubelet.as_ref().unwrap();
            (kubelet.node.clone(), kubelet.handles.clone())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = NodeServer::with_interceptor(NodeService::new(node, handles), move |mut request: Request<()>| {
            if let Some(peer) = peer.clone() {
                request.extensions_mut().insert(peer);
            }
            Ok(request)
        });
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)),
        );
        NodeClient::connect(format!("http://{address}")).await.unwrap()
    }

    /// `logs` of a container.
    pub async fn logs(&self, mut request: LogsRequest, pod: &Pod) -> Result<String, tonic::Status> {
        request.pod = Some(Self::reference(pod));
        let mut stream = self.client().await.logs(request).await?.into_inner();
        let mut text = Vec::new();
        while let Some(chunk) = stream.message().await? {
            text.extend_from_slice(&chunk.data);
        }
        Ok(String::from_utf8(text).unwrap())
    }

    pub fn reference(pod: &Pod) -> PodRef {
        let meta = &pod.metadata;
        PodRef { namespace: meta.namespace.clone(), name: meta.name.clone(), uid: meta.uid.clone() }
    }

    /// A value of the pod's, or of another cgroup below the lab's.
    pub fn cgroup(&self, controller: &str, group: &str, file: &str) -> i64 {
        let path = format!("/sys/fs/cgroup/{controller}{}/{group}/{file}", self.cgroup_root);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error} (cgroup v1)"));
        text.trim().parse().unwrap()
    }

    /// Puts an image into the registry (see [`Self::registry`]).
    pub fn push(&self, image: &testkit::image::Image, port: u16, name: &str) {
        let archive = self.root.join("push.tar");
        image.write_archive("lab.example/pushed:1", &archive).unwrap();
        let copied = Command::new("skopeo")
            .args(["copy", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds", "me:secret"])
            .arg(format!("oci-archive:{}", archive.display()))
            .arg(format!("docker://127.0.0.1:{port}/{name}"))
            .output()
            .expect("needs skopeo");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }

    /// What the kubelet thinks of containerd.
    pub fn runtime(&self) -> Result<(), String> {
        self.kubelet.lock().unwrap().as_ref().unwrap().runtime.borrow().clone()
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn node(&self) -> Arc<Node> {
        self.kubelet.lock().unwrap().as_ref().unwrap().node.clone()
    }

    pub async fn create(&self, pod: &Pod) {
        self.map.set(pod.clone()).await;
    }

    pub async fn delete(&self, pod: &Pod, grace_seconds: i64) {
        let Some(mut pod) = self.map.pod(pod) else { return };
        pod.metadata.deletion_timestamp = Some(kubelet::time::to_meta(kubelet::time::now()));
        pod.metadata.deletion_grace_period_seconds = Some(grace_seconds);
        // The kubelet may write the status between; the deletion wins.
        self.map.set(pod).await;
    }

    #[track_caller]
    pub fn wait<'a>(
        &'a self,
        pod: &'a Pod,
        what: &'a str,
        is: impl Fn(&Pod) -> bool + 'a,
    ) -> impl Future<Output = Pod> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            loop {
                match self.map.pod(pod) {
                    Some(pod) if is(&pod) => return pod,
                    other if began.elapsed() > WAIT => {
                        panic!("{caller}: no {what}: {:#?}", other.map(|pod| pod.status))
                    }
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }
    }

    pub async fn wait_gone(&self, pod: &Pod) {
        let dir = self.node().paths.pod(&pod.metadata.uid).dir;
        eventually("the pod is gone", async || self.map.pod(pod).is_none() && !dir.exists()).await;
    }

    /// Nothing of the pod is left on the node.
    pub async fn assert_clean(&self, pod: &Pod) {
        let uid = &pod.metadata.uid;
        let listed = self.containerd.list_containers("io.kubernetes.pod.uid", uid).await.unwrap();
        assert!(listed.is_empty(), "{listed:?}");
        let paths = self.node().paths.pod(uid);
        for dir in [paths.dir, paths.run] {
            assert_eq!(sys::mount::below(&dir).unwrap(), Vec::<PathBuf>::new());
            assert!(!dir.exists(), "{}", dir.display());
        }
        let group = kubelet::resources::cgroup(&self.cgroup_root, pod);
        assert!(!Path::new("/sys/fs/cgroup/memory").join(group.trim_start_matches('/')).exists());
        assert!(log_writers(&self.root, uid).is_empty());
        eventually("the shim ends", async || processes(&self.root, "containerd-shim").is_empty()).await;
    }

    pub fn kill_log_writer(&self, pod: &Pod) {
        for pid in log_writers(&self.root, &pod.metadata.uid) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    }

    pub fn log_path(&self, pod: &Pod, container: &str, attempt: u32) -> PathBuf {
        let meta = &pod.metadata;
        self.node().paths.log(&meta.namespace, &meta.name, &meta.uid, container, attempt)
    }

    /// The text of a log.
    pub fn log(&self, pod: &Pod, container: &str, attempt: u32) -> String {
        logs::read::last(&self.log_path(pod, container, attempt), usize::MAX - 1, usize::MAX).unwrap_or_default()
    }

    /// Waits for a word in a log file that may be removed soon; returns the file's text.
    pub async fn wait_log(&self, path: &Path, word: &str) -> String {
        let began = Instant::now();
        let mut text = String::new();
        while !text.contains(&format!("F {word}")) {
            assert!(began.elapsed() < WAIT, "no {word} in {text}");
            if let Ok(now) = std::fs::read_to_string(path) {
                text = now;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        text
    }

    pub async fn exec(&self, pod: &Pod, container: &str, command: &[&str]) -> (i32, String) {
        let paths = self.node().paths.pod(&pod.metadata.uid);
        let (_, observed) = kubelet::record::load(&paths).unwrap();
        let State::Running { id, .. } = &observed.containers[container].state else {
            panic!("{container} does not run")
        };
        let process = self.containerd.process_of(id).await.unwrap();
        let process = Process { args: command.iter().map(|word| (*word).to_owned()).collect(), ..process };
        let ended = kubelet::exec::run(&self.containerd, &paths, id, &process, Some(WAIT)).await.unwrap();
        (ended.code.unwrap(), ended.output)
    }

    pub async fn http_get(&self, ip: &str, port: u16) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let began = Instant::now();
        loop {
            if let Ok(mut stream) = tokio::net::TcpStream::connect((ip, port)).await {
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                return answer;
            }
            assert!(began.elapsed() < WAIT, "{ip}:{port} does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn tell_all(&self) {
        let state = self.map.state.lock().unwrap();
        for pod in state.pods.values() {
            eprintln!("{}: {:#?}", key(pod), pod.status);
        }
        for event in &state.events {
            eprintln!("{event:?}");
        }
        for uid in kubelet::record::list(&self.root.join("k/pods")) {
            let record = std::fs::read_to_string(self.root.join("k/pods").join(uid).join("record.json"));
            eprintln!("{}", record.unwrap_or_default());
        }
    }

    async fn end(&self) {
        let kubelet = self.kubelet.lock().unwrap().take();
        if let Some(mut kubelet) = kubelet {
            kubelet.tasks.shutdown().await;
        }
        for pid in processes(&self.root, "keelson-log-writer") {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        for container in
            self.containerd.list_containers("io.cri-containerd.kind", "container").await.unwrap_or_default()
        {
            let _ = self.containerd.kill_task(&container.id, 9, true).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let _ = self.containerd.delete_container(&container.id).await;
        }
        {
            let mut process = self.process.lock().unwrap();
            let _ = process.kill();
            let _ = process.wait();
        }
        sys::mount::unmount_all(&self.root).unwrap();
        let _ = sys::cgroup::Cgroups::detect().remove(&self.cgroup_root);
        let _ = self.dir.path();
    }
}

fn start_containerd(root: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(root.join("containerd.log")).unwrap();
    Command::new("containerd")
        .arg("--config")
        .arg(root.join("config.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("needs containerd (Debian: apt install containerd)")
}

/// Ids of processes whose program's name begins so and that name the lab's folder.
fn processes(root: &Path, program: &str) -> Vec<i32> {
    let root = root.display().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split('\0');
        let name = words.next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        name.starts_with(program) && words.any(|word| word.contains(&root))
    })
    .collect()
}

fn log_writers(root: &Path, uid: &str) -> Vec<i32> {
    processes(&root.join("k/run").join(uid), "keelson-log-writer")
}

pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < WAIT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
