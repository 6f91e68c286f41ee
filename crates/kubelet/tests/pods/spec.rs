//! A container is what its spec says: who it is, what it sees, what it may use.

use kubelet::observed::State;
use proto::Quantity;
use proto::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, GrpcAction, HttpGetAction, Lifecycle,
    LifecycleHandler, Pod, PodSecurityContext, Probe, ProbeHandler, ResourceFieldSelector, SeccompProfile,
    SecretVolumeSource, SecurityContext, TcpSocketAction, Volume, VolumeMount, VolumeSource,
};
use proto::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, DownwardApiVolumeFile, DownwardApiVolumeSource, ExecAction,
    LocalObjectReference, ObjectFieldSelector, ProjectedVolumeSource, SecretProjection, ServiceAccountTokenProjection,
    VolumeProjection,
};

use crate::lab::{Lab, eventually, on_lab};
use crate::{FOREVER, is_ready, pod, shell};

fn quantity(text: &str) -> Quantity {
    Quantity { string: text.into() }
}

fn volume(name: &str, volume_source: VolumeSource) -> Volume {
    Volume { name: name.into(), volume_source }
}

fn mount(name: &str, mount_path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: mount_path.into(), ..VolumeMount::default() }
}

fn field(path: &str) -> Option<ObjectFieldSelector> {
    Some(ObjectFieldSelector { field_path: path.into(), ..ObjectFieldSelector::default() })
}

fn named(name: &str, set: impl FnOnce(&mut Container, &mut SecurityContext)) -> Container {
    let (mut container, mut context) = (shell(FOREVER), SecurityContext::default());
    container.name = name.into();
    set(&mut container, &mut context);
    container.security_context = Some(context);
    container
}

/// The pod's volumes, one of each kind that needs nothing of the host.
fn volumes() -> Vec<Volume> {
    let map = LocalObjectReference { name: "cm".into() };
    let token = ServiceAccountTokenProjection { path: "token".into(), ..ServiceAccountTokenProjection::default() };
    let labels = DownwardApiVolumeFile {
        path: "labels".into(),
        field_ref: field("metadata.labels"),
        mode: Some(0o400),
        ..DownwardApiVolumeFile::default()
    };
    let parts = vec![
        VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
        VolumeProjection {
            config_map: Some(ConfigMapProjection {
                local_object_reference: map.clone(),
                ..ConfigMapProjection::default()
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            secret: Some(SecretProjection {
                local_object_reference: LocalObjectReference { name: "secret".into() },
                ..SecretProjection::default()
            }),
            ..VolumeProjection::default()
        },
    ];
    let memory = EmptyDirVolumeSource { medium: "Memory".into(), size_limit: Some(quantity("1Mi")) };
    vec![
        volume("disk", VolumeSource { empty_dir: Some(EmptyDirVolumeSource::default()), ..VolumeSource::default() }),
        volume("memory", VolumeSource { empty_dir: Some(memory), ..VolumeSource::default() }),
        volume(
            "map",
            VolumeSource {
                config_map: Some(ConfigMapVolumeSource {
                    local_object_reference: map,
                    ..ConfigMapVolumeSource::default()
                }),
                ..VolumeSource::default()
            },
        ),
        volume(
            "secret",
            VolumeSource {
                secret: Some(SecretVolumeSource {
                    secret_name: "secret".into(),
                    default_mode: Some(0o400),
                    ..SecretVolumeSource::default()
                }),
                ..VolumeSource::default()
            },
        ),
        volume(
            "downward",
            VolumeSource {
                downward_api: Some(DownwardApiVolumeSource {
                    items: vec![labels],
                    ..DownwardApiVolumeSource::default()
                }),
                ..VolumeSource::default()
            },
        ),
        volume(
            "projected",
            VolumeSource {
                projected: Some(ProjectedVolumeSource { sources: parts, ..ProjectedVolumeSource::default() }),
                ..VolumeSource::default()
            },
        ),
    ]
}

fn containers() -> Vec<Container> {
    vec![
        named("plain", |container, _| {
            container.volume_mounts = ["disk", "memory", "map", "secret", "downward", "projected"]
                .map(|name| mount(name, &format!("/v/{name}")))
                .to_vec();
            container.volume_mounts.push(VolumeMount { sub_path: "key".into(), ..mount("map", "/etc/one-key") });
            container.volume_mounts.push(VolumeMount { sub_path: "a/b".into(), ..mount("disk", "/sub") });
            container.resources.limits =
                [("memory", "64Mi"), ("cpu", "250m")].map(|(name, text)| (name.to_owned(), quantity(text))).into();
            let selector = |resource: &str| ResourceFieldSelector {
                resource: resource.into(),
                ..ResourceFieldSelector::default()
            };
            let env = |name: &str, source: EnvVarSource| EnvVar {
                name: name.into(),
                value: String::new(),
                value_from: Some(source),
            };
            container.env = vec![
                env("MEM", EnvVarSource { resource_field_ref: Some(selector("limits.memory")), ..Default::default() }),
                env("CPU", EnvVarSource { resource_field_ref: Some(selector("limits.cpu")), ..Default::default() }),
                env("POD", EnvVarSource { field_ref: field("metadata.name"), ..Default::default() }),
            ];
        }),
        named("user", |container, context| {
            (context.run_as_user, context.run_as_group) = (Some(1000), Some(3000));
            container.working_dir = "/tmp".into();
            container.volume_mounts = vec![mount("disk", "/v/disk"), mount("projected", "/v/projected")];
        }),
        named("sealed", |_, context| context.read_only_root_filesystem = Some(true)),
        named("capable", |_, context| {
            let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
            context.capabilities = Some(Capabilities { add: names(&["NET_ADMIN"]), drop: names(&["ALL"]) });
        }),
        named("privileged", |_, context| context.privileged = Some(true)),
        named("filtered", |_, context| {
            context.seccomp_profile = Some(SeccompProfile { r#type: "RuntimeDefault".into(), localhost_profile: None });
            let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
            context.capabilities = Some(Capabilities { add: names(&["SYS_BOOT"]), drop: Vec::new() });
        }),
    ]
}

const TABLE: [(&str, &str, &str); 27] = [
    ("plain", "pwd; id -u", "/\n0\n"),
    ("plain", "cat /v/map/key /etc/one-key", "valuevalue"),
    ("plain", "touch /v/map/x /v/secret/x 2>/dev/null; echo $?", "1\n"),
    ("plain", "cat /v/secret/password; stat -Lc ' %a' /v/secret/password", "hidden 440\n"),
    ("plain", "cat /v/downward/labels", "app=\"lab\""),
    ("plain", "cat /v/projected/key; cat /v/projected/password; cut -c 1-6 /v/projected/token", "valuehiddentoken-\n"),
    ("plain", "echo $MEM $CPU $POD", "67108864 1 whole\n"),
    ("plain", "df -k /v/memory | tail -1 | tr -s ' ' | cut -d ' ' -f 1,2", "tmpfs 1024\n"),
    ("plain", "dd if=/dev/zero of=/v/memory/x bs=1M count=2 2>/dev/null; echo $?", "1\n"),
    ("plain", "echo x > /sub/file; cat /v/disk/a/b/file", "x\n"),
    ("plain", "df /v/secret | tail -1 | cut -d ' ' -f 1", "tmpfs\n"),
    ("user", "id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '", "1000\n3000\n2000 3000 4000 "),
    ("user", "pwd; touch /x 2>/dev/null; echo $?; touch /tmp/x; echo $?", "/tmp\n1\n0\n"),
    ("user", "touch /v/disk/mine; stat -c %g /v/disk/mine", "2000\n"),
    ("user", "cut -c 1-6 /v/projected/token", "token-\n"),
    ("user", "grep CapEff /proc/self/status | cut -f 2", "0000000000000000\n"),
    ("sealed", "touch /x 2>/dev/null; echo $?; touch /dev/shm/x; echo $?", "1\n0\n"),
    ("capable", "grep CapEff /proc/self/status | cut -f 2", "0000000000001000\n"),
    ("capable", "chown 1 /tmp 2>/dev/null; echo $?", "1\n"),
    (
        "privileged",
        "test $(ls /dev | wc -l) -gt 20; echo $?; touch /proc/sys/x 2>/dev/null; ls -d /sys/firmware",
        "0\n/sys/firmware\n",
    ),
    ("privileged", "grep Seccomp: /proc/self/status | cut -f 2", "0\n"),
    ("plain", "grep Seccomp: /proc/self/status | cut -f 2", "0\n"),
    ("filtered", "grep Seccomp: /proc/self/status | cut -f 2", "2\n"),
    ("filtered", "unshare -m true 2>/dev/null; echo $?; sh -c 'echo works'", "1\nworks\n"),
    ("plain", "ps | grep -c '[t]rap'", "1\n"),
    ("plain", "readlink /proc/self/ns/uts > /v/disk/uts; hostname", "whole\n"),
    ("user", "test $(readlink /proc/self/ns/uts) = $(cat /v/disk/uts); echo $?", "0\n"),
];

#[test]
fn a_container_is_what_its_spec_says() {
    on_lab(async |lab: &Lab| {
        lab.map.put_config_map("default", "cm", &[("key", "value")]);
        lab.map.put_secret("secret", "password", "hidden");
        let mut whole = pod("whole", "Always", containers());
        whole.metadata.labels = [("app".to_owned(), "lab".to_owned())].into();
        whole.spec.volumes = volumes();
        whole.spec.security_context = Some(PodSecurityContext {
            supplemental_groups: vec![4000],
            fs_group: Some(2000),
            ..PodSecurityContext::default()
        });
        lab.create(&whole).await;
        let running = lab.wait(&whole, "Ready", is_ready).await;
        let mut wrong = Vec::new();
        for (container, script, expect) in TABLE {
            let (_, got) = lab.exec(&running, container, &["sh", "-c", script]).await;
            if got != expect {
                wrong.push(format!("{container}: {script}\n  expected {expect:?}\n  got      {got:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // A privileged container has all that the kubelet has.
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = own.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        let (_, got) = lab.exec(&running, "privileged", &["grep", "CapEff", "/proc/self/status"]).await;
        assert_eq!(got.trim().trim_start_matches("CapEff:\t"), mask);
        lab.delete(&whole, 0).await;
        lab.wait_gone(&whole).await;
        lab.assert_clean(&whole).await;
    });
}

#[test]
fn host_namespaces_are_the_hosts() {
    on_lab(async |lab: &Lab| {
        let mut host = pod("host", "Always", vec![shell(FOREVER)]);
        (host.spec.host_network, host.spec.host_pid, host.spec.host_ipc) = (true, true, true);
        let own = pod("own", "Always", vec![shell(FOREVER)]);
        for pod in [&host, &own] {
            lab.create(pod).await;
        }
        for (pod, same) in [(&host, true), (&own, false)] {
            let running = lab.wait(pod, "Ready", is_ready).await;
            for kind in ["net", "pid", "ipc", "uts"] {
                let path = format!("/proc/self/ns/{kind}");
                let (_, inside) = lab.exec(&running, "c", &["readlink", &path]).await;
                let outside = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
                assert_eq!(inside.trim() == outside.to_str().unwrap(), same, "{} {kind}", pod.metadata.name);
            }
            assert_eq!(running.status.pod_ip == "10.77.0.1", same);
        }
        for pod in [&host, &own] {
            lab.delete(pod, 0).await;
        }
        for pod in [&host, &own] {
            lab.wait_gone(pod).await;
        }
    });
}

#[test]
fn a_pod_without_a_group_reads_its_token_and_gets_a_new_one_in_time() {
    on_lab(async |lab: &Lab| {
        let token = ServiceAccountTokenProjection {
            path: "token".into(),
            // Renewed at four fifths of its life.
            expiration_seconds: Some(4),
            ..ServiceAccountTokenProjection::default()
        };
        let part = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
        let source = ProjectedVolumeSource { sources: vec![part], ..ProjectedVolumeSource::default() };
        let missing = SecretVolumeSource { secret_name: "gone".into(), ..SecretVolumeSource::default() };
        let mut pod = pod("token", "Always", vec![shell(FOREVER)]);
        pod.spec.security_context =
            Some(PodSecurityContext { run_as_user: Some(1000), ..PodSecurityContext::default() });
        lab.map.put_secret("gone", "k", "v");
        pod.spec.volumes = vec![
            // It is deleted below: its failure must not keep the token from being renewed.
            volume("gone", VolumeSource { secret: Some(missing), ..VolumeSource::default() }),
            volume("token", VolumeSource { projected: Some(source), ..VolumeSource::default() }),
        ];
        pod.spec.containers[0].volume_mounts = vec![mount("token", "/t")];
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        let read = async || lab.exec(&running, "c", &["cat", "/t/token"]).await;
        assert_eq!(read().await, (0, "token-1".to_owned()));
        let (_, who) = lab.exec(&running, "c", &["stat", "-Lc", "%u %a", "/t/token"]).await;
        assert_eq!(who, "1000 600\n");
        lab.map.remove_secret("gone");
        eventually("a new token", async || read().await.1 != "token-1").await;
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_restarted_container_gets_the_volume_as_it_is_by_then() {
    on_lab(async |lab: &Lab| {
        lab.map.put_config_map("default", "cm", &[("key", "old")]);
        let mut container = shell("cat /etc/key; echo; until grep -q new /v/key; do sleep 0.1; done");
        container.volume_mounts =
            vec![VolumeMount { sub_path: "key".into(), ..mount("map", "/etc/key") }, mount("map", "/v")];
        let source = ConfigMapVolumeSource {
            local_object_reference: LocalObjectReference { name: "cm".into() },
            ..ConfigMapVolumeSource::default()
        };
        let mut pod = pod("subpath", "Always", vec![container]);
        pod.spec.volumes = vec![volume("map", VolumeSource { config_map: Some(source), ..VolumeSource::default() })];
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        lab.map.put_config_map("default", "cm", &[("key", "new")]);
        lab.wait(&pod, "a restart", |pod| pod.status.container_statuses[0].restart_count >= 1).await;
        eventually("the new key", async || lab.log(&running, "c", 1) == "new\n").await;
        assert_eq!(lab.log(&running, "c", 0), "old\n");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn requests_and_limits_are_what_the_kernel_enforces() {
    on_lab(async |lab: &Lab| {
        let of = |name: &str, resources: &[(&str, &str, &str)]| {
            let mut container = shell(FOREVER);
            for (list, name, amount) in resources {
                let resources = &mut container.resources;
                let map = if *list == "limit" { &mut resources.limits } else { &mut resources.requests };
                map.insert((*name).into(), quantity(amount));
            }
            pod(name, "Always", vec![container])
        };
        let burstable = of("burstable", &[("request", "cpu", "500m"), ("limit", "cpu", "1")]);
        let other = of("other", &[("request", "cpu", "250m")]);
        let guaranteed = of("guaranteed", &[("limit", "cpu", "100m"), ("limit", "memory", "32Mi")]);
        let best = of("best", &[]);
        let all = [&burstable, &other, &guaranteed, &best];
        for pod in all {
            lab.create(pod).await;
        }
        for pod in all {
            lab.wait(pod, "Ready", is_ready).await;
        }
        let group = |class: &str, pod: &Pod| format!("kubepods{class}/pod{}", pod.metadata.uid);
        let container = |class: &str, pod: &Pod| match lab.state(pod, "c") {
            Some(State::Running { id, .. }) => format!("{}/{id}", group(class, pod)),
            other => panic!("{other:?}"),
        };
        let pod_of_burstable = group("/burstable", &burstable);
        let expect = [
            ("kubepods/burstable".to_owned(), "cpu.shares", 768),
            ("kubepods/besteffort".to_owned(), "cpu.shares", 2),
            (pod_of_burstable.clone(), "cpu.shares", 512),
            (pod_of_burstable, "cpu.cfs_quota_us", 100_000),
            (container("/burstable", &burstable), "cpu.shares", 512),
            (container("/burstable", &burstable), "cpu.cfs_quota_us", 100_000),
            (container("/besteffort", &best), "cpu.shares", 2),
            (group("", &guaranteed), "cpu.cfs_quota_us", 10_000),
            (container("", &guaranteed), "cpu.shares", 102),
        ];
        for (group, file, value) in expect {
            assert_eq!(lab.cgroup("cpu", &group, file), value, "{group} {file}");
        }
        assert_eq!(lab.cgroup("memory", &container("", &guaranteed), "memory.limit_in_bytes"), 32 << 20);
        // What is left weighs what it asks for, also for a kubelet that was restarted.
        lab.restart_kubelet().await;
        lab.delete(&burstable, 0).await;
        lab.wait_gone(&burstable).await;
        assert_eq!(lab.cgroup("cpu", "kubepods/burstable", "cpu.shares"), 256);
        for pod in [&other, &guaranteed, &best] {
            lab.delete(pod, 0).await;
            lab.wait_gone(pod).await;
        }
    });
}

fn probe(handler: ProbeHandler) -> Option<Probe> {
    Some(Probe { handler, period_seconds: 1, failure_threshold: 30, timeout_seconds: 1, ..Probe::default() })
}

fn exec(command: &[&str]) -> Option<ExecAction> {
    Some(ExecAction { command: command.iter().map(|word| (*word).to_owned()).collect() })
}

#[test]
fn probes_ask_by_tcp_http_and_grpc_and_a_startup_probe_holds_the_others_back() {
    on_lab(async |lab: &Lab| {
        // A gRPC server with the standard health service, on the address that a pod of the host's network has.
        let listener = daemon::serve::bind("10.77.0.1:0", "--test").await.unwrap();
        let grpc_port = listener.local_addr().unwrap().port();
        let server = daemon::serve::Server::new(daemon::health::Health::new(), daemon::metrics::Metrics::new());
        let server = server.grpc(tonic::service::Routes::default());
        let served = tokio::spawn(server.serve(listener, tokio_util::sync::CancellationToken::new()));

        let tcp = ProbeHandler {
            tcp_socket: Some(TcpSocketAction {
                port: api::int_or_string::from_int(8080),
                ..TcpSocketAction::default()
            }),
            ..ProbeHandler::default()
        };
        let http = ProbeHandler {
            http_get: Some(HttpGetAction {
                port: api::int_or_string::from_int(8080),
                path: "/ok".into(),
                ..HttpGetAction::default()
            }),
            ..ProbeHandler::default()
        };
        let grpc = ProbeHandler {
            grpc: Some(GrpcAction { port: grpc_port.into(), service: None }),
            ..ProbeHandler::default()
        };
        let web = shell("sleep 1; mkdir /w; echo > /w/ok; httpd -p 8080 -h /w; sleep 100");
        let by_tcp = pod("tcp", "Always", vec![Container { readiness_probe: probe(tcp), ..web.clone() }]);
        let by_http = pod("http", "Always", vec![Container { readiness_probe: probe(http), ..web }]);
        let mut by_grpc = pod("grpc", "Always", vec![Container { readiness_probe: probe(grpc), ..shell(FOREVER) }]);
        by_grpc.spec.host_network = true;
        let mut slow = shell(&format!("sleep 3; touch /started; {FOREVER}"));
        slow.startup_probe = probe(ProbeHandler { exec: exec(&["test", "-e", "/started"]), ..ProbeHandler::default() });
        // Would end the container at once, if it were asked before the start.
        slow.liveness_probe = Some(Probe {
            failure_threshold: 1,
            ..probe(ProbeHandler { exec: exec(&["test", "-e", "/started"]), ..ProbeHandler::default() }).unwrap()
        });
        let slow = pod("slow", "Always", vec![slow]);
        let all = [&by_tcp, &by_http, &by_grpc, &slow];
        for pod in all {
            lab.create(pod).await;
        }
        for pod in all {
            let began = lab.wait(pod, "Running", |pod| pod.status.phase == "Running").await;
            let ready = lab.wait(pod, "Ready", is_ready).await;
            assert_eq!(ready.status.container_statuses[0].restart_count, 0);
            if pod.metadata.name == "slow" {
                assert_eq!(began.status.container_statuses[0].started, Some(false));
                assert_eq!(ready.status.container_statuses[0].started, Some(true));
            }
        }
        served.abort();
        let gone = served.await;
        assert!(gone.is_err());
        for pod in all {
            lab.delete(pod, 0).await;
        }
        for pod in all {
            lab.wait_gone(pod).await;
        }
    });
}

#[test]
fn a_post_start_hook_holds_readiness_back_and_its_failure_ends_the_container() {
    on_lab(async |lab: &Lab| {
        let hooked = |script: &str| {
            let hook = LifecycleHandler { exec: exec(&["sh", "-c", script]), ..LifecycleHandler::default() };
            Container {
                lifecycle: Some(Lifecycle { post_start: Some(hook), ..Lifecycle::default() }),
                ..shell(FOREVER)
            }
        };
        let good = pod("good", "Always", vec![hooked("sleep 0.5; echo done > /hooked")]);
        let bad = pod("bad", "Never", vec![hooked("exit 3")]);
        lab.create(&good).await;
        lab.create(&bad).await;
        let running = lab.wait(&good, "Ready", is_ready).await;
        assert_eq!(lab.exec(&running, "c", &["cat", "/hooked"]).await, (0, "done\n".to_owned()));
        // The shell ends well when it is asked to.
        lab.wait(&bad, "an end", |pod| pod.status.phase == "Succeeded").await;
        assert!(lab.map.events().iter().any(|event| event.reason == "FailedPostStartHook"));
        for pod in [&good, &bad] {
            lab.delete(pod, 0).await;
        }
        for pod in [&good, &bad] {
            lab.wait_gone(pod).await;
        }
    });
}

#[test]
fn what_is_not_supported_is_said() {
    on_lab(async |lab: &Lab| {
        let mut pod = pod("shared", "Always", vec![shell(FOREVER)]);
        pod.spec.share_process_namespace = Some(true);
        lab.create(&pod).await;
        lab.wait(&pod, "Ready", is_ready).await;
        let told = lab.map.events().into_iter().find(|event| event.reason == "Unsupported").unwrap();
        assert!(told.warning && told.message.contains("shareProcessNamespace"), "{told:?}");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn the_outside_sees_the_node_and_not_the_pod() {
    on_lab(async |lab: &Lab| {
        // A machine beyond the node: a network of its own, joined by a cable.
        let dir = lab.root().join("outside");
        sys::ns::create(&dir, &sys::ns::Unshare { net: true, ..sys::ns::Unshare::default() }, || ()).unwrap();
        let net = dir.join("net");
        let run = |command: &str| {
            let words: Vec<&str> = command.split(' ').collect();
            let done = std::process::Command::new(words[0]).args(&words[1..]).output().expect("needs iproute2");
            assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        };
        run(&format!("ip link add o0 type veth peer name o1 netns {}", net.display()));
        run("ip addr add 192.0.2.1/24 dev o0");
        run("ip link set o0 up");
        let path = net.display().to_string();
        for command in ["ip addr add 192.0.2.2/24 dev o1", "ip link set o1 up"] {
            run(&format!("nsenter --net={path} {command}"));
        }
        let listener = sys::ns::in_network(&net, || std::net::TcpListener::bind("192.0.2.2:7000").unwrap()).unwrap();
        let heard = std::thread::spawn(move || listener.accept().unwrap().1.ip().to_string());
        let pod = pod("out", "Never", vec![shell("nc -w 2 192.0.2.2 7000 < /dev/null")]);
        lab.create(&pod).await;
        lab.wait(&pod, "an end", |pod| pod.status.phase == "Succeeded").await;
        assert_eq!(heard.join().unwrap(), "192.0.2.1");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
        sys::ns::unpin(&net).unwrap();
    });
}
