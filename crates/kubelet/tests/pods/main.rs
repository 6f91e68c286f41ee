//! Pods on a containerd of our own, in a network namespace of our own, with the API server played by a map.
//!
//! Needs root, containerd, runc, nft and busybox-static (Debian: containerd runc nftables busybox-static).

#![allow(clippy::unwrap_used)] // test support

mod hooks;
mod lab;
mod limits;
mod lives;
mod probes;
mod pulls;
mod site;
mod spec;
mod streams;

use std::time::Duration;

use lab::{Lab, eventually, on_lab};
use proto::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, ExecAction, Lifecycle, LifecycleHandler, Pod, Probe, ProbeHandler, Volume,
    VolumeMount, VolumeSource,
};

fn shell(script: &str) -> Container {
    Container {
        name: "c".into(),
        image: lab::IMAGE.into(),
        command: ["sh", "-c", script].map(String::from).to_vec(),
        ..Container::default()
    }
}

const FOREVER: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

fn pod(name: &str, restart_policy: &str, containers: Vec<Container>) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = name.into();
    pod.metadata.namespace = "default".into();
    pod.metadata.uid = uuid::Uuid::new_v4().to_string();
    pod.metadata.generation = 1;
    pod.spec.restart_policy = restart_policy.into();
    pod.spec.termination_grace_period_seconds = Some(5);
    pod.spec.containers = containers;
    pod.status.phase = "Pending".into();
    pod
}

fn condition(pod: &Pod, kind: &str) -> String {
    pod.status.conditions.iter().find(|one| one.r#type == kind).map(|one| one.status.clone()).unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready") == "True"
}

#[test]
fn a_pod_runs_is_reached_and_leaves_nothing_behind() {
    on_lab(async |lab: &Lab| {
        let mut server = shell("echo hello; mkdir /w; echo page > /w/index.html; exec httpd -f -p 8080 -h /w");
        server.env = vec![EnvVar { name: "A".into(), value: "1".into(), value_from: None }];
        server.ports =
            vec![proto::core::v1::ContainerPort { container_port: 8080, host_port: 18080, ..Default::default() }];
        let mut pod = pod("web", "Always", vec![server]);
        lab.map.put_config_map("default", "cm", &[("key", "value")]);
        pod.spec.volumes = vec![Volume {
            name: "v".into(),
            volume_source: VolumeSource {
                config_map: Some(proto::core::v1::ConfigMapVolumeSource {
                    local_object_reference: proto::core::v1::LocalObjectReference { name: "cm".into() },
                    ..Default::default()
                }),
                ..VolumeSource::default()
            },
        }];
        pod.spec.containers[0].volume_mounts =
            vec![VolumeMount { name: "v".into(), mount_path: "/v".into(), ..VolumeMount::default() }];
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        assert_eq!(running.status.phase, "Running");
        assert!(running.status.pod_ip.starts_with("10.77.0."), "{}", running.status.pod_ip);
        let answer = lab.http_get(&running.status.pod_ip, 8080).await;
        assert!(answer.ends_with("page\n"), "{answer}");
        // The same by a port of the node, on its address and on its loopback.
        for node in ["10.77.0.1", "127.0.0.1"] {
            let answer = lab.http_get(node, 18080).await;
            assert!(answer.ends_with("page\n"), "{answer}");
        }
        let (code, out) = lab.exec(&running, "c", &["sh", "-c", "echo $A; cat /v/key; hostname; cat /etc/hosts"]).await;
        assert_eq!(code, 0);
        assert!(out.starts_with("1\nvalueweb\n") && out.contains(&running.status.pod_ip), "{out}");
        assert_eq!(lab.log(&running, "c", 0), "hello\n");
        lab.delete(&pod, 5).await;
        lab.wait_gone(&pod).await;
        lab.assert_clean(&pod).await;
    });
}

#[test]
fn a_pod_has_the_resolver_of_the_file_that_the_node_names() {
    on_lab(async |lab: &Lab| {
        let mut pod = pod("resolves", "Never", vec![shell("cat /etc/resolv.conf")]);
        pod.spec.dns_policy = "Default".into();
        lab.create(&pod).await;
        let ended = lab.wait(&pod, "Succeeded", |pod| pod.status.phase == "Succeeded").await;
        assert_eq!(lab.log(&ended, "c", 0), lab::RESOLVER);
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_container_that_ends_is_restarted_with_growing_pauses() {
    on_lab(async |lab: &Lab| {
        let pod = pod("crash", "Always", vec![shell("exit 3")]);
        lab.create(&pod).await;
        let seen = lab
            .wait(&pod, "CrashLoopBackOff", |pod| {
                pod.status
                    .container_statuses
                    .first()
                    .and_then(|status| status.state.waiting.as_ref())
                    .is_some_and(|waiting| waiting.reason == "CrashLoopBackOff")
            })
            .await;
        let status = &seen.status.container_statuses[0];
        assert_eq!(status.restart_count, 1);
        let last = status.last_state.terminated.as_ref().unwrap();
        assert_eq!((last.exit_code, last.reason.as_str()), (3, "Error"));
        let expect = format!("back-off 10s restarting failed container=c pod=crash_default({})", pod.metadata.uid);
        assert_eq!(status.state.waiting.as_ref().unwrap().message, expect);
        assert_eq!(seen.status.phase, "Running");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_pod_that_runs_to_its_end_succeeds_or_fails() {
    on_lab(async |lab: &Lab| {
        for (script, phase, reason) in
            [("echo done > /dev/termination-log", "Succeeded", "Completed"), ("exit 2", "Failed", "Error")]
        {
            let pod = pod(&phase.to_lowercase(), "Never", vec![shell(script)]);
            lab.create(&pod).await;
            let seen = lab.wait(&pod, phase, |pod| pod.status.phase == phase).await;
            let ended = seen.status.container_statuses[0].state.terminated.clone().unwrap();
            assert_eq!(ended.reason, reason);
            assert_eq!(ended.message, if phase == "Succeeded" { "done\n" } else { "" });
            assert_eq!(condition(&seen, "PodReadyToStartContainers"), "False");
            lab.delete(&pod, 0).await;
            lab.wait_gone(&pod).await;
        }
    });
}

#[test]
fn init_containers_run_in_order_beside_sidecars() {
    on_lab(async |lab: &Lab| {
        let named = |name: &str, script: &str| Container {
            name: name.into(),
            volume_mounts: vec![VolumeMount {
                name: "shared".into(),
                mount_path: "/shared".into(),
                ..VolumeMount::default()
            }],
            ..shell(script)
        };
        let mut side = named("side", &format!("echo side >> /shared/order; {FOREVER}"));
        side.restart_policy = Some("Always".into());
        let mut pod = pod("ordered", "Never", vec![named("main", "echo main >> /shared/order; cat /shared/order")]);
        pod.spec.init_containers =
            vec![named("one", "sleep 0.3; echo one >> /shared/order"), side, named("two", "echo two >> /shared/order")];
        pod.spec.volumes = vec![Volume {
            name: "shared".into(),
            volume_source: VolumeSource { empty_dir: Some(EmptyDirVolumeSource::default()), ..VolumeSource::default() },
        }];
        lab.create(&pod).await;
        let seen = lab.wait(&pod, "Succeeded", |pod| pod.status.phase == "Succeeded").await;
        assert_eq!(lab.log(&seen, "main", 0), "one\nside\ntwo\nmain\n");
        assert!(seen.status.init_container_statuses[1].state.terminated.is_some());
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn probes_decide_readiness_and_restarts() {
    on_lab(async |lab: &Lab| {
        let check = |file: &str| {
            Some(Probe {
                handler: ProbeHandler {
                    exec: Some(ExecAction { command: ["cat", file].map(String::from).to_vec() }),
                    ..ProbeHandler::default()
                },
                period_seconds: 1,
                failure_threshold: 1,
                ..Probe::default()
            })
        };
        let mut container = shell("touch /tmp/live; sleep 1.5; touch /tmp/ready; sleep 2; rm /tmp/live; sleep 100");
        container.readiness_probe = check("/tmp/ready");
        container.liveness_probe = check("/tmp/live");
        let pod = pod("probed", "Always", vec![container]);
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Running", |pod| pod.status.phase == "Running").await;
        assert!(!is_ready(&running));
        lab.wait(&pod, "Ready", is_ready).await;
        let again = lab.wait(&pod, "a restart", |pod| pod.status.container_statuses[0].restart_count == 1).await;
        assert!(again.status.container_statuses[0].last_state.terminated.is_some());
        let killing = lab.map.events().into_iter().find(|event| event.reason == "Killing").unwrap();
        assert_eq!(killing.message, "Container c failed liveness probe, will be restarted");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_pre_stop_hook_runs_before_the_signal() {
    on_lab(async |lab: &Lab| {
        let mut container = shell("trap 'echo term; exit 0' TERM; while true; do sleep 0.1; done");
        container.lifecycle = Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: ["sh", "-c", "echo hook > /proc/1/fd/1; sleep 0.5"].map(String::from).to_vec(),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        });
        let pod = pod("hooked", "Always", vec![container]);
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        let path = lab.log_path(&running, "c", 0);
        lab.delete(&pod, 5).await;
        let text = lab.wait_log(&path, "term").await;
        assert!(text.contains("F hook") && text.find("hook") < text.find("F term"), "{text}");
        lab.wait_gone(&pod).await;
    });
}

/// Counts until it is asked to end, then says how far it came.
const COUNTS: &str = "trap 'echo end $i; exit 0' TERM; i=0; while true; do echo line $i; i=$((i+1)); sleep 0.02; done";
/// Lines that must come after a restart: more than a second of them.
const LINES_AFTER: usize = 50;

#[test]
fn a_restarted_kubelet_and_a_restarted_containerd_disturb_nothing() {
    on_lab(async |lab: &Lab| {
        let pod = pod("steady", "Never", vec![shell(COUNTS)]);
        lab.create(&pod).await;
        let before = lab.wait(&pod, "Ready", is_ready).await;
        let lines = || lab.log(&before, "c", 0).lines().count();
        let more = async |what: &str| {
            let now = lines();
            eventually(what, async || lines() >= now + LINES_AFTER).await;
        };
        more("the first lines").await;
        lab.restart_kubelet().await;
        more("lines after the kubelet's restart").await;
        lab.restart_containerd().await;
        more("lines after containerd's restart").await;
        lab.restart_kubelet().await;
        more("lines after the kubelet's next restart").await;
        let after = lab.map.pod(&pod).unwrap();
        assert_eq!(after.status.container_statuses[0].state, before.status.container_statuses[0].state);
        assert_eq!(after.status.container_statuses[0].restart_count, 0);
        // Events still arrive, and every line that was written is there.
        lab.exec(&after, "c", &["kill", "1"]).await;
        let ended = lab.wait(&pod, "Succeeded", |pod| pod.status.phase == "Succeeded").await;
        let text = lab.log(&ended, "c", 0);
        let written = text.lines().count() - 1;
        let expect = (0..written).map(|n| format!("line {n}")).chain([format!("end {written}")]);
        assert!(text.lines().eq(expect.collect::<Vec<_>>()), "{text}");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
        lab.assert_clean(&pod).await;
    });
}

#[test]
fn a_killed_log_writer_is_replaced_and_loses_nothing() {
    on_lab(async |lab: &Lab| {
        let pod =
            pod("logged", "Always", vec![shell("i=0; while true; do echo line $i; i=$((i+1)); sleep 0.02; done")]);
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            lab.kill_log_writer(&pod);
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        let text = lab.log(&running, "c", 0);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() > 50, "{}", lines.len());
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("line {n}"));
        }
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn memory_beyond_the_limit_is_told_as_oom() {
    on_lab(async |lab: &Lab| {
        let mut container = shell("dd if=/dev/zero of=/dev/shm/x bs=1M count=64");
        container.resources.limits.insert("memory".into(), proto::Quantity { string: "16Mi".into() });
        let pod = pod("oom", "Never", vec![container]);
        lab.create(&pod).await;
        let seen = lab.wait(&pod, "Failed", |pod| pod.status.phase == "Failed").await;
        let ended = seen.status.container_statuses[0].state.terminated.clone().unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "OOMKilled"));
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn what_is_wrong_is_said_and_mended_when_it_can_be() {
    on_lab(async |lab: &Lab| {
        let waiting = |pod: &Pod| {
            pod.status.container_statuses.first().and_then(|status| status.state.waiting.clone()).unwrap_or_default()
        };
        let mut needs = shell(FOREVER);
        needs.env_from.push(proto::core::v1::EnvFromSource {
            config_map_ref: Some(proto::core::v1::ConfigMapEnvSource {
                local_object_reference: proto::core::v1::LocalObjectReference { name: "late".into() },
                optional: None,
            }),
            ..Default::default()
        });
        let needy = pod("needy", "Always", vec![needs]);
        lab.create(&needy).await;
        let seen = lab
            .wait(&needy, "CreateContainerConfigError", |pod| waiting(pod).reason == "CreateContainerConfigError")
            .await;
        assert_eq!(waiting(&seen).message, "configmap \"late\" not found");
        lab.map.put_config_map("default", "late", &[]);
        lab.wait(&needy, "Ready", is_ready).await;

        let mut never = shell(FOREVER);
        (never.image, never.image_pull_policy) = ("registry.example/missing:1".into(), "Never".into());
        let absent = pod("absent", "Always", vec![never]);
        lab.create(&absent).await;
        lab.wait(&absent, "ErrImageNeverPull", |pod| waiting(pod).reason == "ErrImageNeverPull").await;

        let mut wrong = shell("");
        wrong.command = vec!["/no/such/program".into()];
        let broken = pod("broken", "Always", vec![wrong]);
        lab.create(&broken).await;
        let seen = lab.wait(&broken, "RunContainerError", |pod| waiting(pod).reason == "RunContainerError").await;
        let last = seen.status.container_statuses[0].last_state.terminated.clone().unwrap();
        assert_eq!((last.exit_code, last.reason.as_str()), (128, "StartError"));
        assert!(last.message.contains("/no/such/program"), "{}", last.message);
        for pod in [&needy, &absent, &broken] {
            lab.delete(pod, 0).await;
        }
        for pod in [&needy, &absent, &broken] {
            lab.wait_gone(pod).await;
        }
    });
}

#[test]
fn an_image_comes_from_a_registry_with_the_pods_credentials() {
    on_lab(async |lab: &Lab| {
        const PORT: u16 = 5000;
        let registry = lab.registry(PORT);
        let mut container = shell(FOREVER);
        container.image = format!("127.0.0.1:{PORT}/lab/app:1");
        let mut refused = pod("refused", "Always", vec![container.clone()]);
        refused.spec.containers[0].image_pull_policy = "Always".into();
        lab.create(&refused).await;
        let waiting = |pod: &Pod| {
            let status = pod.status.container_statuses.first();
            status.and_then(|status| status.state.waiting.clone()).unwrap_or_default()
        };
        let seen = lab.wait(&refused, "ErrImagePull", |pod| waiting(pod).reason == "ErrImagePull").await;
        assert!(waiting(&seen).message.contains("failed to resolve reference"), "{}", waiting(&seen).message);
        lab.wait(&refused, "ImagePullBackOff", |pod| waiting(pod).reason == "ImagePullBackOff").await;
        lab.delete(&refused, 0).await;

        let config = format!(r#"{{"auths":{{"127.0.0.1:{PORT}":{{"username":"me","password":"secret"}}}}}}"#);
        lab.map.put_secret("pull", ".dockerconfigjson", &config);
        let mut allowed = pod("allowed", "Always", vec![container]);
        allowed.spec.image_pull_secrets = vec![proto::core::v1::LocalObjectReference { name: "pull".into() }];
        lab.create(&allowed).await;
        lab.wait(&allowed, "Ready", is_ready).await;
        let pulled =
            lab.map.events().into_iter().find(|event| event.message.starts_with("Successfully pulled")).unwrap();
        assert_eq!(pulled.reason, "Pulled");
        drop(registry);
        lab.delete(&allowed, 0).await;
        lab.wait_gone(&allowed).await;
        lab.wait_gone(&refused).await;
    });
}
