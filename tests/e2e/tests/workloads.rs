//! What a user sees of Deployments and Services while pods come and go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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
            ("a_pod_reaches_itself_through_its_service", a_pod_reaches_itself_through_its_service),
            ("a_headless_service_names_its_pods", a_headless_service_names_its_pods),
            (
                "a_client_stays_with_its_pod_where_the_service_says_so",
                a_client_stays_with_its_pod_where_the_service_says_so,
            ),
            ("a_deployment_is_deleted_as_its_user_says", a_deployment_is_deleted_as_its_user_says),
            ("a_deleted_namespace_takes_everything_along", a_deleted_namespace_takes_everything_along),
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
    // The last old pods drain, and enough requests are made after they went.
    wait::until("the old pods to be gone", LIMIT, || Ok((space.list("pods", "app=web")?.len() == 3).then_some(())))?;
    let enough = 500.max(client.made() + 100);
    wait::until("500 requests", LIMIT, || Ok((client.made() > enough).then_some(())))?;
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
    // The rules follow the slice within a moment; after it, none goes to the unready pod.
    let server = space.service("web")?;
    let mut in_a_row = 0;
    wait::until("50 good answers in a row", LIMIT, || {
        while in_a_row < 50 {
            let answer = testkit::http::get(world.network(), server, "/");
            if !answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                in_a_row = 0;
                anyhow::bail!("{answer:?}");
            }
            in_a_row += 1;
        }
        Ok(Some(()))
    })?;
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

fn a_pod_reaches_itself_through_its_service(world: &World) -> Result<()> {
    let space = world.space("hairpin")?;
    space.apply(&manifest::web("web", 1, "myself", ""))?;
    space.wait_rollout("web")?;
    space.wait_page("web")?;
    let pods = space.list("pods", "app=web")?;
    ensure!(pods.len() == 1, "it can only be itself: {pods:#?}");
    // Every request is a new connection, each of which must come back to where it began.
    let url = format!("http://{}/", space.service("web")?);
    for request in 0..10 {
        let page = space
            .exec(&name(&pods[0]), &["timeout", "3", "wget", "-q", "-O", "-", &url])
            .with_context(|| format!("request {request} of {url}"))?;
        ensure!(page == "myself\n", "request {request} gave {page:?}");
    }
    Ok(())
}

fn a_headless_service_names_its_pods(world: &World) -> Result<()> {
    let space = world.space("headless")?;
    space.apply(
        "apiVersion: v1
kind: Service
metadata: {name: peers}
spec:
  clusterIP: None
  selector: {group: peers}
  ports: [{name: peer, port: 7000}]
",
    )?;
    for peer in ["one", "two"] {
        let extra = format!("  hostname: {peer}\n  subdomain: peers");
        let pod = manifest::pod(peer, "exec sleep 98764", &extra);
        space.apply(&pod.replace(&format!("labels: {{app: {peer}}}"), "labels: {group: peers}"))?;
    }
    space.apply(&manifest::pod("client", "exec sleep 98765", ""))?;
    let mut addresses = Vec::new();
    for peer in ["one", "two"] {
        let pod = space.wait_ready(peer)?;
        addresses.push(pod["status"]["podIP"].as_str().unwrap_or_default().to_owned());
    }
    space.wait_ready("client")?;
    let domain = "headless.svc.cluster.local";
    let ask = |kind: &str, name: &str| space.exec("client", &["nslookup", &format!("-type={kind}"), name]);
    wait::until("both addresses under the Service's name", LIMIT, || {
        let said = ask("a", &format!("peers.{domain}"))?;
        ensure!(addresses.iter().all(|address| said.contains(&format!("Address: {address}\n"))), "{said}");
        Ok(Some(()))
    })?;
    for (peer, address) in ["one", "two"].iter().zip(&addresses) {
        let said = ask("a", &format!("{peer}.peers.{domain}"))?;
        ensure!(said.contains(&format!("Address: {address}\n")), "{said}");
    }
    // priority, weight, port, target: the two share the weight.
    let said = ask("srv", &format!("_peer._tcp.peers.{domain}"))?;
    for peer in ["one", "two"] {
        ensure!(said.contains(&format!("0 50 7000 {peer}.peers.{domain}")), "{said}");
    }
    Ok(())
}

/// Two pods that serve their own names, and two Services before them: one keeps a client with a pod.
fn a_client_stays_with_its_pod_where_the_service_says_so(world: &World) -> Result<()> {
    let space = world.space("sticky")?;
    let web = manifest::web("web", 2, "$(hostname)", "");
    space.apply(
        &web.replace("  selector: {app: web}\n  ports:", "  type: NodePort\n  selector: {app: web}\n  ports:"),
    )?;
    space.apply(
        "apiVersion: v1
kind: Service
metadata: {name: sticky}
spec:
  type: NodePort
  sessionAffinity: ClientIP
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
",
    )?;
    space.wait_rollout("web")?;
    let pods: BTreeSet<String> = space.list("pods", "app=web")?.iter().map(|pod| name(pod) + "\n").collect();
    let servers = |service: &str| -> Result<[SocketAddr; 2]> {
        let object = space.get("service", service)?;
        let port = object.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).unwrap_or_default();
        Ok([space.service(service)?, SocketAddr::new(world.node().address, u16::try_from(port)?)])
    };
    let pages = |server: SocketAddr| -> Result<BTreeSet<String>> {
        let page = |_| testkit::http::get(world.network(), server, "/").map(|answer| answer.body);
        (0..24).map(page).collect()
    };
    for server in servers("web")? {
        wait::until("both pods to be asked", LIMIT, || {
            let seen = pages(server)?;
            ensure!(seen == pods, "{server} is served by {seen:?}");
            Ok(Some(()))
        })?;
    }
    for server in servers("sticky")? {
        // The rules follow the slice within a moment.
        wait::until("an answer", LIMIT, || testkit::http::get(world.network(), server, "/").map(Some))?;
        let seen = pages(server)?;
        ensure!(seen.len() == 1 && seen.is_subset(&pods), "{server} is served by {seen:?}");
    }
    let affinity = space.get("service", "sticky")?["spec"]["sessionAffinityConfig"]["clientIP"].clone();
    ensure!(affinity["timeoutSeconds"] == 10_800, "{affinity}");
    Ok(())
}

fn a_deployment_is_deleted_as_its_user_says(world: &World) -> Result<()> {
    let space = world.space("cascade")?;
    let names = |kind: &str, app: &str| -> Result<Vec<String>> {
        Ok(space.list(kind, &format!("app={app}"))?.iter().map(name).collect())
    };
    for app in ["orphan", "foreground", "background"] {
        space.apply(&manifest::web(app, 1, app, ""))?;
        space.wait_rollout(app)?;
    }
    // Orphaned: what it made stays, and is nobody's.
    let pods = names("pods", "orphan")?;
    space.run(&["delete", "deployment", "orphan", "--cascade=orphan"])?;
    space.wait_gone("deployment", "orphan")?;
    wait::until("the ReplicaSet to be nobody's", LIMIT, || {
        let sets = space.list("replicasets", "app=orphan")?;
        ensure!(sets.len() == 1, "{} ReplicaSets are left", sets.len());
        let owners = sets[0]["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
        Ok((owners == 0).then_some(()))
    })?;
    ensure!(names("pods", "orphan")? == pods, "the pods are {:?}", names("pods", "orphan")?);
    // In the foreground: when it is gone, so is all that it made.
    space.run(&["delete", "deployment", "foreground", "--cascade=foreground"])?;
    space.wait_gone("deployment", "foreground")?;
    ensure!(names("replicasets", "foreground")?.is_empty(), "its ReplicaSet outlived it");
    ensure!(names("pods", "foreground")?.is_empty(), "its pods outlived it");
    // In the background: it goes at once, the rest follows.
    space.run(&["delete", "deployment", "background", "--cascade=background"])?;
    space.wait_gone("deployment", "background")?;
    wait::until("what it made to be gone", LIMIT, || {
        Ok((names("replicasets", "background")?.is_empty() && names("pods", "background")?.is_empty()).then_some(()))
    })
}

fn a_deleted_namespace_takes_everything_along(world: &World) -> Result<()> {
    let space = world.space("doomed")?;
    space.apply(&manifest::web("web", 1, "page", ""))?;
    space.run(&["create", "configmap", "map", "--from-literal=a=b"])?;
    space.wait_rollout("web")?;
    let keelctl = world.keelctl();
    keelctl.run(&["delete", "namespace", "doomed", "--wait=false"])?;
    wait::until("nothing new to be let in", LIMIT, || match space.run(&["create", "configmap", "late"]) {
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains("being terminated") || text.contains("not found"), "{text}");
            Ok(Some(()))
        }
        Ok(_) => {
            space.run(&["delete", "configmap", "late"])?;
            Ok(None)
        }
    })?;
    wait::until("the namespace to be gone", LIMIT, || {
        let left = keelctl.run(&["get", "namespace", "doomed", "--ignore-not-found", "-o", "name"])?;
        Ok(left.trim().is_empty().then_some(()))
    })?;
    for kind in ["deployments", "replicasets", "pods", "services", "endpointslices", "configmaps", "serviceaccounts"] {
        let left = keelctl.run(&["get", kind, "-n", "doomed", "-o", "name"])?;
        ensure!(left.trim().is_empty(), "{kind} are left: {left}");
    }
    // Its name is free again, and nothing of the old one comes back.
    keelctl.run(&["create", "namespace", "doomed"])?;
    let maps = keelctl.run(&["get", "configmap", "map", "-n", "doomed", "--ignore-not-found", "-o", "name"])?;
    ensure!(maps.trim().is_empty(), "{maps}");
    Ok(())
}
