//! The loads of single calls, one struct each, and the store's own rate as their floor.

use anyhow::{Context, Result};

use crate::bodies::{self, LEASES, NAMESPACE};
use crate::load::{self, Load, Measured, Shape};
use crate::report::Report;
use crate::servers::Cluster;
use crate::{Options, floor, sizes, wire};

const JSON: &str = "application/json";
const MERGE: &str = "application/strategic-merge-patch+json";
/// Pods that are read and patched.
const PODS: usize = 1_000;

/// Measures each on one cluster, in this order.
pub async fn run(options: &Options, cluster: &Cluster, report: &Report) -> Result<()> {
    let sizes = sizes::of_a_pod(cluster).await?;
    report.sizes(&sizes);
    lay(options, cluster).await?;
    let measure = async |name: &str, make: &dyn Fn(usize) -> Box<dyn Load>| -> Result<()> {
        if options.wants(name) {
            let shape = Shape { clients: options.clients, span: options.span(), http2: options.http2 };
            let measured = load::run(cluster, shape, make).await;
            report.load(name, &measured.with_context(|| name.to_owned())?);
        }
        Ok(())
    };
    if options.wants("store-transactions") {
        let raw: Measured = floor::run(cluster, options.clients, options.span(), sizes.stored).await?;
        report.load("store-transactions", &raw);
    }
    measure("create-pod", &|client| Box::new(Create::new(client, "pods", bodies::pod))).await?;
    measure("create-configmap", &|client| Box::new(Create::new(client, "configmaps", bodies::config_map))).await?;
    measure("get-consistent", &|client| Box::new(Get::new(client, ""))).await?;
    measure("get-any", &|client| Box::new(Get::new(client, "?resourceVersion=0"))).await?;
    let clients = options.clients;
    measure("patch-status", &|client| Box::new(PatchStatus { at: client, clients, count: 0 })).await?;
    let nodes = options.nodes;
    measure("renew-lease", &|client| Box::new(Renew::new(client, clients, nodes))).await
}

/// What gets, patches and renewals are about.
async fn lay(options: &Options, cluster: &Cluster) -> Result<()> {
    load::fill(cluster, options.clients, 0..PODS, |out, number| {
        create(out, &bodies::path(NAMESPACE, "pods"), &bodies::pod(&pod(number)));
    })
    .await?;
    if options.wants("renew-lease") {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{LEASES}/leases");
        let path: &'static str = path.leak();
        load::fill(cluster, options.clients, 0..options.nodes, |out, number| {
            create(out, path, &bodies::lease(&node(number), "", 0));
        })
        .await?;
    }
    Ok(())
}

fn create(out: &mut Vec<u8>, path: &str, body: &str) {
    wire::request(out, "POST", path, JSON, JSON, body.as_bytes());
}

fn pod(number: usize) -> String {
    format!("web-7d4b9c6f5d-{number:06}")
}

fn node(number: usize) -> String {
    format!("node-{number:05}")
}

/// New objects; their bodies are made once, and only the name is set in.
struct Create {
    client: usize,
    count: u64,
    path: String,
    /// A body whose name is [`Self::PLACE`].
    body: String,
    at: usize,
}

impl Create {
    /// As long as the names that take its place.
    const PLACE: &str = "web-7d4b9c6f5d-ccc-nnnnnnnn";

    fn new(client: usize, plural: &str, body: fn(&str) -> String) -> Self {
        let body = body(Self::PLACE);
        let at = body.find(Self::PLACE).unwrap_or_default();
        Self { client, count: 0, path: bodies::path(NAMESPACE, plural), body, at }
    }
}

impl Load for Create {
    fn request(&mut self, out: &mut Vec<u8>) {
        self.count += 1;
        let name = format!("web-7d4b9c6f5d-{:03}-{:08}", self.client, self.count);
        self.body.replace_range(self.at..self.at + name.len(), &name);
        create(out, &self.path, &self.body);
    }
}

/// Reads pods one after the other.
struct Get {
    at: usize,
    query: &'static str,
}

impl Get {
    fn new(client: usize, query: &'static str) -> Self {
        Self { at: client * 31, query }
    }
}

impl Load for Get {
    fn request(&mut self, out: &mut Vec<u8>) {
        self.at = (self.at + 1) % PODS;
        let path = format!("{}/{}{}", bodies::path(NAMESPACE, "pods"), pod(self.at), self.query);
        wire::request(out, "GET", &path, JSON, JSON, b"");
    }
}

/// Patches the status of pods of its own.
struct PatchStatus {
    at: usize,
    clients: usize,
    count: u64,
}

impl Load for PatchStatus {
    fn request(&mut self, out: &mut Vec<u8>) {
        let path = format!("{}/{}/status", bodies::path(NAMESPACE, "pods"), pod(self.at));
        self.count += 1;
        wire::request(out, "PATCH", &path, MERGE, JSON, bodies::status(self.count).as_bytes());
        // So far apart that no pod is patched twice in a moment.
        self.at = if self.at + self.clients < PODS { self.at + self.clients } else { self.at % self.clients };
    }
}

/// Renews the leases of some nodes in turn, each at the version that the last answer told, as kubelets do.
struct Renew {
    nodes: Vec<(String, String)>,
    at: usize,
    count: u64,
}

impl Renew {
    fn new(client: usize, clients: usize, nodes: usize) -> Self {
        let nodes = (client..nodes).step_by(clients).map(|number| (node(number), String::new())).collect();
        Self { nodes, at: 0, count: 0 }
    }
}

impl Load for Renew {
    fn request(&mut self, out: &mut Vec<u8>) {
        let (name, version) = &self.nodes[self.at];
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{LEASES}/leases/{name}");
        if version.is_empty() {
            return wire::request(out, "GET", &path, JSON, JSON, b"");
        }
        self.count += 1;
        let body = bodies::lease(name, version, self.count);
        wire::request(out, "PUT", &path, JSON, JSON, body.as_bytes());
    }

    fn heard(&mut self, body: &[u8]) -> Result<bool> {
        let version = bodies::version(body).context("a lease has a version")?;
        let (_, known) = &mut self.nodes[self.at];
        // Read once; what counts is the renewal that follows.
        let renewed = !known.is_empty();
        version.clone_into(known);
        if renewed {
            self.at = (self.at + 1) % self.nodes.len();
        }
        Ok(renewed)
    }
}
