//! Flags of `keelson-store`, with etcd's names.

mod taken;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use clap::Parser;

use crate::auth::jwt::JwtError;
use crate::auth::login::{Login, Provider};
use crate::auth::password;
use crate::ids;
use crate::raft::types::Peer;

/// keelson-store: an etcd v3 server with a log and an engine of its own.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson-store", about)]
pub struct Config {
    #[command(flatten)]
    pub common: daemon::cli::Common,

    /// This member's name, unique in the cluster.
    #[arg(long, default_value = "default", env = "ETCD_NAME", help_heading = "Member")]
    pub name: String,
    /// Folder of the log and the values; default: NAME.keelson.
    #[arg(long, value_name = "DIR", env = "ETCD_DATA_DIR", help_heading = "Member")]
    pub data_dir: Option<PathBuf>,
    /// URLs on which clients are served, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        default_value = "http://localhost:2379",
        value_delimiter = ',',
        env = "ETCD_LISTEN_CLIENT_URLS",
        help_heading = "Member"
    )]
    pub listen_client_urls: Vec<String>,
    /// URLs on which other members are served, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        default_value = "http://localhost:2380",
        value_delimiter = ',',
        env = "ETCD_LISTEN_PEER_URLS",
        help_heading = "Member"
    )]
    pub listen_peer_urls: Vec<String>,
    /// URLs on which /metrics and health are served beside the client URLs.
    #[arg(long, value_name = "URLS", value_delimiter = ',', env = "ETCD_LISTEN_METRICS_URLS", help_heading = "Member")]
    pub listen_metrics_urls: Vec<String>,
    /// Milliseconds between the leader's heartbeats.
    #[arg(long, value_name = "MS", default_value_t = 100, env = "ETCD_HEARTBEAT_INTERVAL", help_heading = "Member")]
    pub heartbeat_interval: u64,
    /// Milliseconds without a leader until a member stands for election.
    #[arg(long, value_name = "MS", default_value_t = 1000, env = "ETCD_ELECTION_TIMEOUT", help_heading = "Member")]
    pub election_timeout: u64,
    /// Live bytes above which puts are refused; 0 is 2 GiB, negative is no bound.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 0,
        allow_negative_numbers = true,
        env = "ETCD_QUOTA_BACKEND_BYTES",
        help_heading = "Limits"
    )]
    pub quota_backend_bytes: i64,
    /// Operations in each list of a transaction.
    #[arg(long, value_name = "N", default_value_t = 128, env = "ETCD_MAX_TXN_OPS", help_heading = "Limits")]
    pub max_txn_ops: usize,
    /// Bytes of one request.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 1_572_864,
        env = "ETCD_MAX_REQUEST_BYTES",
        help_heading = "Limits"
    )]
    pub max_request_bytes: usize,
    /// Calls that one connection may have open.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4_294_967_295,
        env = "ETCD_MAX_CONCURRENT_STREAMS",
        help_heading = "Limits"
    )]
    pub max_concurrent_streams: u32,
    /// Applied entries after which the log is cut.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..),
        env = "ETCD_SNAPSHOT_COUNT",
        help_heading = "Limits"
    )]
    pub snapshot_count: u64,
    /// Entries that stay for followers that are a little behind when the log is cut.
    #[arg(
        long,
        alias = "experimental-snapshot-catchup-entries",
        value_name = "N",
        default_value_t = 5_000,
        help_heading = "Limits"
    )]
    pub snapshot_catchup_entries: u64,
    /// Applying a piece of the log for longer is said in the log.
    #[arg(long, alias = "experimental-warning-apply-duration", value_name = "DURATION", default_value = "100ms", value_parser = duration, help_heading = "Limits")]
    pub warning_apply_duration: Duration,
    /// How often a quiet connection of a client is asked whether it is still there; 0s: never.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = interval, env = "ETCD_GRPC_KEEPALIVE_INTERVAL", help_heading = "Limits")]
    pub grpc_keepalive_interval: Duration,
    /// How long it may take to answer that.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = interval, env = "ETCD_GRPC_KEEPALIVE_TIMEOUT", help_heading = "Limits")]
    pub grpc_keepalive_timeout: Duration,
    /// How often watchers that asked for it are told the revision.
    #[arg(long, alias = "experimental-watch-progress-notify-interval", value_name = "DURATION", default_value = "10m", value_parser = duration, help_heading = "Limits")]
    pub watch_progress_notify_interval: Duration,
    /// How history is compacted without being asked: periodic (by age) or revision (by number).
    #[arg(long, value_name = "MODE", default_value = "periodic", value_parser = ["periodic", "revision"], env = "ETCD_AUTO_COMPACTION_MODE", help_heading = "Limits")]
    pub auto_compaction_mode: String,
    /// How much history stays: a duration (a number alone is hours), or a number of revisions; 0 compacts only when asked.
    #[arg(
        long,
        value_name = "LENGTH",
        default_value = "0",
        env = "ETCD_AUTO_COMPACTION_RETENTION",
        help_heading = "Limits"
    )]
    pub auto_compaction_retention: String,

    /// How much to log, in etcd's words; -v and --log-filter win.
    #[arg(long, value_name = "LEVEL", value_parser = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"], env = "ETCD_LOG_LEVEL", help_heading = "Process")]
    pub log_level: Option<String>,
    /// Taken for etcd's sake: there is one logger.
    #[arg(long, value_name = "NAME", value_parser = ["zap"], env = "ETCD_LOGGER", help_heading = "Process")]
    pub logger: Option<String>,
    /// Taken for etcd's sake: logs go to stderr.
    #[arg(long, value_name = "OUTPUTS", value_parser = ["default", "stderr"], env = "ETCD_LOG_OUTPUTS", help_heading = "Process")]
    pub log_outputs: Option<String>,
    /// Taken for etcd's sake: what a member reads from its disk is always checked.
    #[arg(long, alias = "initial-corrupt-check", help_heading = "Process")]
    pub experimental_initial_corrupt_check: bool,
    /// Taken for etcd's sake: there are no gates, and names that are told are logged.
    #[arg(long, value_name = "GATES", env = "ETCD_FEATURE_GATES", help_heading = "Process")]
    pub feature_gates: Option<String>,

    /// This member's URLs as clients are told, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        env = "ETCD_ADVERTISE_CLIENT_URLS",
        help_heading = "Cluster"
    )]
    pub advertise_client_urls: Vec<String>,
    /// This member's URLs as other members dial them, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        env = "ETCD_INITIAL_ADVERTISE_PEER_URLS",
        help_heading = "Cluster"
    )]
    pub initial_advertise_peer_urls: Vec<String>,
    /// The domain whose SRV records name the members of the first start, instead of --initial-cluster.
    #[arg(
        long,
        value_name = "DOMAIN",
        conflicts_with = "initial_cluster",
        env = "ETCD_DISCOVERY_SRV",
        help_heading = "Cluster"
    )]
    pub discovery_srv: Option<String>,
    /// Goes into the records' name: _etcd-server-NAME._tcp.DOMAIN.
    #[arg(
        long,
        value_name = "NAME",
        requires = "discovery_srv",
        env = "ETCD_DISCOVERY_SRV_NAME",
        help_heading = "Cluster"
    )]
    pub discovery_srv_name: Option<String>,
    /// Name server to ask for them instead of those in /etc/resolv.conf: ADDRESS:PORT.
    #[arg(long, value_name = "ADDRESS", requires = "discovery_srv", help_heading = "Cluster")]
    pub discovery_srv_server: Option<std::net::SocketAddr>,
    /// The members of the first start: NAME=PEER-URL, separated by commas.
    #[arg(long, value_name = "MEMBERS", env = "ETCD_INITIAL_CLUSTER", help_heading = "Cluster")]
    pub initial_cluster: Option<String>,
    /// new: the first start begins the cluster; existing: it joins one to which it was added.
    #[arg(long, value_name = "STATE", default_value = "new", value_parser = ["new", "existing"], env = "ETCD_INITIAL_CLUSTER_STATE", help_heading = "Cluster")]
    pub initial_cluster_state: String,
    /// Refuse changes of the membership that could cost the quorum.
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "ETCD_STRICT_RECONFIG_CHECK",
        help_heading = "Cluster"
    )]
    pub strict_reconfig_check: bool,
    /// Learners that the cluster may have at once.
    #[arg(
        long,
        alias = "experimental-max-learners",
        value_name = "N",
        default_value_t = 1,
        env = "ETCD_MAX_LEARNERS",
        help_heading = "Cluster"
    )]
    pub max_learners: usize,
    /// Tells clusters apart that began alike.
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "etcd-cluster",
        env = "ETCD_INITIAL_CLUSTER_TOKEN",
        help_heading = "Cluster"
    )]
    pub initial_cluster_token: String,

    /// Folder to which every applied entry of the log is copied, for restores to any revision since a backup.
    #[arg(long, value_name = "DIR", help_heading = "Backup")]
    pub archive_dir: Option<PathBuf>,

    /// Certificate shown to clients.
    #[arg(long, value_name = "FILE", requires = "key_file", env = "ETCD_CERT_FILE", help_heading = "Security")]
    pub cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert_file", env = "ETCD_KEY_FILE", help_heading = "Security")]
    pub key_file: Option<PathBuf>,
    /// Only clients with a certificate of --trusted-ca-file are served; that file alone is enough, too.
    #[arg(long, env = "ETCD_CLIENT_CERT_AUTH", help_heading = "Security")]
    pub client_cert_auth: bool,
    /// CA of the clients.
    #[arg(long, value_name = "FILE", env = "ETCD_TRUSTED_CA_FILE", help_heading = "Security")]
    pub trusted_ca_file: Option<PathBuf>,
    /// Only clients whose certificate is valid for one of these hosts are served.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        env = "ETCD_CLIENT_CERT_ALLOWED_HOSTNAME",
        help_heading = "Security"
    )]
    pub client_cert_allowed_hostname: Vec<String>,
    /// Certificate shown to other members, as server and as client.
    #[arg(
        long,
        value_name = "FILE",
        requires = "peer_key_file",
        env = "ETCD_PEER_CERT_FILE",
        help_heading = "Security"
    )]
    pub peer_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(
        long,
        value_name = "FILE",
        requires = "peer_cert_file",
        env = "ETCD_PEER_KEY_FILE",
        help_heading = "Security"
    )]
    pub peer_key_file: Option<PathBuf>,
    /// Only members with a certificate of --peer-trusted-ca-file are served; that file alone is enough, too.
    #[arg(long, env = "ETCD_PEER_CLIENT_CERT_AUTH", help_heading = "Security")]
    pub peer_client_cert_auth: bool,
    /// What tokens of users are: simple, or jwt,sign-method=METHOD,pub-key=FILE,priv-key=FILE,ttl=DURATION.
    #[arg(long, value_name = "TOKEN", default_value = "simple", env = "ETCD_AUTH_TOKEN", help_heading = "Security")]
    pub auth_token: String,
    /// Seconds that a simple token lives after each use.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, env = "ETCD_AUTH_TOKEN_TTL", help_heading = "Security")]
    pub auth_token_ttl: u64,
    /// How slow hashing a password is: each step doubles it.
    #[arg(
        long,
        value_name = "COST",
        default_value_t = password::COST,
        value_parser = clap::value_parser!(u32).range(password::COST_MIN as i64..=password::COST_MAX as i64),
        env = "ETCD_BCRYPT_COST",
        help_heading = "Security"
    )]
    pub bcrypt_cost: u32,
    /// CA of the other members.
    #[arg(long, value_name = "FILE", env = "ETCD_PEER_TRUSTED_CA_FILE", help_heading = "Security")]
    pub peer_trusted_ca_file: Option<PathBuf>,
    /// Only members whose certificate has one of these CNs are served.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        env = "ETCD_PEER_CERT_ALLOWED_CN",
        help_heading = "Security"
    )]
    pub peer_cert_allowed_cn: Vec<String>,
    /// Only members whose certificate is valid for one of these hosts are served.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        env = "ETCD_PEER_CERT_ALLOWED_HOSTNAME",
        help_heading = "Security"
    )]
    pub peer_cert_allowed_hostname: Vec<String>,

    #[command(subcommand)]
    pub command: Option<crate::restore::command::Command>,
    #[command(flatten)]
    pub taken: taken::Taken,
    #[command(flatten)]
    pub refused: taken::Refused,

    /// The common flags with --log-level in them.
    #[arg(skip)]
    leveled: OnceLock<daemon::cli::Common>,
}

impl daemon::cli::Flags for Config {
    fn common(&self) -> &daemon::cli::Common {
        self.leveled.get_or_init(|| {
            let mut common = self.common.clone();
            match self.log_level.as_deref() {
                Some("debug") if common.v == 0 => common.v = 4,
                _ => {}
            }
            let filter = match self.log_level.as_deref() {
                Some("warn") => Some("warn"),
                Some("error" | "dpanic" | "panic" | "fatal") => Some("error"),
                _ => None,
            };
            common.log_filter = common.log_filter.or(filter.map(str::to_owned));
            common
        })
    }
}

/// What is compacted without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    Off,
    /// History older than this.
    Age(Duration),
    /// Revisions before the newest so many.
    Revisions(i64),
}

/// What is wrong with the flags together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--initial-cluster: {0:?} is not NAME=URL")]
    Member(String),
    #[error("--initial-cluster does not name this member ({0}, set by --name)")]
    NotNamed(String),
    #[error("{flag}: {url:?} is not http://HOST:PORT or https://HOST:PORT")]
    Url { flag: &'static str, url: String },
    #[error("{flag} has an https URL, but {needed} is not set")]
    NoCertificate { flag: &'static str, needed: &'static str },
    #[error("{flag} is set, but {needed} is not: nobody would know which certificates to trust")]
    NoCa { flag: &'static str, needed: &'static str },
    #[error("--{flag} is not there: {why}")]
    Refused { flag: &'static str, why: &'static str },
    #[error(transparent)]
    AuthToken(#[from] JwtError),
    #[error("--auto-compaction-retention: {text:?} is no {wanted}")]
    Retention { text: String, wanted: &'static str },
    #[error("--election-timeout ({election} ms) must be at least five times --heartbeat-interval ({heartbeat} ms)")]
    Timeouts { election: u64, heartbeat: u64 },
}

const DEFAULT_QUOTA: u64 = 2 << 30;

/// Where a listener binds: host:port, and whether it is encrypted.
pub struct Listen {
    pub address: String,
    pub tls: bool,
}

pub fn listen(flag: &'static str, url: &str) -> Result<Listen, ConfigError> {
    let bad = || ConfigError::Url { flag, url: url.to_owned() };
    let uri: http::Uri = url.trim().parse().map_err(|_| bad())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad()),
    };
    let host = uri.host().ok_or_else(bad)?;
    let port = uri.port_u16().ok_or_else(bad)?;
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    Ok(Listen { address: format!("{host}:{port}"), tls })
}

impl Config {
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("{}.keelson", self.name)))
    }

    pub fn quota(&self) -> u64 {
        match self.quota_backend_bytes {
            0 => DEFAULT_QUOTA,
            bytes => u64::try_from(bytes).unwrap_or(0),
        }
    }

    /// How callers are known; reads the keys of tokens.
    pub fn login(&self) -> Result<Login, ConfigError> {
        Ok(Login::new(Provider::load(&self.auth_token)?, self.bcrypt_cost, self.client_cert_auth))
    }

    pub fn auto_compaction(&self) -> Result<AutoCompaction, ConfigError> {
        let text = self.auto_compaction_retention.trim();
        let bad = |wanted| ConfigError::Retention { text: text.to_owned(), wanted };
        if text.is_empty() || text == "0" {
            return Ok(AutoCompaction::Off);
        }
        if self.auto_compaction_mode == "revision" {
            let wanted = "number of revisions, such as 1000";
            let count = text.parse().ok().filter(|count| *count > 0).ok_or_else(|| bad(wanted))?;
            return Ok(AutoCompaction::Revisions(count));
        }
        let with_unit =
            if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text}h") } else { text.to_owned() };
        let age = duration(&with_unit).map_err(|_| bad("duration, such as 8h or 30m"))?;
        Ok(AutoCompaction::Age(age))
    }

    /// What clients are told to dial.
    pub fn advertised_client_urls(&self) -> Vec<String> {
        if self.advertise_client_urls.is_empty() {
            self.listen_client_urls.clone()
        } else {
            self.advertise_client_urls.clone()
        }
    }

    pub fn advertised_peer_urls(&self) -> Vec<String> {
        if self.initial_advertise_peer_urls.is_empty() {
            self.listen_peer_urls.clone()
        } else {
            self.initial_advertise_peer_urls.clone()
        }
    }

    /// The members of the first start, by name.
    pub fn initial_members(&self) -> Result<BTreeMap<String, Vec<String>>, ConfigError> {
        let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let Some(text) = self.initial_cluster.as_deref().filter(|text| !text.trim().is_empty()) else {
            members.insert(self.name.clone(), self.advertised_peer_urls());
            return Ok(members);
        };
        for part in text.split(',') {
            let (name, url) = part.trim().split_once('=').ok_or_else(|| ConfigError::Member(part.to_owned()))?;
            listen("--initial-cluster", url)?;
            members.entry(name.to_owned()).or_default().push(url.to_owned());
        }
        if !members.contains_key(&self.name) {
            return Err(ConfigError::NotNamed(self.name.clone()));
        }
        Ok(members)
    }

    /// Ids of cluster and members, the same wherever the same flags are given.
    pub fn ids(&self) -> Result<Ids, ConfigError> {
        Ok(self.ids_of(self.initial_members()?))
    }

    /// The same for these members.
    pub fn ids_of(&self, members: BTreeMap<String, Vec<String>>) -> Ids {
        let mut by_id = BTreeMap::new();
        let mut own = 0;
        for (name, mut peer_urls) in members {
            peer_urls.sort();
            let id = ids::member(&peer_urls, &self.initial_cluster_token, None);
            if name == self.name {
                own = id;
            }
            by_id.insert(id, Peer { name, peer_urls, joins_voters: true });
        }
        Ids { cluster_id: ids::cluster(by_id.keys().copied()), member_id: own, members: by_id }
    }

    /// Refuses flags that do not go together, naming the one to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.refused.check().map_err(|(flag, why)| ConfigError::Refused { flag, why })?;
        self.auto_compaction()?;
        if self.election_timeout < 5 * self.heartbeat_interval {
            return Err(ConfigError::Timeouts { election: self.election_timeout, heartbeat: self.heartbeat_interval });
        }
        let lists = [
            ("--listen-client-urls", &self.listen_client_urls, "--cert-file", self.cert_file.is_some()),
            ("--listen-peer-urls", &self.listen_peer_urls, "--peer-cert-file", self.peer_cert_file.is_some()),
            ("--listen-metrics-urls", &self.listen_metrics_urls, "--cert-file", self.cert_file.is_some()),
        ];
        for (flag, urls, needed, certified) in lists {
            for url in urls {
                if listen(flag, url)?.tls && !certified {
                    return Err(ConfigError::NoCertificate { flag, needed });
                }
            }
        }
        // A list of names is worth nothing where nobody shows a certificate.
        let lists = [
            ("--client-cert-allowed-hostname", &self.client_cert_allowed_hostname, "--trusted-ca-file"),
            ("--peer-cert-allowed-cn", &self.peer_cert_allowed_cn, "--peer-trusted-ca-file"),
            ("--peer-cert-allowed-hostname", &self.peer_cert_allowed_hostname, "--peer-trusted-ca-file"),
        ];
        for (flag, names, needed) in lists {
            let ca = if needed.starts_with("--peer") { &self.peer_trusted_ca_file } else { &self.trusted_ca_file };
            if !names.is_empty() && ca.is_none() {
                return Err(ConfigError::NoCa { flag, needed });
            }
        }
        if self.client_cert_auth && self.trusted_ca_file.is_none() {
            return Err(ConfigError::NoCa { flag: "--client-cert-auth", needed: "--trusted-ca-file" });
        }
        if self.peer_client_cert_auth && self.peer_trusted_ca_file.is_none() {
            return Err(ConfigError::NoCa { flag: "--peer-client-cert-auth", needed: "--peer-trusted-ca-file" });
        }
        Ok(())
    }
}

/// Who is who.
#[derive(Debug)]
pub struct Ids {
    pub cluster_id: u64,
    pub member_id: u64,
    pub members: BTreeMap<u64, Peer>,
}

/// Go's durations: 10m, 1m30s, 500ms, 2h.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration; write 10m, 30s or 500ms");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let part = match &rest[..unit_len] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60).ok_or_else(bad)?),
            "h" => Duration::from_secs(number.checked_mul(3600).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = &rest[unit_len..];
    }
    if total.is_zero() { Err(bad()) } else { Ok(total) }
}

/// A duration, or none at all.
fn interval(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        let unexplained = daemon::cli::unexplained::<Config>();
        assert!(unexplained.is_empty(), "--help shows these without an explanation or a group: {unexplained:?}");
    }

    fn parse(flags: &str) -> Config {
        let args = format!("keelson-store {flags}");
        daemon::cli::parse_from(args.split_whitespace().map(Into::into).collect()).expect("valid flags")
    }

    /// The command of kubeadm's manifests for etcd, of Kubernetes 1.30 and 1.35.
    #[test]
    fn kubeadm_s_flags_are_taken() {
        let common = "--advertise-client-urls=https://10.0.0.1:2379 --cert-file=/etc/kubernetes/pki/etcd/server.crt \
            --client-cert-auth=true --data-dir=/var/lib/etcd --initial-advertise-peer-urls=https://10.0.0.1:2380 \
            --initial-cluster=a=https://10.0.0.1:2380 --key-file=/etc/kubernetes/pki/etcd/server.key \
            --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379 \
            --listen-metrics-urls=http://127.0.0.1:2381 --listen-peer-urls=https://10.0.0.1:2380 --name=a \
            --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt --peer-client-cert-auth=true \
            --peer-key-file=/etc/kubernetes/pki/etcd/peer.key \
            --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt --snapshot-count=10000 \
            --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt";
        for of_version in [
            "--experimental-initial-corrupt-check=true --experimental-watch-progress-notify-interval=5s",
            "--feature-gates=InitialCorruptCheck=true --watch-progress-notify-interval=5s",
        ] {
            let config = parse(&format!("{common} {of_version} --logger=zap --log-level=warn --log-outputs=stderr"));
            config.check().expect("flags that go together");
            assert_eq!(config.watch_progress_notify_interval, Duration::from_secs(5));
            assert_eq!(config.snapshot_count, 10_000);
            assert_eq!(daemon::cli::Flags::common(&config).log_filter.as_deref(), Some("warn"));
        }
    }

    /// The keys of the file that etcd's documentation shows, as far as they have values there.
    #[test]
    fn etcd_s_config_file_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("etcd.conf.yml");
        let text = "
name: 'default'
data-dir: /var/lib/etcd
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 0
listen-peer-urls: http://localhost:2380
listen-client-urls: http://localhost:2379
max-snapshots: 5
max-wals: 5
cors:
initial-advertise-peer-urls: http://localhost:2380
advertise-client-urls: http://localhost:2379
discovery:
discovery-fallback: 'proxy'
discovery-proxy:
initial-cluster: default=http://localhost:2380
initial-cluster-token: 'etcd-cluster'
initial-cluster-state: 'new'
enable-pprof: true
proxy: 'off'
proxy-failure-wait: 5000
client-transport-security:
  cert-file: /c.crt
  key-file: /c.key
  client-cert-auth: false
  trusted-ca-file: /ca.crt
  auto-tls: false
peer-transport-security:
  cert-file: /p.crt
  key-file: /p.key
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
self-signed-cert-validity: 1
log-level: debug
logger: zap
log-outputs: [stderr]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: \"1\"
tls-min-version: 'TLS1.2'
tls-max-version: 'TLS1.3'
";
        std::fs::write(&file, text).expect("room");
        let config = parse(&format!("--config-file={}", file.display()));
        config.check().expect("settings that go together");
        assert_eq!(config.peer_cert_file.as_deref(), Some(std::path::Path::new("/p.crt")));
        assert_eq!(config.trusted_ca_file.as_deref(), Some(std::path::Path::new("/ca.crt")));
        assert_eq!(config.auto_compaction().expect("an age"), AutoCompaction::Age(Duration::from_secs(3600)));
        let given: Vec<&str> = config.taken.given().into_iter().map(|(flag, _)| flag).collect();
        assert!(given.contains(&"max-wals") && given.contains(&"enable-pprof"), "{given:?}");
    }

    #[test]
    fn a_flag_that_nobody_can_count_on_is_refused_with_what_to_do() {
        let refused = parse("--unsafe-no-fsync").check().expect_err("refused").to_string();
        assert!(refused.contains("--unsafe-no-fsync") && refused.contains("on the disk"), "{refused}");
    }

    #[test]
    fn retention_is_a_duration_or_a_number() {
        let retention = |flags: &str| parse(flags).auto_compaction().map_err(|error| error.to_string());
        assert_eq!(retention(""), Ok(AutoCompaction::Off));
        assert_eq!(retention("--auto-compaction-retention=8"), Ok(AutoCompaction::Age(Duration::from_secs(8 * 3600))));
        assert_eq!(retention("--auto-compaction-retention=30m"), Ok(AutoCompaction::Age(Duration::from_secs(1800))));
        let by_number = "--auto-compaction-mode=revision --auto-compaction-retention";
        assert_eq!(retention(&format!("{by_number}=1000")), Ok(AutoCompaction::Revisions(1000)));
        let refused = retention(&format!("{by_number}=1h")).expect_err("no number");
        assert!(
            refused.contains("--auto-compaction-retention") && refused.contains("number of revisions"),
            "{refused}"
        );
    }

    #[test]
    fn absurd_durations_are_refused_not_wrapped() {
        for text in ["99999999999999999999h", "18446744073709551615h", "9999999999999999h9999999999999999h", "5", "0s"]
        {
            duration(text).expect_err(text);
        }
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
    }
}
