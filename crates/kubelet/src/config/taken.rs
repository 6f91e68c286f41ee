//! Settings of upstream's kubelet that change nothing here. They are taken, so that what starts upstream's kubelet
//! starts this one; a value that asks for something that is not done is refused.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use daemon::cli::{duration, taken};

/// Settings without a choice.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Taken for the sake of upstream's command lines; without effect")]
pub struct Taken {
    /// Certificates are not asked for: --kubeconfig must name one that is there
    #[arg(long, value_name = "FILE")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// Nobody unknown is served; true is refused
    #[arg(long, value_parser = taken::only_false, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "false")]
    pub anonymous_auth: Option<bool>,
    /// Tokens are not accepted on the port, certificates are
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub authentication_token_webhook: Option<bool>,
    /// Tokens are not accepted on the port
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub authentication_token_webhook_cache_ttl: Option<Duration>,
    /// The API server and system:masters may use the port, whatever the mode; AlwaysAllow is refused
    #[arg(long, value_parser = ["Webhook"], value_name = "Webhook")]
    pub authorization_mode: Option<String>,
    /// Nobody is asked who may use the port
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_authorized_ttl: Option<Duration>,
    /// Nobody is asked who may use the port
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_unauthorized_ttl: Option<Duration>,
    /// There is no port without TLS; only 0 is possible
    #[arg(long, value_parser = clap::value_parser!(u16).range(..=0), value_name = "0")]
    pub read_only_port: Option<u16>,
    /// Certificates are not asked for
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub rotate_certificates: Option<bool>,
    /// Certificates are not asked for; true is refused
    #[arg(long, value_parser = taken::only_false, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "false")]
    pub rotate_server_certificates: Option<bool>,
    /// Older versions are not spoken
    #[arg(long, value_parser = ["VersionTLS12"], value_name = "VersionTLS12")]
    pub tls_min_version: Option<String>,

    /// Cgroups are written by the kubelet and runc themselves
    #[arg(long, value_parser = ["cgroupfs", "systemd"], value_name = "cgroupfs|systemd")]
    pub cgroup_driver: Option<String>,
    /// Every pod has a cgroup
    #[arg(long, value_parser = taken::only_true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "true")]
    pub cgroups_per_qos: Option<bool>,
    /// What is allocatable limits the pods' cgroup, and no other
    #[arg(long, value_delimiter = ',', value_parser = ["pods"], value_name = "pods")]
    pub enforce_node_allocatable: Vec<String>,
    /// Limits of CPU are quotas
    #[arg(long, value_parser = taken::only_true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "true")]
    pub cpu_cfs_quota: Option<bool>,
    /// The period of quotas
    #[arg(long, value_parser = ["100ms"], value_name = "100ms")]
    pub cpu_cfs_quota_period: Option<String>,
    /// Containers share the processors
    #[arg(long, value_parser = ["none"], value_name = "none")]
    pub cpu_manager_policy: Option<String>,
    /// Containers share the memory
    #[arg(long, value_parser = ["None"], value_name = "None")]
    pub memory_manager_policy: Option<String>,
    /// Containers are placed anywhere
    #[arg(long, value_parser = ["none"], value_name = "none")]
    pub topology_manager_policy: Option<String>,

    /// A pod's namespaces need no process
    #[arg(long, value_name = "IMAGE")]
    pub pod_infra_container_image: Option<String>,
    /// Calls to containerd have two minutes
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub runtime_request_timeout: Option<Duration>,
    /// Images are pulled side by side, and what they share once
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_name = "true|false")]
    pub serialize_image_pulls: Option<bool>,
    /// Pulls are as many as pods that wait for them
    #[arg(long, value_name = "RATE")]
    pub registry_qps: Option<f32>,
    /// Pulls are as many as pods that wait for them
    #[arg(long, value_name = "N")]
    pub registry_burst: Option<i32>,
    /// A profile is used where the pod asks for it; true is refused
    #[arg(long, value_parser = taken::only_false, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "false")]
    pub seccomp_default: Option<bool>,
    /// There are no plugins of volumes
    #[arg(long, value_name = "DIR")]
    pub volume_plugin_dir: Option<PathBuf>,
    /// Ports of the bridge hairpin
    #[arg(long, value_parser = ["hairpin-veth", "promiscuous-bridge"], value_name = "MODE")]
    pub hairpin_mode: Option<String>,

    /// Equal events are counted in one
    #[arg(long, value_name = "RATE")]
    pub event_qps: Option<f32>,
    /// Equal events are counted in one
    #[arg(long, value_name = "N")]
    pub event_burst: Option<i32>,
    /// One connection, few calls
    #[arg(long, value_name = "RATE")]
    pub kube_api_qps: Option<f32>,
    /// One connection, few calls
    #[arg(long, value_name = "N")]
    pub kube_api_burst: Option<i32>,
    /// The API is spoken to by gRPC
    #[arg(long, value_name = "TYPE")]
    pub kube_api_content_type: Option<String>,
    /// Every change is looked at when it comes, and everything once a minute
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub sync_frequency: Option<Duration>,
    /// What upstream has behind gates is either done here or not
    #[arg(long, value_delimiter = ',', value_parser = taken::feature_gate, value_name = "NAME=true|false,...")]
    pub feature_gates: Vec<String>,
}

impl Taken {
    /// A line for each setting that was given and does not do what it does upstream, with the reason.
    pub fn without_effect(&self) -> Vec<String> {
        let tokens = "tokens are not accepted on the port, certificates are";
        let callers = "the API server and system:masters may use the port";
        let requests = "certificates are not asked for; files that change are read again";
        let pulls = "images are pulled side by side, and what they share once";
        let calls = "calls are few and share one connection";
        taken::without_effect(&[
            (self.bootstrap_kubeconfig.is_some(), "bootstrap-kubeconfig", requests),
            (self.authentication_token_webhook == Some(true), "authentication-token-webhook", tokens),
            (self.authentication_token_webhook_cache_ttl.is_some(), "authentication-token-webhook-cache-ttl", tokens),
            (self.authorization_mode.is_some(), "authorization-mode", callers),
            (
                self.authorization_webhook_cache_authorized_ttl.is_some(),
                "authorization-webhook-cache-authorized-ttl",
                callers,
            ),
            (
                self.authorization_webhook_cache_unauthorized_ttl.is_some(),
                "authorization-webhook-cache-unauthorized-ttl",
                callers,
            ),
            (self.rotate_certificates == Some(true), "rotate-certificates", requests),
            (self.cgroup_driver.as_deref() == Some("systemd"), "cgroup-driver", "cgroups are written directly"),
            (self.pod_infra_container_image.is_some(), "pod-infra-container-image", "namespaces need no process"),
            (self.runtime_request_timeout.is_some(), "runtime-request-timeout", "calls to containerd have two minutes"),
            (self.serialize_image_pulls == Some(true), "serialize-image-pulls", pulls),
            (self.registry_qps.is_some(), "registry-qps", pulls),
            (self.registry_burst.is_some(), "registry-burst", pulls),
            (self.volume_plugin_dir.is_some(), "volume-plugin-dir", "there are no plugins of volumes"),
            (self.event_qps.is_some(), "event-qps", "equal events are counted in one"),
            (self.event_burst.is_some(), "event-burst", "equal events are counted in one"),
            (self.kube_api_qps.is_some(), "kube-api-qps", calls),
            (self.kube_api_burst.is_some(), "kube-api-burst", calls),
            (self.kube_api_content_type.is_some(), "kube-api-content-type", "the API is spoken to by gRPC"),
            (self.sync_frequency.is_some(), "sync-frequency", "changes are looked at when they come"),
            (!self.feature_gates.is_empty(), "feature-gates", "there are no gates"),
        ])
    }
}
