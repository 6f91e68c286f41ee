use std::time::Duration;

use super::duration::duration;
use super::limits::AutoCompaction;
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
        assert_eq!(config.limits.watch_progress_notify_interval, Duration::from_secs(5));
        assert_eq!(config.limits.snapshot_count, 10_000);
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
    assert_eq!(config.security.peer_cert_file.as_deref(), Some(std::path::Path::new("/p.crt")));
    assert_eq!(config.security.trusted_ca_file.as_deref(), Some(std::path::Path::new("/ca.crt")));
    assert_eq!(config.limits.auto_compaction().expect("an age"), AutoCompaction::Age(Duration::from_secs(3600)));
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
    let retention = |flags: &str| parse(flags).limits.auto_compaction().map_err(|error| error.to_string());
    assert_eq!(retention(""), Ok(AutoCompaction::Off));
    assert_eq!(retention("--auto-compaction-retention=8"), Ok(AutoCompaction::Age(Duration::from_secs(8 * 3600))));
    assert_eq!(retention("--auto-compaction-retention=30m"), Ok(AutoCompaction::Age(Duration::from_secs(1800))));
    let by_number = "--auto-compaction-mode=revision --auto-compaction-retention";
    assert_eq!(retention(&format!("{by_number}=1000")), Ok(AutoCompaction::Revisions(1000)));
    let refused = retention(&format!("{by_number}=1h")).expect_err("no number");
    assert!(refused.contains("--auto-compaction-retention") && refused.contains("number of revisions"), "{refused}");
}

#[test]
fn absurd_durations_are_refused_not_wrapped() {
    for text in ["99999999999999999999h", "18446744073709551615h", "9999999999999999h9999999999999999h", "5", "0s"] {
        duration(text).expect_err(text);
    }
    assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
}
