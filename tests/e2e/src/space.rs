//! A Kubernetes namespace of one test, and what tests do in it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{http, wait};

use crate::World;

/// How long a rollout, a restart or an eviction may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A namespace; it is deleted when dropped, without waiting.
pub struct Space<'a> {
    /// The cluster.
    pub world: &'a World,
    /// The namespace's name.
    pub name: String,
}

impl<'a> Space<'a> {
    /// Makes a namespace and waits for its default service account, without which no pod is admitted.
    pub fn create(world: &'a World, name: &str) -> Result<Self> {
        world.keelctl().run(&["create", "namespace", name])?;
        let space = Self { world, name: name.to_owned() };
        wait::until("the default service account", LIMIT, || space.get("serviceaccount", "default").map(Some))?;
        Ok(space)
    }

    /// Runs keelctl in this namespace.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.world.keelctl().run(&self.with_namespace(args))
    }

    /// The arguments with the namespace named.
    pub fn with_namespace<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        ["--namespace", &self.name].into_iter().chain(args.iter().copied()).collect()
    }

    /// Applies a manifest in this namespace.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.world.keelctl().run_with_input(&self.with_namespace(&["apply", "-f", "-"]), manifest)
    }

    /// Runs keelctl in this namespace with `input` on its standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        self.world.keelctl().run_with_input(&self.with_namespace(args), input)
    }

    /// Lists all objects of a kind.
    pub fn get_list(&self, kind: &str) -> Result<Vec<Value>> {
        let list = self.world.keelctl().json(&self.with_namespace(&["get", kind]))?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Reads one object.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.world.keelctl().json(&self.with_namespace(&["get", kind, name]))
    }

    /// Lists the objects that a selector chooses.
    pub fn list(&self, kind: &str, selector: &str) -> Result<Vec<Value>> {
        let list = self.world.keelctl().json(&self.with_namespace(&["get", kind, "-l", selector]))?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until an object satisfies `test`; the object is shown if it never does.
    pub fn wait_for(&self, what: &str, kind: &str, name: &str, test: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait_within(LIMIT, what, kind, name, test)
    }

    /// As [`Self::wait_for`], with a limit.
    pub fn wait_within(
        &self,
        limit: Duration,
        what: &str,
        kind: &str,
        name: &str,
        test: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let found = wait::until(what, limit, || {
            let object = self.get(kind, name)?;
            if test(&object) {
                return Ok(Some(object));
            }
            last = object;
            Ok(None)
        });
        found.with_context(|| format!("{kind} {name} stands at {:#}", last["status"]))
    }

    /// Waits until a pod is ready.
    pub fn wait_ready(&self, pod: &str) -> Result<Value> {
        self.wait_for(&format!("pod {pod} to be ready"), "pod", pod, is_ready)
    }

    /// Waits until a Deployment has only new pods, all available.
    pub fn wait_rollout(&self, name: &str) -> Result<Value> {
        self.wait_for(&format!("the rollout of {name}"), "deployment", name, |object| {
            let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
            let wanted = number("/spec/replicas");
            number("/status/observedGeneration") >= number("/metadata/generation")
                && ["updatedReplicas", "availableReplicas", "replicas"]
                    .iter()
                    .all(|field| number(&format!("/status/{field}")) == wanted)
        })
    }

    /// Waits until an object is gone.
    pub fn wait_gone(&self, kind: &str, name: &str) -> Result<()> {
        wait::until(&format!("{kind} {name} to be gone"), LIMIT, || {
            let answer = self.run(&["get", kind, name, "--ignore-not-found", "-o", "name"])?;
            Ok(answer.trim().is_empty().then_some(()))
        })
    }

    /// The address of a Service's first port.
    pub fn service(&self, name: &str) -> Result<SocketAddr> {
        let service = self.get("service", name)?;
        let address: IpAddr = service["spec"]["clusterIP"].as_str().context("a ClusterIP")?.parse()?;
        let port = service.pointer("/spec/ports/0/port").and_then(Value::as_u64).context("a port")?;
        Ok(SocketAddr::new(address, u16::try_from(port)?))
    }

    /// Fetches `/` of a Service, a new connection each time, until it answers 200.
    pub fn wait_page(&self, service: &str) -> Result<String> {
        let server = self.service(service)?;
        wait::until(&format!("a page of service {service}"), LIMIT, || {
            let answer = http::get(self.world.network(), server, "/")?;
            ensure!(answer.status == 200, "it answered {answer:?}");
            Ok(Some(answer.body))
        })
    }

    /// Runs a command in a pod.
    pub fn exec(&self, pod: &str, command: &[&str]) -> Result<String> {
        self.run(&["exec", pod, "--"].into_iter().chain(command.iter().copied()).collect::<Vec<_>>())
    }

    /// The process, on this machine, of a container whose command line contains `mark`.
    pub fn process_of(&self, mark: &str) -> Result<i32> {
        let found: Vec<i32> = testkit::leftovers::processes(&self.world.cluster.settings.dir)
            .into_iter()
            .filter(|pid| {
                let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = line.replace('\0', " ");
                line.contains(mark) && !line.contains("containerd-shim") && !line.contains("keelson-")
            })
            .collect();
        found.first().copied().with_context(|| format!("no container process has {mark:?} in its command line"))
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        let _ = self.world.keelctl().run(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// A condition's status, `True`, `False` or `Unknown`; empty if it is not there.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .and_then(|conditions| conditions.iter().find(|condition| condition["type"] == kind))
        .and_then(|condition| condition["status"].as_str())
        .unwrap_or_default()
}

/// Whether a pod or node is ready.
pub fn is_ready(object: &Value) -> bool {
    condition(object, "Ready") == "True"
}

/// How often the first container of a pod was restarted.
pub fn restarts(pod: &Value) -> i64 {
    pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_i64).unwrap_or(0)
}

/// An object's name.
pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
