//! Where the kubelet keeps what it has on disk. Pure.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Longer paths of unix sockets are refused by the kernel.
const SOCKET_PATH_MAX: usize = 100;

/// The kubelet's folders.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `--root-dir`
    pub root: PathBuf,
    /// `podLogsDir`
    pub logs: PathBuf,
}

impl Paths {
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// What does not outlive a boot; kept in memory (`run_dir`).
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    pub fn pod(&self, uid: &str) -> PodPaths {
        PodPaths { dir: self.pods().join(uid), run: self.run().join(uid) }
    }

    /// The folder of a pod's logs.
    pub fn pod_logs(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.logs.join(format!("{namespace}_{name}_{uid}"))
    }

    /// The log of one run of a container.
    pub fn log(&self, namespace: &str, name: &str, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod_logs(namespace, name, uid).join(container).join(format!("{attempt}.log"))
    }
}

/// One pod's folders.
#[derive(Clone, Debug)]
pub struct PodPaths {
    /// On disk.
    pub dir: PathBuf,
    /// In memory: pins, pipes, sockets, and what is written from objects.
    pub run: PathBuf,
}

impl PodPaths {
    pub fn record(&self) -> PathBuf {
        self.dir.join("record.json")
    }

    /// The API object, as it was last seen.
    pub fn object(&self) -> PathBuf {
        self.dir.join("pod.bin")
    }

    pub fn namespaces(&self) -> PathBuf {
        self.run.join("ns")
    }

    pub fn network(&self) -> PathBuf {
        self.namespaces().join("net")
    }

    pub fn shm(&self) -> PathBuf {
        self.run.join("shm")
    }

    pub fn hosts(&self) -> PathBuf {
        self.dir.join("etc-hosts")
    }

    pub fn resolv_conf(&self) -> PathBuf {
        self.dir.join("resolv.conf")
    }

    pub fn hostname(&self) -> PathBuf {
        self.dir.join("hostname")
    }

    /// The named pipes of containers and execs.
    pub fn pipes(&self) -> PathBuf {
        self.run.join("io")
    }

    /// The named pipe of one stream of a run: "in", "out" or "err".
    pub fn pipe(&self, id: &str, stream: &str) -> PathBuf {
        self.pipes().join(format!("{}-{stream}", &id[..id.len().min(12)]))
    }

    /// All that a run may have.
    pub fn pipes_of(&self, id: &str) -> [PathBuf; 3] {
        ["in", "out", "err"].map(|stream| self.pipe(id, stream))
    }

    pub fn volumes(&self) -> PathBuf {
        self.dir.join("volumes")
    }

    /// `plugin` as upstream names its folders: "kubernetes.io~empty-dir".
    pub fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        self.volumes().join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// A volume that is kept in memory.
    pub fn memory_volume(&self, plugin: &str, name: &str) -> PathBuf {
        self.run.join(format!("kubernetes.io~{plugin}")).join(name)
    }

    /// What a container may leave as its last words: on disk, since its size is the container's doing.
    pub fn termination_log(&self, container: &str, id: &str) -> PathBuf {
        self.dir.join("containers").join(format!("{container}-{}", &id[..id.len().min(12)]))
    }

    /// The socket of the log writer.
    pub fn log_socket(&self) -> PathBuf {
        short_socket(self.run.join("log.sock"))
    }
}

/// The path itself, or a short one that follows from it.
fn short_socket(path: PathBuf) -> PathBuf {
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return path;
    }
    let digest = hex::encode(Sha256::digest(path.as_os_str().as_encoded_bytes()));
    Path::new("/run").join(format!("keelson-log-{}.sock", &digest[..24]))
}
