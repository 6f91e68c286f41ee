//! The first minutes of a user: `cargo xtask up`, again, after a crash, `status`, `down`.

use std::process::{Command, ExitCode, Output};

use anyhow::{Context, Result, ensure};
use test_e2e::World;
use testkit::leftovers;
use testkit::process::{Record, run};

fn main() -> ExitCode {
    test_e2e::run(
        || World::prepare("hello", 1, |_| {}),
        &[
            ("an_overlapping_range_is_refused_by_its_flag", an_overlapping_range_is_refused_by_its_flag),
            ("chosen_daemons_start_alone", chosen_daemons_start_alone),
            ("up_serves_the_page_each_way", up_serves_the_page_each_way),
            ("a_second_up_disturbs_nothing", a_second_up_disturbs_nothing),
            ("status_tells_what_runs", status_tells_what_runs),
            ("up_recovers_from_a_crash", up_recovers_from_a_crash),
            ("down_leaves_nothing_and_a_second_down_is_a_no_op", down_leaves_nothing_and_a_second_down_is_a_no_op),
        ],
    )
}

/// Runs `cargo xtask` as a user does.
fn xtask(world: &World, command: &str, more: &[&str]) -> Result<Output> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    cargo.args(["run", "--quiet", "--locked", "--package", "xtask", "--", command, "--dir"]);
    cargo.arg(&world.cluster.settings.dir);
    if command == "up" {
        let settings = &world.cluster.settings;
        cargo.args(["--netns", world.network().context("a namespace")?, "--node-name", &world.node().name]);
        cargo.args(["--node-ip", &world.node().address.to_string()]);
        cargo.arg("--programs").arg(&settings.programs);
    }
    Ok(cargo.args(more).output()?)
}

fn succeed(output: Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{}:\n{out}\n{err}", output.status);
    Ok(out + &err)
}

fn processes(world: &World) -> Vec<Record> {
    world.cluster.processes().records()
}

fn an_overlapping_range_is_refused_by_its_flag(world: &World) -> Result<()> {
    let network = world.network().context("a namespace")?;
    let route = ["10.100.0.0/24", "dev", "uplink0"];
    run("ip", ["-n", network, "route", "add"].iter().chain(&route).copied())?;
    let output = xtask(world, "up", &[])?;
    run("ip", ["-n", network, "route", "delete"].iter().chain(&route).copied())?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "it was not refused");
    ensure!(complaint.contains("--service-range") && complaint.contains("10.100.0.0/24"), "{complaint}");
    ensure!(processes(world).is_empty(), "something was started");
    Ok(())
}

fn chosen_daemons_start_alone(world: &World) -> Result<()> {
    succeed(xtask(world, "up", &["--daemons", "store,apiserver"])?)?;
    let names: Vec<String> = processes(world).into_iter().map(|record| record.name).collect();
    ensure!(names == ["apiserver", "store"], "{names:?} run");
    succeed(xtask(world, "down", &[])?).map(drop)
}

fn up_serves_the_page_each_way(world: &World) -> Result<()> {
    let said = succeed(xtask(world, "up", &[])?)?;
    for way in ["ClusterIP, http://10.", "DNS name, http://hello.default.svc", "NodePort, http://198.51.100.1:"] {
        ensure!(said.contains(way), "{way} is missing in:\n{said}");
    }
    ensure!(said.matches("Hello from Keelson").count() == 3, "{said}");
    ensure!(said.contains("What runs:") && said.contains("What to try next:"), "{said}");
    ensure!(world.cluster.layout().admin_kubeconfig().exists());
    Ok(())
}

fn a_second_up_disturbs_nothing(world: &World) -> Result<()> {
    let before = processes(world);
    let pods = world.keelctl().run(&["get", "pods", "-o", "name"])?;
    succeed(xtask(world, "up", &[])?)?;
    ensure!(processes(world) == before, "a process was started anew");
    ensure!(world.keelctl().run(&["get", "pods", "-o", "name"])? == pods, "pods were replaced");
    Ok(())
}

fn status_tells_what_runs(world: &World) -> Result<()> {
    let said = succeed(xtask(world, "status", &[])?)?;
    for name in ["store", "apiserver", "containerd", "kubelet", "proxy", "dns", &world.node().name, "hello-"] {
        ensure!(said.contains(name), "{name} is missing in:\n{said}");
    }
    Ok(())
}

fn up_recovers_from_a_crash(world: &World) -> Result<()> {
    let alive: Vec<i32> = processes(world).iter().map(|record| record.pid).collect();
    testkit::process::kill_all(&alive)?;
    let status = xtask(world, "status", &[])?;
    ensure!(!status.status.success(), "status did not notice");
    succeed(xtask(world, "up", &[])?).map(drop)
}

fn down_leaves_nothing_and_a_second_down_is_a_no_op(world: &World) -> Result<()> {
    let dir = world.cluster.settings.dir.clone();
    let before = processes(world);
    succeed(xtask(world, "down", &[])?)?;
    ensure!(before.iter().all(|record| !record.is_alive()), "a recorded process lives");
    ensure!(leftovers::processes(&dir).is_empty(), "processes are left: {:?}", leftovers::processes(&dir));
    ensure!(leftovers::mounts(&dir).is_empty(), "mounts are left: {:?}", leftovers::mounts(&dir));
    ensure!(!dir.exists(), "{} is left", dir.display());
    let network = world.network().context("a namespace")?;
    let links = run("ip", ["-n", network, "-brief", "link"])?;
    ensure!(!leftovers::INTERFACES.iter().any(|name| links.contains(name)), "links are left:\n{links}");
    let tables = run("nsenter", [&format!("--net=/run/netns/{network}"), "nft", "list", "tables"])?;
    ensure!(tables.trim().is_empty(), "tables are left:\n{tables}");
    let root = testkit::flags::cgroup_root(&world.cluster.settings, world.node());
    let groups = run("find", ["/sys/fs/cgroup", "-maxdepth", "2", "-name", root.trim_start_matches('/')])?;
    ensure!(groups.trim().is_empty(), "cgroups are left:\n{groups}");
    let said = succeed(xtask(world, "down", &[])?)?;
    ensure!(said.contains("no cluster"), "{said}");
    Ok(())
}
