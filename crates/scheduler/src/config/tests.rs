use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What kubeadm writes into the manifest of kube-scheduler.
const KUBEADM: &str = "kube-scheduler --authentication-kubeconfig=/etc/kubernetes/scheduler.conf \
    --authorization-kubeconfig=/etc/kubernetes/scheduler.conf --bind-address=127.0.0.1 \
    --kubeconfig=/etc/kubernetes/scheduler.conf --leader-elect=true";

/// A file as upstream's tools write it, with every key and its default, and one profile.
const FILE: &str = "\
apiVersion: kubescheduler.config.k8s.io/v1
clientConnection: {acceptContentTypes: \"\", burst: 100, contentType: application/vnd.kubernetes.protobuf,
  kubeconfig: /etc/file.conf, qps: 50}
delayCacheUntilActive: false
enableContentionProfiling: true
enableProfiling: true
extenders: null
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: true, leaseDuration: 1m0s, renewDeadline: 40s, resourceLock: leases,
  resourceName: mine, resourceNamespace: kube-system, retryPeriod: 2s}
parallelism: 16
percentageOfNodesToScore: 0
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
profiles:
- {pluginConfig: null, plugins: {}, schedulerName: second}
";

fn parse(line: &str) -> Result<Config, daemon::cli::Error> {
    daemon::cli::parse_from(line.split_whitespace().map(Into::into).collect())
}

fn with_file(text: &str, more: &str) -> Result<Config, daemon::cli::Error> {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("keelson-scheduler-{}-{number}.yaml", std::process::id()));
    std::fs::write(&path, text).expect("a file");
    let parsed = parse(&format!("kube-scheduler --config={} {more}", path.display()));
    std::fs::remove_file(&path).expect("removed");
    parsed
}

#[test]
fn flags_are_consistent() {
    let unexplained = daemon::cli::unexplained::<Config>();
    assert!(unexplained.is_empty(), "--help shows these without an explanation or a group: {unexplained:?}");
}

#[test]
fn kubeadms_manifest_starts_this_scheduler() {
    let config = parse(&format!(
        "{KUBEADM} --kube-api-qps=50 --kube-api-burst=100 --profiling=false --leader-elect-lease-duration=1m0s \
         --feature-gates=SomeGate=true,OtherGate=false"
    ))
    .expect("every flag of the manifest is known");
    assert_eq!(config.kubeconfig, Some(PathBuf::from("/etc/kubernetes/scheduler.conf")));
    assert_eq!((config.bind_address.to_string().as_str(), config.leader_elect), ("127.0.0.1", true));
    assert_eq!(config.leader_elect_lease_duration, 60);
    let told = config.taken.without_effect();
    for flag in ["--authentication-kubeconfig", "--kube-api-qps", "--feature-gates"] {
        assert!(told.iter().any(|line| line.starts_with(flag)), "{flag}: {told:?}");
    }
    assert!(!told.iter().any(|line| line.starts_with("--profiling")), "what was not asked for is not told: {told:?}");
}

#[test]
fn upstreams_file_is_read_and_flags_win_over_it() {
    let config = with_file(FILE, "--leader-elect-retry-period=3s").expect("every key with its default is taken");
    assert_eq!(config.kubeconfig, Some(PathBuf::from("/etc/file.conf")));
    assert_eq!(config.scheduler_name, "second");
    assert_eq!((config.pod_initial_backoff_seconds, config.pod_max_backoff_seconds), (2, 20));
    assert_eq!((config.leader_elect_lease_duration, config.leader_elect_retry_period), (60, 3));
    assert_eq!(config.leader_elect_resource_name, "mine");
}

#[test]
fn what_asks_for_other_decisions_is_refused_by_name() {
    for (flag, name) in [
        ("--feature-gates=NoGate", "--feature-gates"),
        ("--leader-elect-resource-lock=endpoints", "--leader-elect-resource-lock"),
        ("--percentage-of-nodes-to-score=50", "--percentage-of-nodes-to-score"),
        ("--delay-cache-until-active", "--delay-cache-until-active"),
    ] {
        let refused = parse(&format!("{KUBEADM} {flag}")).expect_err(flag).to_string();
        assert!(refused.contains(name), "{flag}: {refused}");
    }
    for (from, to, key) in [
        ("plugins: {}", "plugins: {score: {disabled: [{name: '*'}]}}", "profiles.plugins.score.disabled"),
        ("extenders: null", "extenders: [{urlPrefix: 'http://x'}]", "extenders.urlPrefix"),
        ("schedulerName: second}", "schedulerName: second}\n- {schedulerName: third}", "profiles"),
    ] {
        let refused = with_file(&FILE.replace(from, to), "").expect_err(to).to_string();
        assert!(refused.contains(key), "{to}: {refused}");
    }
}
