//! resolv.conf and hosts of a pod. Pure, except for reading the host's resolv.conf.

use std::net::IpAddr;
use std::path::Path;

use proto::core::v1::Pod;

/// What the cluster offers.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub servers: Vec<IpAddr>,
    pub domain: String,
}

/// The parts of a resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// The host's own resolver, by its file; empty where it has none.
pub fn host(file: &Path) -> Resolver {
    parse(&std::fs::read_to_string(file).unwrap_or_default())
}

pub fn parse(text: &str) -> Resolver {
    let mut out = Resolver::default();
    for line in text.lines() {
        let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(str::to_owned)),
            // The last search line counts.
            Some("search") => out.searches = words.map(str::to_owned).collect(),
            Some("options") => out.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    out
}

/// The text of the pod's resolv.conf, by its dnsPolicy and dnsConfig.
pub fn resolv_conf(pod: &Pod, cluster: &Cluster, host: &Resolver) -> String {
    let mut out = match policy(pod, cluster) {
        Policy::Cluster => of_cluster(&pod.metadata.namespace, cluster, host),
        Policy::Host => host.clone(),
        Policy::Nothing => Resolver::default(),
    };
    if let Some(config) = &pod.spec.dns_config {
        out.servers.extend(config.nameservers.iter().cloned());
        out.searches.extend(config.searches.iter().cloned());
        for option in &config.options {
            out.options.retain(|other| other.split(':').next() != Some(option.name.as_str()));
            out.options.push(match &option.value {
                Some(value) if !value.is_empty() => format!("{}:{value}", option.name),
                _ => option.name.clone(),
            });
        }
    }
    dedup(&mut out.servers);
    dedup(&mut out.searches);
    out.servers.truncate(SERVERS_MAX);
    out.searches.truncate(SEARCHES_MAX);
    render(&out)
}

enum Policy {
    Cluster,
    Host,
    Nothing,
}

fn policy(pod: &Pod, cluster: &Cluster) -> Policy {
    match pod.spec.dns_policy.as_str() {
        "None" => Policy::Nothing,
        "Default" => Policy::Host,
        "ClusterFirstWithHostNet" if !cluster.servers.is_empty() => Policy::Cluster,
        _ if pod.spec.host_network || cluster.servers.is_empty() => Policy::Host,
        _ => Policy::Cluster,
    }
}

fn of_cluster(namespace: &str, cluster: &Cluster, host: &Resolver) -> Resolver {
    let domain = &cluster.domain;
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    }
    searches.extend(host.searches.iter().cloned());
    Resolver {
        servers: cluster.servers.iter().map(IpAddr::to_string).collect(),
        searches,
        options: vec!["ndots:5".into()],
    }
}

fn dedup(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

fn render(resolver: &Resolver) -> String {
    let mut out = String::new();
    if !resolver.searches.is_empty() {
        out.push_str(&format!("search {}\n", resolver.searches.join(" ")));
    }
    for server in &resolver.servers {
        out.push_str(&format!("nameserver {server}\n"));
    }
    if !resolver.options.is_empty() {
        out.push_str(&format!("options {}\n", resolver.options.join(" ")));
    }
    out
}

/// The text of /etc/hosts.
pub fn hosts(ip: IpAddr, name: &str, full: Option<&str>) -> String {
    let names = match full {
        Some(full) => format!("{full}\t{name}"),
        None => name.to_owned(),
    };
    format!(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n{ip}\t{names}\n"
    )
}

/// The lines of the pod's hostAliases.
pub fn aliases(pod: &Pod) -> String {
    if pod.spec.host_aliases.is_empty() {
        return String::new();
    }
    let lines = pod.spec.host_aliases.iter().map(|alias| format!("{}\t{}\n", alias.ip, alias.hostnames.join("\t")));
    format!("\n# Entries added by HostAliases.\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        Cluster { servers: vec!["10.96.0.10".parse().unwrap()], domain: "cluster.local".into() }
    }

    fn pod(policy: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = "n".into();
        pod.spec.dns_policy = policy.into();
        pod
    }

    #[test]
    fn cluster_first_searches_the_namespace_then_the_hosts_domains() {
        let host = parse("nameserver 192.0.2.53\nsearch example.org # mine\noptions edns0");
        let expect = "search n.svc.cluster.local svc.cluster.local cluster.local example.org\nnameserver 10.96.0.10\noptions ndots:5\n";
        assert_eq!(resolv_conf(&pod("ClusterFirst"), &cluster(), &host), expect);
        assert_eq!(
            resolv_conf(&pod("Default"), &cluster(), &host),
            "search example.org\nnameserver 192.0.2.53\noptions edns0\n"
        );
    }

    #[test]
    fn the_hosts_network_has_the_hosts_resolver_unless_asked_otherwise() {
        let host = parse("nameserver 192.0.2.53");
        let mut own = pod("ClusterFirst");
        own.spec.host_network = true;
        assert_eq!(resolv_conf(&own, &cluster(), &host), "nameserver 192.0.2.53\n");
        own.spec.dns_policy = "ClusterFirstWithHostNet".into();
        assert!(resolv_conf(&own, &cluster(), &host).contains("10.96.0.10"));
    }

    #[test]
    fn own_options_replace_others_of_the_same_name() {
        let mut own = pod("ClusterFirst");
        own.spec.dns_config = Some(proto::core::v1::PodDnsConfig {
            nameservers: vec!["1.1.1.1".into()],
            searches: vec!["x.y".into()],
            options: vec![proto::core::v1::PodDnsConfigOption { name: "ndots".into(), value: Some("2".into()) }],
        });
        let text = resolv_conf(&own, &cluster(), &Resolver::default());
        assert!(text.ends_with("nameserver 1.1.1.1\noptions ndots:2\n"), "{text}");
    }
}
