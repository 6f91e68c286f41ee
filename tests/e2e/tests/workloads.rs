//! What a user sees of Deployments and Services while pods come and go.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use test_e2e::client::Client;
use test_e2e::space::{LIMIT, is_ready, name, restarts};
use test_e2e::{World, manifest};
use testkit::{process, wait};

fn main() -> ExitCode {
    test_e2e::run(
        || World::start("work", |_| {}),
        &[
            ("a_rolling_update_fails_no_request", a_rolling_update_fails_no_request),
            ("a_killed_process_is_restarted", a_killed_process_is_restarted),
            ("a_deleted_pod_is_replaced", a_deleted_pod_is_replaced),
            ("scaling_adds_and_removes_pods", scaling_adds_and_removes_pods),
            ("an_undone_rollout_serves_the_old_page", an_undone_rollout_serves_the_old_page),
            ("a_failing_liveness_probe_restarts_the_container", a_failing_liveness_probe_restarts_the_container),
            ("an_unready_pod_leaves_the_service", an_unready_pod_leaves_the_service),
            ("a_service_without_pods_refuses_at_once", a_service_without_pods_refuses_at_once),
            ("a_service_is_found_by_name_from_a_pod", a_service_is_found_by_name_from_a_pod),
        ],
    )
}

/// The manifest's preStop sleep gives proxies the time to forget a pod before it stops answering.
const DRAIN: &str = "        lifecycle:
          preStop:
            sleep: {seconds: 2}";

fn a_rolling_update_fails_no_request(world: &World) -> Result<()> {
    let space = world.space("rolling")?;
    space.apply(&manifest::web("web", 3, "one", DRAIN))?;
    space.wait_rollout("web")?;
    space.wait_page("web")?;
    let client = Client::start(world.network(), space.service("web")?, Duration::from_millis(10));
    space.apply(&manifest::web("web", 3, "two", DRAIN))?;
    space.wait_rollout("web")?;
    // The last old pods drain, and enough requests are made.
    wait::pause(Duration::from_secs(6));
    wait::until("500 requests", LIMIT, || Ok((client.made() > 500).then_some(())))?;
    let seen = client.finish()?;
    ensure!(seen.bad.is_empty(), "{} of {} requests failed: {:#?}", seen.bad.len(), seen.good, seen.bad);
    ensure!(seen.good >= 500, "only {} requests were made", seen.good);
    ensure!(seen.bodies == ["one\n", "two\n"], "the pages were {:?}", seen.bodies);
    Ok(())
}

fn a_killed_process_is_restarted(world: &World) -> Result<()> {
    let space = world.space("killed")?;
    space.apply(&manifest::pod("victim", "echo started; exec sleep 98761", ""))?;
    let before = space.wait_ready("victim")?;
    ensure!(restarts(&before) == 0, "it restarted before anything happened");
    process::kill_all(&[space.process_of("sleep 98761")?])?;
    let after = space.wait_for("the restart", "pod", "victim", |pod| restarts(pod) == 1 && is_ready(pod))?;
    ensure!(after["metadata"]["uid"] == before["metadata"]["uid"], "the pod was replaced, not its container");
    let code = after.pointer("/status/containerStatuses/0/lastState/terminated/exitCode").and_then(Value::as_i64);
    ensure!(code == Some(137), "the last state is {:#}", after["status"]["containerStatuses"]);
    Ok(())
}

fn a_deleted_pod_is_replaced(world: &World) -> Result<()> {
    let space = world.space("replaced")?;
    space.apply(&manifest::web("web", 2, "page", ""))?;
    space.wait_rollout("web")?;
    let victim = name(&space.list("pods", "app=web")?[0]);
    space.run(&["delete", "pod", &victim])?;
    space.wait_gone("pod", &victim)?;
    space.wait_rollout("web")?;
    let pods = space.list("pods", "app=web")?;
    ensure!(pods.len() == 2 && pods.iter().all(|pod| name(pod) != victim), "the pods are {pods:#?}");
    Ok(())
}

fn scaling_adds_and_removes_pods(world: &World) -> Result<()> {
    let space = world.space("scaled")?;
    space.apply(&manifest::web("web", 1, "page", ""))?;
    space.wait_rollout("web")?;
    for replicas in [3, 1] {
        space.run(&["scale", "deployment", "web", &format!("--replicas={replicas}")])?;
        space.wait_rollout("web")?;
        wait::until("the pods", LIMIT, || Ok((space.list("pods", "app=web")?.len() == replicas).then_some(())))?;
    }
    Ok(())
}

fn an_undone_rollout_serves_the_old_page(world: &World) -> Result<()> {
    let space = world.space("undone")?;
    for page in ["old", "new"] {
        space.apply(&manifest::web("web", 1, page, ""))?;
        space.wait_rollout("web")?;
    }
    ensure!(space.wait_page("web")? == "new\n");
    let history = space.run(&["rollout", "history", "deployment/web"])?;
    ensure!(history.contains('1') && history.contains('2'), "the history is {history}");
    space.run(&["rollout", "undo", "deployment/web"])?;
    space.run(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    wait::until("the old page", LIMIT, || Ok((space.wait_page("web")? == "old\n").then_some(())))
}

fn a_failing_liveness_probe_restarts_the_container(world: &World) -> Result<()> {
    let space = world.space("liveness")?;
    let probe = "    livenessProbe:
      exec: {command: [test, -e, /tmp/alive]}
      periodSeconds: 1
      failureThreshold: 2";
    space.apply(&manifest::pod("pod", "touch /tmp/alive; exec sleep 98762", probe))?;
    space.wait_ready("pod")?;
    space.exec("pod", &["rm", "/tmp/alive"])?;
    space.wait_for("the restart", "pod", "pod", |pod| restarts(pod) >= 1 && is_ready(pod))?;
    let events = space.run(&["get", "events"])?;
    ensure!(events.contains("Unhealthy") && events.contains("Killing"), "the events are {events}");
    Ok(())
}

fn an_unready_pod_leaves_the_service(world: &World) -> Result<()> {
    let space = world.space("readiness")?;
    space.apply(&manifest::web("web", 2, "page", ""))?;
    space.wait_rollout("web")?;
    space.wait_page("web")?;
    let victim = name(&space.list("pods", "app=web")?[0]);
    space.exec(&victim, &["mv", "/www/index.html", "/www/elsewhere"])?;
    space.wait_for("the pod to be unready", "pod", &victim, |pod| !is_ready(pod))?;
    let ready = || -> Result<usize> {
        let slices = space.list("endpointslices", "kubernetes.io/service-name=web")?;
        let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
        Ok(endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count())
    };
    wait::until("one endpoint to be left", LIMIT, || Ok((ready()? == 1).then_some(())))?;
    let client = Client::start(world.network(), space.service("web")?, Duration::from_millis(5));
    wait::pause(Duration::from_secs(1));
    let seen = client.finish()?;
    // The rules follow the slice within a moment; after it, none goes to the unready pod.
    ensure!(seen.bad.len() <= 10 && seen.good >= 20, "{} good, bad: {:#?}", seen.good, seen.bad);
    space.exec(&victim, &["mv", "/www/elsewhere", "/www/index.html"])?;
    wait::until("both endpoints", LIMIT, || Ok((ready()? == 2).then_some(())))
}

fn a_service_without_pods_refuses_at_once(world: &World) -> Result<()> {
    let space = world.space("empty")?;
    space.apply(&manifest::web("web", 0, "page", ""))?;
    let server = space.service("web")?;
    wait::until("a refusal", LIMIT, || {
        let began = std::time::Instant::now();
        let answer = testkit::http::get(world.network(), server, "/");
        ensure!(answer.is_err(), "somebody answered: {answer:?}");
        Ok((began.elapsed() < Duration::from_secs(1)).then_some(()))
    })
}

fn a_service_is_found_by_name_from_a_pod(world: &World) -> Result<()> {
    let space = world.space("names")?;
    space.apply(&manifest::web("web", 1, "found", ""))?;
    space.apply(&manifest::pod("client", "exec sleep 98763", ""))?;
    space.wait_rollout("web")?;
    space.wait_ready("client")?;
    for host in ["web", "web.names", "web.names.svc", "web.names.svc.cluster.local"] {
        let page = wait::until(host, Duration::from_secs(20), || {
            space.exec("client", &["timeout", "3", "wget", "-q", "-O", "-", &format!("http://{host}/")]).map(Some)
        })?;
        ensure!(page == "found\n", "{host} gave {page:?}");
    }
    Ok(())
}
