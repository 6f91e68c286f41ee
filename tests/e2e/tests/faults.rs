//! What a user sees when parts of the cluster die: nothing that stays.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_e2e::space::{LIMIT, Space, is_ready, name};
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

fn killed_during_a_rollout(world: &World, daemon: Daemon) -> Result<()> {
    let space = world.space(&format!("kill-{daemon}"))?;
    space.apply(&manifest::web("web", 3, "one", ""))?;
    space.wait_rollout("web")?;
    space.apply(&manifest::pod("client", "exec sleep 98731", ""))?;
    space.wait_ready("client")?;
    space.apply(&manifest::web("web", 3, "two", ""))?;
    // The rollout is under way: some pods are new, some are not.
    space.wait_for("the rollout to begin", "deployment", "web", |object| {
        let number = |field: &str| object["status"][field].as_i64().unwrap_or(0);
        let observed = number("observedGeneration") >= object["metadata"]["generation"].as_i64().unwrap_or(0);
        observed && number("updatedReplicas") >= 1 && (number("updatedReplicas") < 3 || number("replicas") > 3)
    })?;
    kill(world, daemon.name())?;
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

fn restarts_disturb_no_container(world: &World) -> Result<()> {
    let space = world.space("undisturbed")?;
    space.apply(&manifest::web("web", 2, "page", ""))?;
    space.wait_rollout("web")?;
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
    }
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

fn after_a_power_cut_the_same_objects_run_again(world: &World) -> Result<()> {
    let space = world.space("power")?;
    space.apply(&manifest::web("web", 2, "page", ""))?;
    space.wait_rollout("web")?;
    let identity = |object: Value| (object["metadata"]["uid"].clone(), object["spec"]["clusterIP"].clone());
    let service = identity(space.get("service", "web")?);
    let deployment = identity(space.get("deployment", "web")?);
    world.cluster.cut_power()?;
    world.cluster.start(&mut |_| {})?;
    ensure!(identity(space.get("service", "web")?) == service, "the Service is another one");
    ensure!(identity(space.get("deployment", "web")?) == deployment, "the Deployment is another one");
    wait::until("its pods to run again", LIMIT, || {
        let pods = space.list("pods", "app=web")?;
        Ok((pods.len() == 2 && pods.iter().all(is_ready)).then_some(()))
    })?;
    // A status from before the cut may say ready too soon: the page proves it.
    ensure!(space.wait_page("web")? == "page\n");
    space.wait_rollout("web").map(drop)
}
