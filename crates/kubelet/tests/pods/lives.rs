//! What must survive the failures of the kubelet's own parts: hooks, probes, starts, workers, records.

use std::time::Duration;

use kubelet::observed::State;
use proto::core::v1::{Container, ExecAction, Lifecycle, LifecycleHandler, Pod, Probe, ProbeHandler};

use crate::lab::{Lab, eventually, on_lab};
use crate::{FOREVER, is_ready, pod, shell};

fn exec(script: &str) -> Option<ExecAction> {
    Some(ExecAction { command: ["sh", "-c", script].map(String::from).to_vec() })
}

/// A container with a post-start hook.
fn hooked(script: &str) -> Container {
    let hook = LifecycleHandler { exec: exec(script), ..LifecycleHandler::default() };
    Container { lifecycle: Some(Lifecycle { post_start: Some(hook), ..Lifecycle::default() }), ..shell(FOREVER) }
}

/// Tried each second; one failure is enough.
fn probe(script: &str) -> Option<Probe> {
    let handler = ProbeHandler { exec: exec(script), ..ProbeHandler::default() };
    Some(Probe { handler, period_seconds: 1, failure_threshold: 1, ..Probe::default() })
}

fn restarts(pod: &Pod) -> i32 {
    pod.status.container_statuses.first().map_or(0, |status| status.restart_count)
}

fn waiting(pod: &Pod) -> String {
    let status = pod.status.container_statuses.first();
    status.and_then(|status| status.state.waiting.clone()).unwrap_or_default().reason
}

async fn wait_inside(lab: &Lab, pod: &Pod, file: &str) {
    let runs = || matches!(lab.state(pod, "c"), Some(State::Running { .. }));
    eventually("the container runs", async || runs()).await;
    eventually(file, async || lab.exec(pod, "c", &["test", "-e", file]).await.0 == 0).await;
}

#[test]
fn a_post_start_hook_survives_a_restart_of_the_kubelet_and_of_containerd() {
    on_lab(async |lab: &Lab| {
        let pod = pod("hooked", "Always", vec![hooked("echo again >> /hooked; sleep 2")]);
        lab.create(&pod).await;
        wait_inside(lab, &pod, "/hooked").await;
        lab.restart_kubelet().await;
        lab.restart_containerd().await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        assert_eq!(restarts(&running), 0);
        let (_, text) = lab.exec(&running, "c", &["cat", "/hooked"]).await;
        assert!(text.lines().count() >= 2, "{text}");
        assert!(lab.map.events().iter().all(|event| event.reason != "FailedPostStartHook"));
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
        lab.assert_clean(&pod).await;
    });
}

#[test]
fn probes_survive_a_containerd_that_is_away() {
    on_lab(async |lab: &Lab| {
        let mut container = shell(FOREVER);
        container.liveness_probe = probe("true");
        container.readiness_probe = probe("test -e /ready");
        let pod = pod("probed", "Always", vec![container]);
        lab.create(&pod).await;
        let told = |what: &str| lab.map.events().iter().any(|event| event.message.starts_with(what));
        eventually("an answer", async || told("Readiness probe failed")).await;
        lab.stop_containerd();
        // A probe that cannot be run says nothing about the container.
        eventually("a probe without an answer", async || told("Liveness probe errored")).await;
        // A kubelet that finds no containerd begins its probes when there is one.
        lab.restart_kubelet().await;
        lab.start_containerd().await;
        let running = lab.wait(&pod, "Running", |pod| pod.status.phase == "Running").await;
        assert!(!is_ready(&running));
        assert_eq!(lab.exec(&pod, "c", &["touch", "/ready"]).await.0, 0);
        let ready = lab.wait(&pod, "Ready", is_ready).await;
        assert_eq!(restarts(&ready), 0);
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_command_may_say_more_than_a_pipe_holds_and_ends_with_whoever_asked() {
    on_lab(async |lab: &Lab| {
        let mut container = hooked("head -c 300000 /dev/zero | tr '\\0' x");
        container.liveness_probe = probe("head -c 300000 /dev/zero | tr '\\0' x");
        let pod = pod("wordy", "Always", vec![container]);
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        let (code, text) = lab.exec(&running, "c", &["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"]).await;
        assert_eq!((code, text.len()), (0, 10 * 1024));
        let asked = lab.exec(&running, "c", &["sleep", "1234"]);
        assert!(tokio::time::timeout(Duration::from_millis(500), asked).await.is_err());
        let left = async || lab.exec(&running, "c", &["sh", "-c", "ps | grep -c '[s]leep 1234'"]).await.1 == "0\n";
        eventually("the abandoned command is gone", left).await;
        eventually("its pipe is gone", async || lab.pipes(&pod).iter().all(|name| !name.starts_with("x-"))).await;
        assert_eq!(restarts(&lab.map.pod(&pod).unwrap()), 0);
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn starts_that_fail_leave_nothing_and_are_put_off() {
    on_lab(async |lab: &Lab| {
        let mut wrong = shell("");
        wrong.command = vec!["/no/such/program".into()];
        let pod = pod("broken", "Always", vec![wrong]);
        lab.create(&pod).await;
        let seen = lab.wait(&pod, "CrashLoopBackOff", |pod| waiting(pod) == "CrashLoopBackOff").await;
        assert_eq!(restarts(&seen), 1);
        assert_eq!(seen.status.container_statuses[0].last_state.terminated.as_ref().unwrap().reason, "StartError");
        assert_eq!(lab.pipes(&pod), Vec::<String>::new());
        assert_eq!(lab.log_writer_pipes(&pod), 0);
        assert!((0..2).all(|attempt| !lab.log_path(&pod, "c", attempt).exists()));
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn a_restart_does_not_meet_the_end_of_the_shim() {
    on_lab(async |lab: &Lab| {
        let pods: Vec<Pod> = (0..6).map(|n| pod(&format!("p{n}"), "Always", vec![shell("exit 0")])).collect();
        for pod in &pods {
            lab.create(pod).await;
        }
        for pod in &pods {
            lab.wait(pod, "a restart", |pod| restarts(pod) == 1 && waiting(pod) == "CrashLoopBackOff").await;
        }
        assert!(lab.map.events().iter().all(|event| event.reason != "Failed"));
        for pod in &pods {
            lab.delete(pod, 0).await;
        }
        for pod in &pods {
            lab.wait_gone(pod).await;
        }
    });
}

#[test]
fn a_worker_or_an_action_that_panics_is_replaced() {
    on_lab(async |lab: &Lab| {
        let pod = pod("panicky", "Always", vec![shell(FOREVER)]);
        // The start runs as an action: it has failed, and is tried again.
        lab.map.panic_at("Pulled");
        lab.create(&pod).await;
        lab.wait(&pod, "CreateContainerError", |pod| waiting(pod) == "CreateContainerError").await;
        lab.wait(&pod, "Ready", is_ready).await;
        // The worker itself says that it kills.
        lab.map.panic_at("Killing");
        lab.delete(&pod, 1).await;
        lab.wait_gone(&pod).await;
        lab.assert_clean(&pod).await;
    });
}

#[test]
fn containers_that_no_record_knows_are_removed() {
    on_lab(async |lab: &Lab| {
        let (kept, lost) = (pod("kept", "Always", vec![shell(FOREVER)]), pod("lost", "Always", vec![shell(FOREVER)]));
        for pod in [&kept, &lost] {
            lab.create(pod).await;
        }
        let before = lab.wait(&kept, "Ready", is_ready).await;
        lab.wait(&lost, "Ready", is_ready).await;
        lab.stop_kubelet().await;
        lab.forget(&lost);
        lab.restart_kubelet().await;
        eventually("the lost container is gone", async || lab.containers(&lost).await == 0).await;
        let after = lab.map.pod(&kept).unwrap();
        assert_eq!(after.status.container_statuses[0].state, before.status.container_statuses[0].state);
        assert_eq!(lab.containers(&kept).await, 1);
        lab.delete(&kept, 0).await;
        lab.wait_gone(&kept).await;
    });
}

#[test]
fn the_last_status_is_written_before_the_object_goes() {
    on_lab(async |lab: &Lab| {
        let deaf = pod("deaf", "Always", vec![shell("sleep 1000")]);
        let kind = pod("kind", "Always", vec![shell(FOREVER)]);
        for (pod, phase, code) in [(&deaf, "Failed", 137), (&kind, "Succeeded", 0)] {
            lab.create(pod).await;
            lab.wait(pod, "Ready", is_ready).await;
            lab.delete(pod, 2).await;
            lab.wait_gone(pod).await;
            let last = lab.map.removed(pod).expect("it was removed");
            let ended = last.status.container_statuses[0].state.terminated.clone().expect("its end is shown");
            assert_eq!((last.status.phase.as_str(), ended.exit_code), (phase, code));
        }
    });
}
