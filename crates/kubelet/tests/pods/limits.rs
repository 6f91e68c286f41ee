//! What pods may use: who exceeds it on disk is evicted; amounts of CPU and memory change while containers run.

use kubelet::admission::Offer;
use kubelet::resources::cgroup;
use proto::Quantity;
use proto::core::v1::{Container, ContainerResizePolicy, Pod};

use crate::lab::{Lab, eventually, on_lab};
use crate::{FOREVER, is_ready, pod, shell};

fn with(mut container: Container, requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Container {
    let list = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), Quantity { string: (*text).to_owned() })).collect()
    };
    (container.resources.requests, container.resources.limits) = (list(requests), list(limits));
    container
}

fn restarts(pod: &Pod) -> i32 {
    pod.status.container_statuses.first().map_or(0, |status| status.restart_count)
}

/// The first container's amount of CPU or memory, as the status tells what it has.
fn has(pod: &Pod, name: &str) -> String {
    let resources = pod.status.container_statuses.first().and_then(|status| status.resources.clone());
    resources.unwrap_or_default().limits.get(name).map(|quantity| quantity.string.clone()).unwrap_or_default()
}

fn told(lab: &Lab, reason: &str) -> bool {
    lab.map.events().iter().any(|event| event.reason == reason)
}

/// Below the lab's group: the pod's, and its first container's.
fn groups(pod: &Pod) -> [String; 2] {
    let id = pod.status.container_statuses[0].container_id.trim_start_matches("containerd://").to_owned();
    let own = cgroup("", pod).trim_start_matches('/').to_owned();
    [own.clone(), format!("{own}/{id}")]
}

/// A newer object: other amounts, and a generation of its own.
fn resized(lab: &Lab, pod: &Pod, requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Pod {
    let mut newer = lab.map.pod(pod).expect("the pod is there");
    newer.metadata.generation += 1;
    newer.spec.containers[0] = with(newer.spec.containers[0].clone(), requests, limits);
    newer
}

#[test]
fn who_fills_its_root_file_system_beyond_its_limit_is_evicted() {
    on_lab(async |lab: &Lab| {
        let script = format!("head -c 4000000 /dev/urandom > /big; sync; {FOREVER}");
        let pod = pod("filler", "Always", vec![with(shell(&script), &[], &[("ephemeral-storage", "1Mi")])]);
        lab.create(&pod).await;
        lab.wait(&pod, "Running", |pod| pod.status.phase == "Running").await;
        let ended = lab.wait(&pod, "an end", |pod| pod.status.phase == "Failed").await;
        assert_eq!(ended.status.reason, "Evicted");
        let why = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
        assert_eq!(ended.status.message, why);
        assert!(told(lab, "Evicted"));
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_running_container_gets_other_limits_and_is_not_disturbed() {
    on_lab(async |lab: &Lab| {
        let container =
            with(shell(FOREVER), &[("cpu", "100m"), ("memory", "32Mi")], &[("cpu", "200m"), ("memory", "64Mi")]);
        let pod = pod("resized", "Always", vec![container]);
        lab.create(&pod).await;
        let before = lab.wait(&pod, "Ready", is_ready).await;
        let check = |pod: &Pod, quota: i64, shares: i64, memory: i64| {
            for group in groups(pod) {
                assert_eq!(lab.cgroup("cpu", &group, "cpu.cfs_quota_us"), quota, "{group}");
                assert_eq!(lab.cgroup("cpu", &group, "cpu.shares"), shares, "{group}");
                assert_eq!(lab.cgroup("memory", &group, "memory.limit_in_bytes"), memory, "{group}");
            }
        };
        check(&before, 20_000, 102, 64 << 20);
        let more = [("cpu", "300m"), ("memory", "128Mi")];
        lab.create(&resized(lab, &pod, &[("cpu", "150m"), ("memory", "32Mi")], &more)).await;
        let done = |pod: &Pod, cpu: &str| {
            let resizes = pod.status.conditions.iter().any(|one| one.r#type.starts_with("PodResize"));
            has(pod, "cpu") == cpu && !resizes && pod.status.observed_generation == pod.metadata.generation
        };
        let grown = lab.wait(&pod, "a larger container", |pod| done(pod, "300m")).await;
        check(&grown, 30_000, 153, 128 << 20);
        assert_eq!(grown.status.container_statuses[0].container_id, before.status.container_statuses[0].container_id);
        assert!(told(lab, "ResizeStarted") && told(lab, "ResizeCompleted"));
        lab.restart_kubelet().await;
        let less = [("cpu", "100m"), ("memory", "64Mi")];
        lab.create(&resized(lab, &pod, &[("cpu", "50m"), ("memory", "32Mi")], &less)).await;
        let shrunk = lab.wait(&pod, "a smaller container", |pod| done(pod, "100m")).await;
        check(&shrunk, 10_000, 51, 64 << 20);
        assert_eq!(restarts(&shrunk), 0);
        // What the container uses cannot be taken from it.
        let too_little = [("cpu", "100m"), ("memory", "4Ki")];
        lab.create(&resized(lab, &pod, &[("cpu", "50m"), ("memory", "1Ki")], &too_little)).await;
        let error = |pod: &Pod| pod.status.conditions.iter().any(|one| one.reason == "Error");
        let failed = lab.wait(&pod, "an error", error).await;
        assert_eq!(has(&failed, "memory"), "64Mi");
        assert!(told(lab, "ResizeError"));
        check(&failed, 10_000, 51, 64 << 20);
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_container_that_bears_no_other_limits_is_begun_anew_with_them() {
    on_lab(async |lab: &Lab| {
        let mut container = with(shell(FOREVER), &[("memory", "32Mi")], &[("cpu", "100m"), ("memory", "64Mi")]);
        container.resize_policy =
            vec![ContainerResizePolicy { resource_name: "memory".into(), restart_policy: "RestartContainer".into() }];
        let pod = pod("restarted", "Always", vec![container]);
        lab.create(&pod).await;
        lab.wait(&pod, "Ready", is_ready).await;
        let limits = [("cpu", "400m"), ("memory", "128Mi")];
        lab.create(&resized(lab, &pod, &[("memory", "32Mi")], &limits)).await;
        let anew = lab.wait(&pod, "another run", |pod| restarts(pod) == 1 && is_ready(pod)).await;
        assert_eq!(has(&anew, "memory"), "128Mi");
        eventually("the end of the resize", async || told(lab, "ResizeCompleted")).await;
        for group in groups(&anew) {
            assert_eq!(lab.cgroup("memory", &group, "memory.limit_in_bytes"), 128 << 20, "{group}");
            assert_eq!(lab.cgroup("cpu", &group, "cpu.cfs_quota_us"), 40_000, "{group}");
        }
        let killing = lab.map.events().into_iter().find(|event| event.reason == "Killing").expect("it was ended");
        assert_eq!(killing.message, "Container c resize requires restart");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_resize_waits_until_another_pod_gives_back_what_it_asks_for() {
    on_lab(async |lab: &Lab| {
        let offer = Offer { allocatable: [("cpu".to_owned(), 1000)].into(), pods_max: 10, unsafe_sysctls: Vec::new() };
        lab.offer(offer).await;
        let two =
            ["first", "second"].map(|name| pod(name, "Always", vec![with(shell(FOREVER), &[("cpu", "500m")], &[])]));
        for pod in &two {
            lab.create(pod).await;
            lab.wait(pod, "Ready", is_ready).await;
        }
        let [first, second] = &two;
        let pending = |pod: &Pod| {
            let found = pod.status.conditions.iter().find(|one| one.r#type == "PodResizePending");
            found.map(|one| one.reason.clone()).unwrap_or_default()
        };
        lab.create(&resized(lab, first, &[("cpu", "1200m")], &[])).await;
        lab.wait(first, "Infeasible", |pod| pending(pod) == "Infeasible").await;
        lab.create(&resized(lab, first, &[("cpu", "900m")], &[])).await;
        let waits = lab.wait(first, "Deferred", |pod| pending(pod) == "Deferred").await;
        assert_eq!(waits.status.container_statuses[0].allocated_resources["cpu"].string, "500m");
        lab.delete(second, 0).await;
        let granted = |pod: &Pod| {
            pending(pod).is_empty() && pod.status.container_statuses[0].allocated_resources["cpu"].string == "900m"
        };
        lab.wait(first, "the other's CPU", granted).await;
        assert!(told(lab, "ResizeInfeasible") && told(lab, "ResizeDeferred"));
        lab.delete(first, 0).await;
        lab.wait_gone(first).await;
    });
}
