//! Hooks of every kind, and how long they may take.

use std::time::{Duration, Instant};

use proto::IntOrString;
use proto::core::v1::{Container, HttpGetAction, HttpHeader, Lifecycle, LifecycleHandler, SleepAction};

use crate::lab::{Lab, NODE_IP, eventually, on_lab};
use crate::site::Site;
use crate::{is_ready, pod, shell};

/// Says when it is asked to end.
const SAYS_TERM: &str = "trap 'echo term; exit 0' TERM; while true; do sleep 0.1; done";

pub fn get(port: u16, path: &str) -> HttpGetAction {
    HttpGetAction {
        host: NODE_IP.into(),
        port: IntOrString { int_val: port.into(), ..IntOrString::default() },
        path: path.into(),
        ..HttpGetAction::default()
    }
}

fn hook(action: HttpGetAction) -> Option<LifecycleHandler> {
    Some(LifecycleHandler { http_get: Some(action), ..LifecycleHandler::default() })
}

fn sleep(seconds: i64) -> Option<LifecycleHandler> {
    Some(LifecycleHandler { sleep: Some(SleepAction { seconds }), ..LifecycleHandler::default() })
}

fn with(post_start: Option<LifecycleHandler>, pre_stop: Option<LifecycleHandler>) -> Container {
    let lifecycle = Some(Lifecycle { post_start, pre_stop, ..Lifecycle::default() });
    Container { lifecycle, ..shell(SAYS_TERM) }
}

fn told(lab: &Lab, reason: &str) -> usize {
    lab.map.events().iter().filter(|event| event.reason == reason).count()
}

#[test]
fn hooks_by_http_and_sleep() {
    on_lab(async |lab: &Lab| {
        let site = Site::start().await;
        let mut began = get(site.port, "began");
        began.http_headers = vec![HttpHeader { name: "X-Hook".into(), value: "yes".into() }];
        let good = pod("good", "Always", vec![with(hook(began), hook(get(site.port, "/ending")))]);
        lab.create(&good).await;
        let running = lab.wait(&good, "Ready", is_ready).await;
        let asked = site.asked("/began").expect("a pod is not ready before its post-start hook has run");
        assert_eq!((asked.header("x-hook"), asked.header("user-agent")), ("yes", "kube-probe/1.36"));
        assert!(site.asked("/ending").is_none());
        let path = lab.log_path(&running, "c", 0);
        lab.delete(&good, 5).await;
        lab.wait_log(&path, "term").await;
        assert!(site.asked("/ending").is_some(), "the hook runs before the signal");
        lab.wait_gone(&good).await;
        assert_eq!(told(lab, "FailedPreStopHook"), 0);

        // A hook that fails is told of, and the container ends all the same.
        let bad = pod("bad", "Always", vec![with(None, hook(get(site.port, "/503")))]);
        lab.create(&bad).await;
        let running = lab.wait(&bad, "Ready", is_ready).await;
        let path = lab.log_path(&running, "c", 0);
        lab.delete(&bad, 5).await;
        lab.wait_log(&path, "term").await;
        lab.wait_gone(&bad).await;
        assert!(site.asked("/503").is_some());
        assert_eq!(told(lab, "FailedPreStopHook"), 1);

        // A post-start hook that fails ends the container.
        let never = pod("never", "Never", vec![with(hook(get(site.port, "/404")), None)]);
        lab.create(&never).await;
        eventually("the event", async || told(lab, "FailedPostStartHook") == 1).await;
        lab.wait(&never, "an end", |pod| pod.status.container_statuses[0].state.terminated.is_some()).await;
        lab.delete(&never, 0).await;
        lab.wait_gone(&never).await;
    });
}

#[test]
fn a_sleep_delays_the_signal_and_no_hook_outlives_the_grace_period() {
    on_lab(async |lab: &Lab| {
        // Seconds of the hook and of the grace period, and when the signal must come.
        for (name, hook, grace, from, to) in [("short", 2, 12, 2.0, 7.0), ("long", 60, 3, 3.0, 8.0)] {
            let pod = pod(name, "Always", vec![with(None, sleep(hook))]);
            lab.create(&pod).await;
            let running = lab.wait(&pod, "Ready", is_ready).await;
            let path = lab.log_path(&running, "c", 0);
            let began = Instant::now();
            lab.delete(&pod, grace).await;
            lab.wait_log(&path, "term").await;
            let took = began.elapsed();
            assert!(took >= Duration::from_secs_f64(from), "{name}: the signal came after {took:?}");
            assert!(took <= Duration::from_secs_f64(to), "{name}: the signal came after {took:?}");
            lab.wait_gone(&pod).await;
        }
    });
}
