use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What kubeadm's unit and its environment file start the kubelet with; FILE stands for its config file.
const KUBEADM: &str = "kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
    --kubeconfig=/etc/kubernetes/kubelet.conf --config=FILE \
    --container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=192.0.2.7 \
    --pod-infra-container-image=registry.k8s.io/pause:3.10";

/// The file that kubeadm writes, and what its users add most often.
const FILE: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous: {enabled: false}
  webhook: {cacheTTL: 0s, enabled: true}
  x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}
authorization:
  mode: Webhook
  webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
containerRuntimeEndpoint: \"\"
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
enforceNodeAllocatable: [pods]
evictionHard:
  memory.available: 200Mi
  nodefs.available: 5%
evictionPressureTransitionPeriod: 0s
failSwapOn: false
featureGates: {SomeGate: true, OtherGate: false}
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
imageServiceEndpoint: unix:///run/containerd/containerd.sock
kind: KubeletConfiguration
kubeReserved: {cpu: 100m, memory: 256Mi}
logging: {flushFrequency: 0, options: {json: {infoBufferSize: \"0\"}, text: {infoBufferSize: \"0\"}}, verbosity: 0}
maxPods: 50
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 1m0s
registerWithTaints:
- {effect: NoSchedule, key: a, value: b}
- {effect: NoExecute, key: c}
resolvConf: /run/systemd/resolve/resolv.conf
rotateCertificates: true
runtimeRequestTimeout: 0s
serializeImagePulls: true
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/none
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
systemReserved: {memory: 100Mi, ephemeral-storage: 1Gi}
volumeStatsAggPeriod: 0s
";

fn parse(line: &str) -> Result<Config, daemon::cli::Error> {
    daemon::cli::parse_from(line.split_whitespace().map(Into::into).collect())
}

fn kubeadm(file: &str, more: &str) -> Result<Config, daemon::cli::Error> {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("keelson-kubelet-{}-{number}.yaml", std::process::id()));
    std::fs::write(&path, file).expect("a file");
    let parsed = parse(&format!("{} {more}", KUBEADM.replace("FILE", &path.display().to_string())));
    std::fs::remove_file(&path).expect("removed");
    parsed
}

#[test]
fn flags_are_consistent() {
    let unexplained = daemon::cli::unexplained::<Config>();
    assert!(unexplained.is_empty(), "--help shows these without an explanation or a group: {unexplained:?}");
}

#[test]
fn kubeadms_flags_and_file_start_this_kubelet() {
    let config = kubeadm(FILE, "").unwrap_or_else(|error| panic!("{error}"));
    config.check("Filename Type Size Used Priority\n").expect("nothing of it asks for what is not done");
    assert_eq!(config.kubeconfig, Some("/etc/kubernetes/kubelet.conf".into()));
    assert_eq!(config.client_ca_file, Some("/etc/kubernetes/pki/ca.crt".into()));
    assert_eq!(config.cluster_dns, ["10.96.0.10".parse::<IpAddr>().expect("an address")]);
    assert_eq!(config.resolv_conf, PathBuf::from("/run/systemd/resolve/resolv.conf"));
    assert_eq!((config.max_pods, config.node_status_update_frequency), (50, 60));
    assert_eq!(config.register_with_taints, ["a=b:NoSchedule", "c:NoExecute"]);
    assert_eq!(config.eviction_hard, "memory.available<200Mi,nodefs.available<5%".parse().expect("thresholds"));
    let reserved = Reserved { cpu_m: 100, memory_bytes: 356 << 20, disk_bytes: 1 << 30 };
    assert_eq!(config.reserved(), reserved);
    let told = config.taken.without_effect();
    for flag in ["--bootstrap-kubeconfig", "--rotate-certificates", "--cgroup-driver", "--feature-gates"] {
        assert!(told.iter().any(|line| line.starts_with(flag)), "{flag}: {told:?}");
    }
}

#[test]
fn flags_win_over_the_file() {
    let config = kubeadm(FILE, "--max-pods=7 --kube-reserved=cpu=1 --eviction-hard=memory.available<1Mi");
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((config.max_pods, config.kube_reserved.cpu_m, config.kube_reserved.memory_bytes), (7, 1000, 0));
    assert_eq!(config.eviction_hard, "memory.available<1Mi".parse().expect("thresholds"));
}

#[test]
fn a_value_that_asks_for_something_else_is_refused_by_name() {
    for flag in [
        "--anonymous-auth=true",
        "--anonymous-auth",
        "--authorization-mode=AlwaysAllow",
        "--read-only-port=10255",
        "--rotate-server-certificates=true",
        "--cgroup-driver=other",
        "--cpu-cfs-quota=false",
        "--cpu-manager-policy=static",
        "--seccomp-default",
        "--feature-gates=NoGate",
        "--enforce-node-allocatable=pods,system-reserved",
        "--kube-reserved=cpu=-1",
        "--kube-reserved=gpu=1",
        "--system-reserved=memory",
    ] {
        let refused = kubeadm(FILE, flag).expect_err(flag).to_string();
        assert!(refused.contains(flag.split('=').next().expect("a name")), "{flag}: {refused}");
    }
    for (from, to, name) in [
        ("anonymous: {enabled: false}", "anonymous: {enabled: true}", "--anonymous-auth"),
        ("mode: Webhook", "mode: AlwaysAllow", "--authorization-mode"),
        ("maxPods: 50", "serverTLSBootstrap: true", "--rotate-server-certificates"),
        ("maxPods: 50", "shutdownGracePeriodByPodPriority: [{priority: 1}]", "shutdownGracePeriodByPodPriority"),
    ] {
        let refused = kubeadm(&FILE.replace(from, to), "").expect_err(to).to_string();
        assert!(refused.contains(name), "{to}: {refused}");
    }
}

#[test]
fn what_this_machine_cannot_have_is_refused() {
    let check = |flags: &str, swaps: &str| parse(&format!("kubelet {flags}")).expect("valid").check(swaps);
    let swaps = "Filename\tType\tSize\n/dev/sda2 partition 1 0 -2\n";
    assert_eq!(check("--fail-swap-on", swaps), Err(Refused::Swap("/dev/sda2".into())));
    assert_eq!((check("", swaps), check("--fail-swap-on", "Filename\n")), (Ok(()), Ok(())));
    let same = "--container-runtime-endpoint=unix:///c.sock --image-service-endpoint=/c.sock";
    assert_eq!(check(same, ""), Ok(()));
    let other = "--image-service-endpoint=unix:///other.sock";
    assert!(matches!(check(other, ""), Err(Refused::Images(_))));

    let dir = std::env::temp_dir().join(format!("keelson-static-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let flag = format!("--pod-manifest-path={}", dir.display());
    std::fs::write(dir.join(".kept"), "").expect("a file");
    assert_eq!(check(&flag, ""), Ok(()), "hidden files are none");
    std::fs::write(dir.join("etcd.yaml"), "").expect("a file");
    assert!(matches!(check(&flag, ""), Err(Refused::StaticPod(file)) if file.ends_with("etcd.yaml")));
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn the_ports_certificate_is_the_named_one_or_the_folders() {
    let dir = std::env::temp_dir().join(format!("keelson-certs-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let flag = format!("kubelet --cert-dir={}", dir.display());
    let files = |more: &str| parse(&format!("{flag} {more}")).expect("valid").serving_files();
    assert_eq!(files(""), None);
    for name in ["kubelet.crt", "kubelet.key"] {
        std::fs::write(dir.join(name), "").expect("a file");
    }
    assert_eq!(files(""), Some((dir.join("kubelet.crt"), dir.join("kubelet.key"))));
    let named = files("--tls-cert-file=/c --tls-private-key-file=/k");
    assert_eq!(named, Some(("/c".into(), "/k".into())));
    std::fs::remove_dir_all(&dir).expect("removed");
}
