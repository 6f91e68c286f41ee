//! The first minutes of a user: `cargo xtask up`, again, after a crash, `status`, `down`.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context, Result, ensure};
use test_e2e::World;
use test_e2e::space::LIMIT;
use testkit::process::{Record, run};
use testkit::settings::Daemon;
use testkit::{leftovers, wait};

fn main() -> ExitCode {
    test_e2e::run(
        || World::prepare("hello", 1, |_| {}),
        &[
            ("an_overlapping_range_is_refused_by_its_flag", an_overlapping_range_is_refused_by_its_flag),
            ("a_folder_of_somebody_elses_is_left_alone", a_folder_of_somebody_elses_is_left_alone),
            ("chosen_daemons_start_alone", chosen_daemons_start_alone),
            (
                "an_up_that_was_killed_half_way_is_finished_by_the_next",
                an_up_that_was_killed_half_way_is_finished_by_the_next,
            ),
            ("up_serves_the_page_each_way", up_serves_the_page_each_way),
            ("a_second_up_disturbs_nothing", a_second_up_disturbs_nothing),
            ("status_tells_what_runs", status_tells_what_runs),
            ("another_cluster_in_the_same_network_is_refused", another_cluster_in_the_same_network_is_refused),
            ("a_page_that_does_not_come_fails_up", a_page_that_does_not_come_fails_up),
            ("up_recovers_from_a_crash", up_recovers_from_a_crash),
            ("containers_without_a_shim_are_gone_after_down", containers_without_a_shim_are_gone_after_down),
            ("a_damaged_settings_file_is_named_and_cleaned_up", a_damaged_settings_file_is_named_and_cleaned_up),
            ("down_leaves_nothing_and_a_second_down_is_a_no_op", down_leaves_nothing_and_a_second_down_is_a_no_op),
        ],
    )
}

/// Runs `cargo xtask` as a user does.
fn xtask(world: &World, command: &str, more: &[&str]) -> Result<Output> {
    Ok(xtask_command(world, command, more)?.output()?)
}

/// `cargo xtask`, which becomes the program itself: cargo steps aside.
fn xtask_command(world: &World, command: &str, more: &[&str]) -> Result<Command> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    // By its target, so that nothing is built anew (decision 0005).
    cargo.args(["run", "--quiet", "--locked", "--bin", "xtask", "--", command]);
    if !more.contains(&"--dir") {
        cargo.arg("--dir").arg(&world.cluster.settings.dir);
    }
    if command == "up" {
        let settings = &world.cluster.settings;
        cargo.args(["--netns", world.network().context("a namespace")?, "--node-name", &world.node().name]);
        cargo.args(["--node-ip", &world.node().address.to_string()]);
        cargo.arg("--programs").arg(&settings.programs);
    }
    cargo.args(more);
    Ok(cargo)
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
    let service = xtask(world, "up", &[])?;
    let pods = xtask(world, "up", &["--service-range", "10.99.0.0/24", "--pod-range", "10.100.0.0/16"])?;
    run("ip", ["-n", network, "route", "delete"].iter().chain(&route).copied())?;
    for (output, flag) in [(service, "--service-range"), (pods, "--pod-range")] {
        refuse(output, &[flag, "10.100.0.0/24"])?;
    }
    ensure!(processes(world).is_empty(), "something was started");
    Ok(())
}

/// The complaint of a command that must fail, which contains these.
fn refuse(output: Output, expect: &[&str]) -> Result<String> {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "it was not refused: {complaint}");
    for part in expect {
        ensure!(complaint.contains(part), "{part:?} is missing in {complaint}");
    }
    Ok(complaint)
}

fn a_folder_of_somebody_elses_is_left_alone(world: &World) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let work = folder.path().join("thesis.tex");
    std::fs::write(&work, "years of work")?;
    let dir = folder.path().display().to_string();
    refuse(xtask(world, "up", &["--dir", &dir])?, &["thesis.tex", "--dir"])?;
    for command in ["status", "down"] {
        let said = succeed(xtask(world, command, &["--dir", &dir])?)?;
        ensure!(said.contains("no cluster"), "{said}");
    }
    ensure!(std::fs::read_to_string(work)? == "years of work" && std::fs::read_dir(&dir)?.count() == 1);
    Ok(())
}

fn chosen_daemons_start_alone(world: &World) -> Result<()> {
    succeed(xtask(world, "up", &["--daemons", "store,apiserver"])?)?;
    let names: Vec<String> = processes(world).into_iter().map(|record| record.name).collect();
    ensure!(names == ["apiserver", "store"], "{names:?} run");
    succeed(xtask(world, "down", &[])?).map(drop)
}

fn an_up_that_was_killed_half_way_is_finished_by_the_next(world: &World) -> Result<()> {
    let mut up = xtask_command(world, "up", &[])?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pid = i32::try_from(up.id())?;
    let started = wait::until("the store to be started", LIMIT, || {
        ensure!(up.try_wait()?.is_none(), "`up` ended by itself");
        Ok(processes(world).iter().any(|record| record.name == "store" && record.is_alive()).then_some(()))
    });
    testkit::process::kill_all(&[pid])?;
    let status = up.wait()?;
    started?;
    ensure!(status.signal() == Some(9), "`up` was not killed: {status}");
    let running = processes(world).len();
    ensure!(running < Daemon::ALL.len(), "all {running} processes had been started: this was not half-way");
    succeed(xtask(world, "up", &[])?)?;
    succeed(xtask(world, "status", &[])?)?;
    succeed(xtask(world, "down", &[])?)?;
    nothing_runs(world)
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

fn another_cluster_in_the_same_network_is_refused(world: &World) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("second").display().to_string();
    let output = xtask(world, "up", &["--dir", &dir])?;
    refuse(output, &[&world.cluster.settings.dir.display().to_string(), "--netns"])?;
    ensure!(!std::path::Path::new(&dir).exists(), "{dir} was made");
    // And what another cluster's `down` removes is not ours: its network is the same, its directory is not.
    std::fs::create_dir_all(&dir)?;
    let mut settings = world.cluster.settings.clone();
    settings.dir = dir.clone().into();
    testkit::layout::Layout::new(&dir).save(&settings)?;
    succeed(xtask(world, "down", &["--dir", &dir])?)?;
    succeed(xtask(world, "status", &[])?)?;
    succeed(xtask(world, "up", &[])?).map(drop)
}

fn a_page_that_does_not_come_fails_up(world: &World) -> Result<()> {
    // Somebody's firewall: the rollout is fine, the page does not come.
    let keelctl = world.keelctl();
    let network = world.network().context("a namespace")?;
    let table = ["table", "inet", "keelson-test-block"];
    let nft =
        |args: &[&str]| run("nsenter", [&format!("--net=/run/netns/{network}")[..], "nft"].iter().chain(args).copied());
    nft(&[&["add"], &table[..]].concat())?;
    nft(&[&["add", "chain", "inet", table[2], "out", "{ type filter hook output priority -300; }"][..]].concat())?;
    let cluster_ip =
        keelctl.json(&["get", "service", "hello"])?["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
    nft(&["add", "rule", "inet", table[2], "out", "ip", "daddr", &cluster_ip, "drop"])?;
    let output = xtask(world, "up", &[]);
    nft(&[&["delete"], &table[..]].concat())?;
    refuse(output?, &["the page through the ClusterIP", &cluster_ip]).map(drop)
}

fn containers_without_a_shim_are_gone_after_down(world: &World) -> Result<()> {
    let dir = world.cluster.settings.dir.clone();
    let all = leftovers::processes(&dir);
    let line = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let containers: Vec<i32> = all.iter().copied().filter(|pid| line(pid).starts_with("httpd\0")).collect();
    ensure!(!containers.is_empty(), "hello does not run");
    // Everything dies but what runs in the containers: only cgroups know of it.
    let others: Vec<i32> = all.into_iter().filter(|pid| !containers.contains(pid)).collect();
    testkit::process::kill_all(&others)?;
    ensure!(containers.iter().any(|pid| testkit::process::runs(*pid)), "the containers died with their shims");
    succeed(xtask(world, "down", &["--keep-data"])?)?;
    ensure!(containers.iter().all(|pid| !testkit::process::runs(*pid)), "containers run on");
    nothing_runs(world)?;
    succeed(xtask(world, "up", &[])?).map(drop)
}

fn a_damaged_settings_file_is_named_and_cleaned_up(world: &World) -> Result<()> {
    let file = world.cluster.layout().settings_file();
    let text = std::fs::read(&file)?;
    std::fs::write(&file, &text[..text.len() / 2])?;
    for command in ["status", "up"] {
        refuse(xtask(world, command, &[])?, &[&file.display().to_string(), "damaged", "cargo xtask down"])?;
    }
    succeed(xtask(world, "down", &["--keep-data"])?)?;
    nothing_runs(world)?;
    std::fs::write(&file, &text)?;
    succeed(xtask(world, "up", &[])?).map(drop)
}

fn down_leaves_nothing_and_a_second_down_is_a_no_op(world: &World) -> Result<()> {
    let dir = world.cluster.settings.dir.clone();
    let before = processes(world);
    succeed(xtask(world, "down", &[])?)?;
    ensure!(before.iter().all(|record| !record.is_alive()), "a recorded process lives");
    ensure!(!dir.exists(), "{} is left", dir.display());
    nothing_runs(world)?;
    let said = succeed(xtask(world, "down", &[])?)?;
    ensure!(said.contains("no cluster"), "{said}");
    Ok(())
}

/// Of the cluster nothing is left but files.
fn nothing_runs(world: &World) -> Result<()> {
    let dir = world.cluster.settings.dir.clone();
    ensure!(leftovers::processes(&dir).is_empty(), "processes are left: {:?}", leftovers::processes(&dir));
    ensure!(leftovers::mounts(&dir).is_empty(), "mounts are left: {:?}", leftovers::mounts(&dir));
    let network = world.network().context("a namespace")?;
    let links = run("ip", ["-n", network, "-brief", "link"])?;
    ensure!(!leftovers::INTERFACES.iter().any(|name| links.contains(name)), "links are left:\n{links}");
    let tables = run("nsenter", [&format!("--net=/run/netns/{network}"), "nft", "list", "tables"])?;
    ensure!(tables.trim().is_empty(), "tables are left:\n{tables}");
    let groups = leftovers::cgroups(&testkit::flags::cgroup_prefix(&dir));
    ensure!(groups.is_empty(), "cgroups are left: {groups:?}");
    let claims = testkit::claim::networks(&dir);
    ensure!(claims.is_empty(), "networks are claimed: {claims:?}");
    Ok(())
}
