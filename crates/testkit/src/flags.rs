//! What each daemon is started with: its identity and its flags, as plain data. Flags carry upstream's names.

use std::path::PathBuf;

use anyhow::Result;

use crate::layout::Layout;
use crate::pki::{Authority, Identity};
use crate::process::Spec;
use crate::settings::{Daemon, Node, Settings};

/// The user of the administrator's kubeconfig, and the stem of its files.
pub const ADMIN: &str = "admin";
/// The stem of the apiserver's client certificate for the store.
pub const STORE_CLIENT: &str = "apiserver-etcd-client";
/// The stem of the apiserver's client certificate for kubelets.
const KUBELET_CLIENT: &str = "apiserver-kubelet-client";
/// Names under which every server answers on its own machine.
const LOCAL: [&str; 3] = ["127.0.0.1", "::1", "localhost"];
/// The issuer of service account tokens.
const TOKEN_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The name of a daemon's process on a node: the first node's bear the daemon's name alone.
pub fn process_name(settings: &Settings, daemon: Daemon, node: &Node) -> String {
    of_node(settings, daemon.name(), node)
}

/// The name of the containerd process of a node.
pub fn containerd_name(settings: &Settings, node: &Node) -> String {
    of_node(settings, "containerd", node)
}

fn of_node(settings: &Settings, name: &str, node: &Node) -> String {
    if node.name == settings.first_node().name { name.to_owned() } else { format!("{name}-{}", node.name) }
}

/// Every certificate the cluster needs.
pub fn identities(settings: &Settings) -> Result<Vec<Identity>> {
    let first = settings.first_node();
    let mut identities = vec![
        client(ADMIN, "kubernetes-admin", Some("system:masters")),
        client(KUBELET_CLIENT, "kube-apiserver-kubelet-client", Some("system:masters")),
        Identity { authority: Authority::Store, ..client(STORE_CLIENT, "kube-apiserver-etcd-client", None) },
        Identity { authority: Authority::Store, ..server("store", "etcd", None, first, &[]) },
    ];
    let api_names = [
        settings.kubernetes_address()?.to_string(),
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        "kubernetes.default.svc.cluster.local".to_owned(),
        first.name.clone(),
    ];
    identities.push(server("apiserver", "kube-apiserver", None, first, &api_names));
    for (daemon, user) in [
        (Daemon::ControllerManager, "system:kube-controller-manager"),
        (Daemon::Scheduler, "system:kube-scheduler"),
        (Daemon::Dns, "system:kube-dns"),
    ] {
        identities.push(server(daemon.name(), user, None, first, std::slice::from_ref(&first.name)));
    }
    for node in &settings.nodes {
        let user = format!("system:node:{}", node.name);
        let name = std::slice::from_ref(&node.name);
        identities.push(server(
            &process_name(settings, Daemon::Kubelet, node),
            &user,
            Some("system:nodes"),
            node,
            name,
        ));
        identities.push(server(&process_name(settings, Daemon::Proxy, node), "system:kube-proxy", None, node, name));
    }
    Ok(identities)
}

fn client(file: &str, common_name: &str, organization: Option<&str>) -> Identity {
    Identity {
        file: file.to_owned(),
        common_name: common_name.to_owned(),
        organization: organization.map(str::to_owned),
        names: Vec::new(),
        authority: Authority::Cluster,
    }
}

fn server(file: &str, common_name: &str, organization: Option<&str>, node: &Node, more: &[String]) -> Identity {
    let mut names: Vec<String> = LOCAL.iter().map(|name| (*name).to_owned()).collect();
    names.push(node.address.to_string());
    names.extend(more.iter().cloned());
    names.sort();
    names.dedup();
    Identity { names, ..client(file, common_name, organization) }
}

/// How to start a daemon on a node.
pub fn spec(settings: &Settings, layout: &Layout, daemon: Daemon, node: &Node) -> Result<Spec> {
    let mut flags = match daemon {
        Daemon::Store => store(settings, layout),
        Daemon::Apiserver => apiserver(settings, layout),
        Daemon::ControllerManager => controller_manager(settings, layout),
        Daemon::Scheduler => scheduler(settings, layout),
        Daemon::Kubelet => kubelet(settings, layout, node)?,
        Daemon::Proxy => proxy(settings, layout, node),
        Daemon::Dns => dns(settings, layout, node)?,
    };
    // A flag that is given again wins.
    flags.extend(settings.extra_flags.get(&daemon).into_iter().flatten().cloned());
    let mut environment = settings.environment.get(&daemon).cloned().unwrap_or_default();
    environment.push(("RUST_BACKTRACE".to_owned(), "1".to_owned()));
    if daemon == Daemon::Store {
        // As its unit says: the allocator takes memory as it is needed.
        environment.push(("MIMALLOC_ARENA_EAGER_COMMIT".to_owned(), "0".to_owned()));
    }
    Ok(Spec {
        name: process_name(settings, daemon, node),
        program: settings.programs.join(daemon.program()),
        args: flags,
        environment,
        network: node.network.clone(),
    })
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn path(name: &str, value: PathBuf) -> String {
    flag(name, value.display())
}

fn store(settings: &Settings, layout: &Layout) -> Vec<String> {
    let pki = layout.pki();
    let client = format!("https://127.0.0.1:{}", settings.ports.store);
    let peer = format!("https://127.0.0.1:{}", settings.ports.store_peer);
    let authority = pki.authority(Authority::Store);
    vec![
        flag("name", "store-0"),
        path("data-dir", layout.store_data()),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", format!("store-0={peer}")),
        path("cert-file", pki.certificate("store")),
        path("key-file", pki.key("store")),
        path("trusted-ca-file", authority.clone()),
        flag("client-cert-auth", true),
        path("peer-cert-file", pki.certificate("store")),
        path("peer-key-file", pki.key("store")),
        path("peer-trusted-ca-file", authority),
        flag("peer-client-cert-auth", true),
    ]
}

fn apiserver(settings: &Settings, layout: &Layout) -> Vec<String> {
    let pki = layout.pki();
    vec![
        flag("etcd-servers", format!("https://127.0.0.1:{}", settings.ports.store)),
        path("etcd-cafile", pki.authority(Authority::Store)),
        path("etcd-certfile", pki.certificate(STORE_CLIENT)),
        path("etcd-keyfile", pki.key(STORE_CLIENT)),
        flag("bind-address", "0.0.0.0"),
        flag("advertise-address", settings.first_node().address),
        flag("secure-port", settings.ports.apiserver),
        path("tls-cert-file", pki.certificate("apiserver")),
        path("tls-private-key-file", pki.key("apiserver")),
        path("client-ca-file", pki.authority(Authority::Cluster)),
        path("kubelet-certificate-authority", pki.authority(Authority::Cluster)),
        path("kubelet-client-certificate", pki.certificate(KUBELET_CLIENT)),
        path("kubelet-client-key", pki.key(KUBELET_CLIENT)),
        flag("service-cluster-ip-range", settings.service_range),
        flag("service-account-issuer", TOKEN_ISSUER),
        path("service-account-key-file", pki.token_public_key()),
        path("service-account-signing-key-file", pki.token_key()),
    ]
}

/// The flags of a client daemon that serves its metrics over TLS.
fn client_daemon(layout: &Layout, process: &str, port: u16) -> Vec<String> {
    let pki = layout.pki();
    vec![
        path("kubeconfig", layout.kubeconfig(process)),
        flag("secure-port", port),
        path("tls-cert-file", pki.certificate(process)),
        path("tls-private-key-file", pki.key(process)),
        path("client-ca-file", pki.authority(Authority::Cluster)),
    ]
}

fn controller_manager(settings: &Settings, layout: &Layout) -> Vec<String> {
    let pki = layout.pki();
    let mut flags = client_daemon(layout, Daemon::ControllerManager.name(), settings.ports.controller_manager);
    flags.extend([
        flag("allocate-node-cidrs", true),
        flag("cluster-cidr", settings.pod_range),
        flag("service-cluster-ip-range", settings.service_range),
        path("root-ca-file", pki.authority(Authority::Cluster)),
        path("service-account-private-key-file", pki.token_key()),
    ]);
    flags
}

fn scheduler(settings: &Settings, layout: &Layout) -> Vec<String> {
    client_daemon(layout, Daemon::Scheduler.name(), settings.ports.scheduler)
}

fn kubelet(settings: &Settings, layout: &Layout, node: &Node) -> Result<Vec<String>> {
    let pki = layout.pki();
    let process = process_name(settings, Daemon::Kubelet, node);
    let files = layout.node(node);
    Ok(vec![
        path("kubeconfig", layout.kubeconfig(&process)),
        flag("hostname-override", &node.name),
        flag("node-ip", node.address),
        path("root-dir", files.kubelet()),
        path("pod-log-dir", files.pod_logs()),
        flag("container-runtime-endpoint", format!("unix://{}", files.containerd_socket().display())),
        flag("cgroup-root", cgroup_root(settings, node)),
        flag("cluster-dns", settings.dns_address()?),
        flag("cluster-domain", "cluster.local"),
        flag("non-masquerade-cidr", settings.pod_range),
        flag("port", settings.ports.kubelet),
        flag("healthz-port", settings.ports.kubelet_health),
        path("tls-cert-file", pki.certificate(&process)),
        path("tls-private-key-file", pki.key(&process)),
        path("client-ca-file", pki.authority(Authority::Cluster)),
        // A developer's disk is full of other things; a node that shares it starts pods as long as there is room at all.
        flag("eviction-hard", "memory.available<100Mi"),
    ])
}

/// The cgroup below which a node's pods live: a name of its own, so that clusters on one machine do not mix.
pub fn cgroup_root(settings: &Settings, node: &Node) -> String {
    format!("/{}{}", cgroup_prefix(&settings.dir), node.name)
}

/// How the cgroups of the cluster in `dir` begin.
pub fn cgroup_prefix(dir: &std::path::Path) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    format!("keelson-{}-", hex::encode(&digest[..4]))
}

fn proxy(settings: &Settings, layout: &Layout, node: &Node) -> Vec<String> {
    let process = process_name(settings, Daemon::Proxy, node);
    vec![
        path("kubeconfig", layout.kubeconfig(&process)),
        flag("hostname-override", &node.name),
        flag("cluster-cidr", settings.pod_range),
        flag("healthz-bind-address", format!("0.0.0.0:{}", settings.ports.proxy_health)),
        flag("metrics-bind-address", format!("127.0.0.1:{}", settings.ports.proxy_metrics)),
    ]
}

fn dns(settings: &Settings, layout: &Layout, node: &Node) -> Result<Vec<String>> {
    Ok(vec![
        path("kubeconfig", layout.kubeconfig(&process_name(settings, Daemon::Dns, node))),
        flag("bind-address", node.address),
        flag("port", settings.ports.dns),
        flag("cluster-dns", settings.dns_address()?),
        flag("cluster-domain", "cluster.local"),
        flag("health-port", settings.ports.dns_health),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let node = |name: &str, last: u8| Node {
            name: name.to_owned(),
            address: std::net::Ipv4Addr::new(192, 0, 2, last).into(),
            network: Some(name.to_owned()),
        };
        let mut settings = Settings::new("/state".into(), "/programs".into(), node("one", 1));
        settings.nodes.push(node("two", 2));
        settings
    }

    #[test]
    fn the_apiserver_answers_under_every_name_a_pod_may_use() {
        let identities = identities(&settings()).unwrap();
        let apiserver = identities.iter().find(|identity| identity.file == "apiserver").unwrap();
        for name in ["127.0.0.1", "192.0.2.1", "10.96.0.1", "kubernetes.default.svc"] {
            assert!(apiserver.names.iter().any(|known| known == name), "{name} is missing");
        }
    }

    #[test]
    fn every_node_has_an_identity_of_its_own() {
        let identities = identities(&settings()).unwrap();
        let second = identities.iter().find(|identity| identity.file == "kubelet-two").unwrap();
        assert_eq!(second.common_name, "system:node:two");
        assert_eq!(second.organization.as_deref(), Some("system:nodes"));
    }

    #[test]
    fn a_daemon_on_another_machine_dials_the_first_nodes_address() {
        let settings = settings();
        assert_eq!(settings.server_url(&settings.nodes[0]), "https://127.0.0.1:6443");
        assert_eq!(settings.server_url(&settings.nodes[1]), "https://192.0.2.1:6443");
    }

    #[test]
    fn an_extra_flag_comes_last_and_wins() {
        let mut settings = settings();
        settings.extra_flags.insert(Daemon::Scheduler, vec!["--v=4".to_owned()]);
        let layout = Layout::new(&settings.dir);
        let spec = spec(&settings, &layout, Daemon::Scheduler, &settings.nodes[0]).unwrap();
        assert_eq!(spec.args.last().map(String::as_str), Some("--v=4"));
    }
}
