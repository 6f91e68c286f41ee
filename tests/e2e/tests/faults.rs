//! What a user sees when parts of the cluster die: nothing that stays.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_e2e::space::{LIMIT, Space, is_ready, name, restarts};
use test_e2e::{World, manifest};
use testkit::process;
use testkit::settings::Daemon;
use testkit::wait;

fn main() -> ExitCode {
    test_e2e::run(
        || World::start("faults", |_| {}),
        &[
            ("a_rollout_finishes_though_the_store_is_killed", |world| killed_during_a_rollout(world, Daemon::Store)),
            ("a_rollout_finishes_though_the_apiserver_is_killed", |world| {
                killed_during_a_rollout(world, Daemon::Apiserver)
            }),
            ("a_rollout_finishes_though_the_controller_manager_is_killed", |world| {
                killed_during_a_rollout(world, Daemon::ControllerManager)
            }),
            ("a_rollout_finishes_though_the_scheduler_is_killed", |world| {
                killed_during_a_rollout(world, Daemon::Scheduler)
            }),
            ("a_rollout_finishes_though_the_kubelet_is_killed", |world| {
                killed_during_a_rollout(world, Daemon::Kubelet)
            }),
            ("a_rollout_finishes_though_the_proxy_is_killed", |world| killed_during_a_rollout(world, Daemon::Proxy)),
            ("a_rollout_finishes_though_dns_is_killed", |world| killed_during_a_rollout(world, Daemon::Dns)),
            ("restarting_the_kubelet_and_containerd_disturbs_no_container", restarts_disturb_no_container),
            ("a_stopped_proxy_leaves_its_rules", a_stopped_proxy_leaves_its_rules),
            ("after_a_power_cut_the_same_objects_run_again", after_a_power_cut_the_same_objects_run_again),
        ],
    )
}

fn kill(world: &World, process: &str) -> Result<()> {
    let record = world.cluster.processes().record(process).context("no record")?;
    process::kill_all(&[record.pid])
}

/// How long the killed daemon stays away: its clients notice.
const AWAY: Duration = Duration::from_secs(3);

fn killed_during_a_rollout(world: &World, daemon: Daemon) -> Result<()> {
    let space = world.space(&format!("kill-{daemon}"))?;
    space.apply(&manifest::web("web", 3, "one", ""))?;
    space.wait_rollout("web")?;
    space.apply(&manifest::pod("client", "exec sleep 98731", ""))?;
    space.wait_ready("client")?;
    // One new pod after the other, each of which must be ready for a while: the rollout cannot be over before the kill.
    let slow = manifest::web("web", 3, "two", "").replace("  replicas: 3\n", "  replicas: 3\n  minReadySeconds: 2\n");
    ensure!(slow.contains("minReadySeconds"), "{slow}");
    space.apply(&slow)?;
    space.wait_for("the rollout to begin", "deployment", "web", |object| {
        let number = |field: &str| object["status"][field].as_i64().unwrap_or(0);
        let observed = number("observedGeneration") >= object["metadata"]["generation"].as_i64().unwrap_or(0);
        observed && number("updatedReplicas") >= 1
    })?;
    let status = space.get("deployment", "web")?["status"].clone();
    kill(world, daemon.name())?;
    ensure!(status["updatedReplicas"].as_i64().unwrap_or(0) < 3, "nothing was left to do at the kill: {status:#}");
    wait::pause(AWAY);
    world.cluster.start_one(daemon, world.node())?;
    space.wait_rollout("web")?;
    // What was not there before the kill is found by its name: DNS follows, and so does what it follows.
    space.apply(&manifest::web("later", 1, "later", ""))?;
    space.wait_rollout("later")?;
    wait::until("the new Service by its name", LIMIT, || {
        let page = space.exec("client", &["timeout", "3", "wget", "-q", "-O", "-", "http://later/"])?;
        ensure!(page == "later\n", "{page:?}");
        Ok(Some(()))
    })?;
    wait::until("the new page alone", LIMIT, || {
        for _ in 0..10 {
            ensure!(space.wait_page("web")? == "two\n", "an old page was served");
        }
        Ok(Some(()))
    })
}

/// When each container started, and how often.
fn starts(space: &Space<'_>) -> Result<Vec<(String, Value)>> {
    let pods = space.list("pods", "app=web")?;
    let mut starts: Vec<_> = pods
        .iter()
        .map(|pod| {
            (name(pod), pod.pointer("/status/containerStatuses/0/state/running/startedAt").cloned().unwrap_or_default())
        })
        .collect();
    starts.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(starts)
}

/// Says every number once, fifty a second, until it is asked to end.
const COUNTS: &str = "trap 'echo end $i; exit 0' TERM; i=0; while true; do echo line $i; i=$((i+1)); sleep 0.02; done";
/// Lines that must come after each kill: more than a second of them.
const LINES_AFTER: usize = 50;

/// Waits until the counting pod has written more.
fn counted_on(space: &Space<'_>) -> Result<()> {
    let lines = || Ok::<_, anyhow::Error>(space.run(&["logs", "counter"])?.lines().count());
    let now = lines()?;
    wait::until("more lines of the counting pod", LIMIT, || Ok((lines()? >= now + LINES_AFTER).then_some(())))
}

fn restarts_disturb_no_container(world: &World) -> Result<()> {
    let space = world.space("undisturbed")?;
    space.apply(&manifest::web("web", 2, "page", ""))?;
    space.apply(&manifest::pod("counter", COUNTS, "").replace("spec:\n", "spec:\n  restartPolicy: Never\n"))?;
    space.wait_rollout("web")?;
    space.wait_ready("counter")?;
    counted_on(&space)?;
    let before = starts(&space)?;
    let processes = testkit::leftovers::processes(&world.cluster.settings.dir);
    let webs = |pids: &[i32]| -> Vec<i32> {
        let line = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pids.iter().copied().filter(|pid| line(pid).contains("httpd\0-f")).collect()
    };
    for process in ["kubelet", "containerd"] {
        kill(world, process)?;
        world.cluster.start_containerd(world.node())?;
        world.cluster.start_one(Daemon::Kubelet, world.node())?;
        counted_on(&space)?;
    }
    // No line is lost: from the first to the last one, which the pod itself names.
    space.exec("counter", &["kill", "1"])?;
    space.wait_for("the counter's end", "pod", "counter", |pod| pod["status"]["phase"] == "Succeeded")?;
    let text = space.run(&["logs", "counter"])?;
    let written = text.lines().count().saturating_sub(1);
    let expect = (0..written).map(|n| format!("line {n}")).chain([format!("end {written}")]);
    ensure!(text.lines().eq(expect.collect::<Vec<_>>()), "lines are missing or doubled in:\n{text}");
    // A pod that is new proves that the kubelet has looked at all it found and works again.
    space.apply(&manifest::pod("after", "exec sleep 98732", ""))?;
    space.wait_ready("after")?;
    ensure!(starts(&space)? == before, "from {before:?} to {:?}", starts(&space)?);
    let after = testkit::leftovers::processes(&world.cluster.settings.dir);
    ensure!(webs(&after) == webs(&processes), "the web servers are other processes");
    // The kubelet knows its adopted pods: one that is deleted ends and is replaced.
    let victim = before[0].0.clone();
    space.run(&["delete", "pod", &victim])?;
    space.wait_gone("pod", &victim)?;
    space.wait_rollout("web").map(drop)
}

fn a_stopped_proxy_leaves_its_rules(world: &World) -> Result<()> {
    let space = world.space("rules")?;
    space.apply(&manifest::web("web", 1, "page", ""))?;
    space.wait_rollout("web")?;
    space.wait_page("web")?;
    let network = format!("--net=/run/netns/{}", world.network().context("a namespace")?);
    let rules = || process::run("nsenter", [&network[..], "nft", "--stateless", "list", "ruleset"]);
    let before = rules()?;
    ensure!(before.contains("keelson"), "{before}");
    ensure!(world.cluster.stop_one(Daemon::Proxy, world.node())?, "it did not run");
    ensure!(rules()? == before, "the rules changed when the proxy ended");
    let server = space.service("web")?;
    for _ in 0..20 {
        let answer = testkit::http::get(world.network(), server, "/")?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    world.cluster.start_one(Daemon::Proxy, world.node())?;
    ensure!(space.wait_page("web")? == "page\n");
    Ok(())
}

/// Every object that there is, but events, which come and go: kind, namespace, name and uid.
fn identities(world: &World) -> Result<BTreeSet<[String; 4]>> {
    let keelctl = world.keelctl();
    let mut found = BTreeSet::new();
    let kinds = keelctl.run(&["api-resources", "--verbs=list", "-o", "name"])?;
    for kind in kinds.lines().filter(|kind| !kind.starts_with("events")) {
        let list = keelctl.json(&["get", kind, "-A"]).with_context(|| format!("listing {kind}"))?;
        let objects = list["items"].as_array().context("a list has items")?;
        for object in objects {
            let of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            found.insert([kind.to_owned(), of("namespace"), of("name"), of("uid")]);
        }
    }
    Ok(found)
}

/// Namespaces of earlier tests go with all that is in them, whenever they please.
fn wait_for_namespaces_to_go(world: &World) -> Result<()> {
    wait::until("namespaces that end to be gone", LIMIT, || {
        let list = world.keelctl().json(&["get", "namespaces"])?;
        let all = list["items"].as_array().context("a list has items")?;
        Ok(all.iter().all(|one| one["status"]["phase"] == "Active").then_some(()))
    })
}

fn after_a_power_cut_the_same_objects_run_again(world: &World) -> Result<()> {
    wait_for_namespaces_to_go(world)?;
    let space = world.space("power")?;
    space.apply(&manifest::web("web", 2, "page", ""))?;
    space.run(&["create", "configmap", "kept", "--from-literal=a=b"])?;
    space.wait_rollout("web")?;
    let address = space.get("service", "web")?["spec"]["clusterIP"].clone();
    let before = identities(world)?;
    for kind in ["pods", "configmaps", "replicasets.apps", "endpointslices.discovery.k8s.io", "nodes"] {
        ensure!(before.iter().any(|[other, ..]| other == kind), "no {kind} among {before:#?}");
    }
    world.cluster.cut_power()?;
    world.cluster.start(&mut |_| {})?;
    let same_pods = || -> Result<()> {
        wait::until("the same pods to run again", LIMIT, || {
            let pods = space.list("pods", "app=web")?;
            Ok((pods.len() == 2 && pods.iter().all(|pod| is_ready(pod) && restarts(pod) >= 1)).then_some(()))
        })
    };
    same_pods().with_context(|| format!("pods: {:#?}", space.list("pods", "app=web")))?;
    let after = identities(world)?;
    ensure!(
        before == after,
        "lost: {:#?}\nnew: {:#?}",
        before.difference(&after).collect::<Vec<_>>(),
        after.difference(&before).collect::<Vec<_>>()
    );
    ensure!(space.get("service", "web")?["spec"]["clusterIP"] == address, "the Service has another address");
    ensure!(space.wait_page("web")? == "page\n");
    space.wait_rollout("web").map(drop)
}
