//! Flags, as kube-apiserver has them.

mod fixed;
mod fronts;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use daemon::cli::{Common, Flags};
use ipnet::IpNet;

use crate::allocate::node_port::PortRange;
use crate::audit;
use crate::fairness::Limits;
use fixed::Fixed;
pub use fronts::FrontFlags;

/// keelson-apiserver: the Kubernetes API on an etcd v3 store
#[derive(Debug, Clone, Parser)]
#[command(name = "keelson-apiserver", about, long_about = None)]
pub struct Config {
    #[command(flatten)]
    common: Common,

    /// URLs of the store's members, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "URL,...", help_heading = "Store")]
    pub etcd_servers: Vec<String>,
    /// CA of the store's certificates
    #[arg(long, value_name = "FILE", help_heading = "Store")]
    pub etcd_cafile: Option<PathBuf>,
    /// Certificate shown to the store
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile", help_heading = "Store")]
    pub etcd_certfile: Option<PathBuf>,
    /// Key of the certificate shown to the store
    #[arg(long, value_name = "FILE", requires = "etcd_certfile", help_heading = "Store")]
    pub etcd_keyfile: Option<PathBuf>,
    /// How often the store's history is compacted; 0s never
    #[arg(long, default_value = "5m0s", value_parser = duration, value_name = "DURATION", help_heading = "Store")]
    pub etcd_compaction_interval: Duration,

    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0", value_name = "IP", help_heading = "Serving")]
    pub bind_address: IpAddr,
    /// Port for gRPC and REST
    #[arg(long, default_value_t = 6443, value_name = "PORT", help_heading = "Serving")]
    pub secure_port: u16,
    /// Address in the endpoints of the kubernetes Service; default: the bind address, or the default route's
    #[arg(long, value_name = "IP", help_heading = "Serving")]
    pub advertise_address: Option<IpAddr>,
    /// Certificate shown to clients
    #[arg(long, required = true, value_name = "FILE", help_heading = "Serving")]
    pub tls_cert_file: PathBuf,
    /// Key of the certificate shown to clients
    #[arg(long, required = true, value_name = "FILE", help_heading = "Serving")]
    pub tls_private_key_file: PathBuf,

    /// Largest gRPC request, in bytes: an object of the largest size in JSON, with room
    #[arg(long, default_value_t = 8 << 20, value_name = "BYTES", help_heading = "Serving")]
    pub max_request_bytes: usize,

    /// Requests that do not say how long they may take end after so long, others not later; watches and streams are not concerned
    #[arg(long, default_value = "1m0s", value_parser = timeout, value_name = "DURATION", help_heading = "Serving")]
    pub request_timeout: Duration,
    /// Requests share seats by FlowSchemas and PriorityLevelConfigurations; otherwise they are only counted
    #[arg(
        long,
        default_value_t = true,
        value_parser = clap::builder::BoolishValueParser::new(),
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false",
        help_heading = "Serving"
    )]
    pub enable_priority_and_fairness: bool,
    /// Seats of requests, together with those of --max-mutating-requests-inflight
    #[arg(long, default_value_t = 400, value_name = "COUNT", help_heading = "Serving")]
    pub max_requests_inflight: u32,
    /// Seats of requests, together with those of --max-requests-inflight
    #[arg(long, default_value_t = 200, value_name = "COUNT", help_heading = "Serving")]
    pub max_mutating_requests_inflight: u32,
    /// Bytes that answers in flight hold together, and as many that bodies of requests do; administrators have a quarter of it
    /// beside that. Default: a sixteenth of the memory, from 64 MiB to 1 GiB
    #[arg(long, value_parser = clap::value_parser!(u64).range(1 << 20..), value_name = "BYTES", help_heading = "Serving")]
    pub max_bytes_inflight: Option<u64>,

    /// CA of the certificates that clients show
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub client_ca_file: Option<PathBuf>,
    /// Callers without a credential are system:anonymous in system:unauthenticated, and may what roles give them
    #[arg(
        long,
        default_value_t = false,
        value_parser = clap::builder::BoolishValueParser::new(),
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false",
        help_heading = "Authentication"
    )]
    pub anonymous_auth: bool,
    /// Who service account tokens say issued them
    #[arg(
        long,
        default_value = "https://kubernetes.default.svc.cluster.local",
        value_name = "URL",
        help_heading = "Authentication"
    )]
    pub service_account_issuer: String,
    /// Where others find the keys of tokens; default: this server's /openid/v1/jwks at its advertised address
    #[arg(long, value_name = "URL", help_heading = "Authentication")]
    pub service_account_jwks_uri: Option<String>,
    /// Keys that tokens are checked against, beside the signing key
    #[arg(long, value_delimiter = ',', value_name = "FILE,...", help_heading = "Authentication")]
    pub service_account_key_file: Vec<PathBuf>,
    /// Key that signs tokens: RSA or P-256, PEM
    #[arg(long, value_name = "FILE", help_heading = "Authentication")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Whom tokens are for; default: the issuer
    #[arg(long, value_delimiter = ',', value_name = "NAME,...", help_heading = "Authentication")]
    pub api_audiences: Vec<String>,

    /// What is told of which requests: an audit.k8s.io/v1 Policy
    #[arg(long, value_name = "FILE", requires = "audit_log_path", help_heading = "Audit")]
    pub audit_policy_file: Option<PathBuf>,
    /// Where audit events are written, a line of JSON each; - is the standard output
    #[arg(long, value_name = "FILE", requires = "audit_policy_file", help_heading = "Audit")]
    pub audit_log_path: Option<PathBuf>,
    /// Days that old audit logs are kept; 0 for ever
    #[arg(long, default_value_t = 0, value_name = "DAYS", help_heading = "Audit")]
    pub audit_log_maxage: u64,
    /// Old audit logs that are kept; 0 all
    #[arg(long, default_value_t = 0, value_name = "COUNT", help_heading = "Audit")]
    pub audit_log_maxbackup: usize,
    /// MiB of an audit log before the next begins; 0: 100
    #[arg(long, default_value_t = 0, value_name = "MIB", help_heading = "Audit")]
    pub audit_log_maxsize: u64,

    #[command(flatten)]
    pub fronts: FrontFlags,

    /// CA of the kubelets' certificates
    #[arg(long, value_name = "FILE", help_heading = "Kubelets")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Certificate shown to kubelets
    #[arg(long, value_name = "FILE", requires = "kubelet_client_key", help_heading = "Kubelets")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Key of the certificate shown to kubelets
    #[arg(long, value_name = "FILE", requires = "kubelet_client_certificate", help_heading = "Kubelets")]
    pub kubelet_client_key: Option<PathBuf>,

    /// Kinds of node addresses to reach kubelets at, the preferred first
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = crate::relay::ADDRESS_TYPES.map(str::to_owned),
        value_parser = crate::relay::ADDRESS_TYPES,
        value_name = "TYPE,...",
        help_heading = "Kubelets"
    )]
    pub kubelet_preferred_address_types: Vec<String>,

    /// Certificate shown to extension servers (APIServices), which trust it to name users in headers
    #[arg(long, value_name = "FILE", requires = "proxy_client_key_file", help_heading = "Aggregation")]
    pub proxy_client_cert_file: Option<PathBuf>,
    /// Key of the certificate shown to extension servers
    #[arg(long, value_name = "FILE", requires = "proxy_client_cert_file", help_heading = "Aggregation")]
    pub proxy_client_key_file: Option<PathBuf>,

    /// Range of the Services' cluster addresses; one of each family for dual stack
    #[arg(
        long,
        default_value = "10.96.0.0/12",
        value_delimiter = ',',
        value_name = "CIDR,...",
        help_heading = "Services"
    )]
    pub service_cluster_ip_range: Vec<IpNet>,
    /// Range of the Services' node ports
    #[arg(long, default_value = "30000-32767", value_name = "FIRST-LAST", help_heading = "Services")]
    pub service_node_port_range: PortRange,

    #[command(flatten)]
    pub fixed: Fixed,
}

impl Config {
    /// What fairness goes by.
    pub fn fairness(&self) -> Limits {
        Limits {
            enabled: self.enable_priority_and_fairness,
            reading: self.max_requests_inflight,
            writing: self.max_mutating_requests_inflight,
            request_timeout: self.request_timeout,
        }
    }
}

impl Config {
    /// The audit log, where one is kept.
    pub fn audit(&self) -> Option<audit::Settings> {
        let (policy, path) = self.audit_policy_file.clone().zip(self.audit_log_path.clone())?;
        let (size_mib, backups, age_days) = (self.audit_log_maxsize, self.audit_log_maxbackup, self.audit_log_maxage);
        Some(audit::Settings { policy, log: audit::log::Settings { path, size_mib, backups, age_days } })
    }
}

impl Flags for Config {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// A duration that is not zero.
fn timeout(text: &str) -> Result<Duration, String> {
    let read = duration(text)?;
    if read.is_zero() { Err(format!("{text:?} leaves no time")) } else { Ok(read) }
}

/// Reads `5m0s`, `1h30m`, `250ms` as Go writes durations.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 5m0s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(wrong)?;
        let value: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let units = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        total += value
            * match &rest[..units] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return Err(wrong()),
            };
        rest = &rest[units..];
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        let unexplained = daemon::cli::unexplained::<Config>();
        assert!(unexplained.is_empty(), "--help shows these without an explanation or a group: {unexplained:?}");
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("5m0s"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("5").is_err() && duration("m").is_err() && duration("5 minutes").is_err());
    }

    /// What kubeadm writes into the manifest of kube-apiserver.
    const KUBEADM: &str = "kube-apiserver --advertise-address=192.168.0.2 --allow-privileged=true \
        --authorization-mode=Node,RBAC --client-ca-file=/pki/ca.crt --enable-admission-plugins=NodeRestriction \
        --enable-bootstrap-token-auth=true --etcd-cafile=/pki/etcd/ca.crt --etcd-certfile=/pki/client.crt \
        --etcd-keyfile=/pki/client.key --etcd-servers=https://127.0.0.1:2379 \
        --kubelet-client-certificate=/pki/kubelet.crt --kubelet-client-key=/pki/kubelet.key \
        --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname --proxy-client-cert-file=/pki/proxy.crt \
        --proxy-client-key-file=/pki/proxy.key --requestheader-allowed-names=front-proxy-client \
        --requestheader-client-ca-file=/pki/front.crt --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
        --secure-port=6443 --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file=/pki/sa.pub --service-account-signing-key-file=/pki/sa.key \
        --service-cluster-ip-range=10.96.0.0/12 --tls-cert-file=/pki/s.crt --tls-private-key-file=/pki/s.key";

    fn parse(more: &str) -> Result<Config, daemon::cli::Error> {
        daemon::cli::parse_from(format!("{KUBEADM} {more}").split_whitespace().map(Into::into).collect())
    }

    #[test]
    fn kubeadms_flags_start_this_apiserver() {
        let config = parse("").expect("every flag of the manifest is known");
        assert_eq!(config.kubelet_preferred_address_types, ["InternalIP", "ExternalIP", "Hostname"]);
        let ignored = config.fixed.without_effect();
        assert!(ignored.iter().any(|line| line.starts_with("--enable-bootstrap-token-auth")), "{ignored:?}");
        assert!(!ignored.iter().any(|line| line.starts_with("--requestheader")), "{ignored:?}");
        assert_eq!(config.fronts.requestheader_allowed_names, ["front-proxy-client"]);
        for wrong in [
            "--allow-privileged=false",
            "--authorization-mode=AlwaysAllow",
            "--authorization-mode=Node,Webhook",
            "--enable-admission-plugins=NoSuchPlugin",
            "--enable-admission-plugins=EventRateLimit",
            "--disable-admission-plugins=NoSuchPlugin",
            "--kubelet-preferred-address-types=Nowhere",
        ] {
            let refused = parse(wrong).expect_err(wrong).to_string();
            let flag = wrong.split('=').next().expect("a flag");
            assert!(refused.contains(flag), "{wrong}: {refused}");
        }
    }

    #[test]
    fn upstreams_flags_are_taken() {
        let args = "apiserver --etcd-servers=http://a:2379,http://b:2379 --tls-cert-file=c --tls-private-key-file=k --service-cluster-ip-range=10.96.0.0/16,fd00::/112";
        let config = Config::try_parse_from(args.split(' ')).expect("good flags");
        assert_eq!(
            (config.etcd_servers.len(), config.service_cluster_ip_range.len(), config.secure_port),
            (2, 2, 6443)
        );
    }
}
