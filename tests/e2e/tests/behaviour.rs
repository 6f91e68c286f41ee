//! Replays recorded scenarios of pods and Deployments, and compares what does not depend on timing. `KEELSON_SCENARIO`
//! chooses those whose name contains it.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::process::{Child, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use test_e2e::World;
use test_e2e::behaviour::lists::{DEPLOYMENTS, PODS};
use test_e2e::behaviour::{Action, Deed, REGISTRY, RESIZE, Scenario, Told, Tracks, told};
use test_e2e::evict;
use test_e2e::space::Space;
use testkit::image::Image;
use testkit::keelctl::Keelctl;
use testkit::wait;

/// The image of the recordings: busybox, whose tools are one static program.
const IMAGE: &str = "busybox:1";
/// Scenarios that run at once, as when they were recorded.
const AT_ONCE: usize = 6;
/// How much longer than the recording a busy machine may take.
const SLACK: Duration = Duration::from_secs(45);

/// How long before an action an event must have been recorded for the action to wait for it.
const EVENTS_TAKE_S: f64 = 0.5;

/// How long the watching command may take to start.
const WATCH_BEGINS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    test_e2e::run(
        || {
            let world = World::start("seen", |_| {})?;
            world.cluster.import(&Image::busybox()?, &format!("{REGISTRY}{IMAGE}"))?;
            wait_for_node(&world)?;
            Ok(world)
        },
        &[
            ("pods_behave_as_recorded", pods_behave_as_recorded),
            ("deployments_behave_as_recorded", deployments_behave_as_recorded),
        ],
    )
}

/// The recordings begin on a node that takes pods.
fn wait_for_node(world: &World) -> Result<()> {
    wait::until("the node to take pods", SLACK, || {
        let node = world.keelctl().json(&["get", "node", &world.node().name])?;
        Ok(node["spec"]["taints"].as_array().is_none_or(Vec::is_empty).then_some(()))
    })
}

fn pods_behave_as_recorded(world: &World) -> Result<()> {
    replay_all(world, PODS)
}

fn deployments_behave_as_recorded(world: &World) -> Result<()> {
    replay_all(world, DEPLOYMENTS)
}

/// Replays scenarios, some at a time, and reports every one that differs.
fn replay_all(world: &World, names: &[&str]) -> Result<()> {
    let chosen = std::env::var("KEELSON_SCENARIO").unwrap_or_default();
    let names: Vec<&str> = names.iter().copied().filter(|name| name.contains(&chosen)).collect();
    let cpu_m = node_cpu_m(world)?;
    let waiting = Mutex::new(names.iter());
    let differing = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no replay panics with the lock").next();
                    let Some(name) = next else { return };
                    let outcome = Scenario::read(name, cpu_m).and_then(|scenario| replay(world, &scenario));
                    match outcome {
                        Ok(()) => println!("  {name}: as recorded"),
                        Err(error) => {
                            differing.lock().expect("no replay panics with the lock").push(format!("{name}: {error:#}"))
                        }
                    }
                }
            });
        }
    });
    let differing = differing.into_inner()?;
    if !differing.is_empty() {
        bail!("{} of {} differ:\n{}", differing.len(), names.len(), differing.join("\n"));
    }
    Ok(())
}

/// What pods may have of the node, in thousandths of a CPU.
fn node_cpu_m(world: &World) -> Result<i64> {
    let node = world.keelctl().json(&["get", "node", &world.node().name])?;
    let amount = node["status"]["allocatable"]["cpu"].as_str().context("the node says what it gives")?;
    Ok(proto::Quantity { string: amount.to_owned() }.amount().milli())
}

fn replay(world: &World, scenario: &Scenario) -> Result<()> {
    let space = world.space(&scenario.name)?;
    let mut watches = Vec::new();
    let tracks = Arc::new(Mutex::new(Tracks::default()));
    for kind in scenario.kinds() {
        watches.push(Watch::start(world.keelctl(), &space.name, &kind, tracks.clone())?);
    }
    // A watch of nothing writes nothing, so nobody can tell when it has begun.
    wait::pause(WATCH_BEGINS);
    for object in &scenario.objects {
        space.run_with_input(&["create", "-f", "-"], &object.to_string())?;
    }
    let began = Instant::now();
    for action in &scenario.actions {
        let before = scenario.tracks_before(action);
        wait_until_seen(
            &tracks,
            &before,
            Duration::from_secs_f64(action.at_s) + SLACK,
            &format!("before {:?}", action.deed),
        )?;
        wait_for_events(&space, &scenario.events_before(action.at_s - EVENTS_TAKE_S))?;
        let due = Duration::from_secs_f64(action.at_s);
        wait::pause(due.saturating_sub(began.elapsed()));
        let outcome = act(world, &space, action);
        match scenario.is_refused(action) {
            true => ensure!(outcome.is_err(), "refused in the recording, but not here: {:?}", action.deed),
            false => outcome?,
        }
    }
    let all = scenario.tracks();
    let limit = Duration::from_secs_f64(scenario.length_s()) + SLACK;
    wait_until_seen(&tracks, &all, limit, "at the end")?;
    let ends = || tracks.lock().expect("no watch panics with the lock").ends_as(&all);
    wait::until("the recorded end", SLACK, || Ok(ends().is_ok().then_some(()))).or_else(|_| ends())?;
    wait_for_events(&space, &scenario.events_before(f64::INFINITY))?;
    compare_logs(&space, scenario)
}

/// What the pods wrote: all that was recorded, and nothing is compared that a node or the time decides.
fn compare_logs(space: &Space<'_>, scenario: &Scenario) -> Result<()> {
    for (pod, lines) in scenario.said() {
        let here = space.run(&["logs", &pod])?;
        let missing: Vec<&String> = lines.iter().filter(|line| !here.lines().any(|other| other == *line)).collect();
        ensure!(missing.is_empty(), "{pod} did not write {missing:#?}, but:\n{here}");
    }
    Ok(())
}

fn wait_until_seen(tracks: &Mutex<Tracks>, recorded: &Tracks, limit: Duration, when: &str) -> Result<()> {
    let agree = || tracks.lock().expect("no watch panics with the lock").agree_with(recorded);
    wait::until("the recorded states", limit, || Ok(agree().is_ok().then_some(())))
        .or_else(|_| agree())
        .with_context(|| when.to_owned())
}

fn wait_for_events(space: &Space<'_>, expected: &BTreeSet<Told>) -> Result<()> {
    let mut missing: BTreeSet<Told> = BTreeSet::new();
    let found = wait::until("the recorded events", SLACK, || {
        let list = space.get_list("events")?;
        let here: BTreeSet<Told> = list.iter().filter_map(told).collect();
        missing = expected.difference(&here).cloned().collect();
        Ok(missing.is_empty().then_some(()))
    });
    found.with_context(|| format!("events missing: {missing:?}"))
}

fn act(world: &World, space: &Space<'_>, action: &Action) -> Result<()> {
    match &action.deed {
        Deed::Create(object) => drop(space.run_with_input(&["create", "-f", "-"], &object.to_string())?),
        Deed::Patch { object, body } => patch(space, object, body)?,
        Deed::Delete { object, options } => {
            let mut args = vec!["delete".to_owned(), object.to_lowercase(), "--wait=false".to_owned()];
            if let Some(seconds) = options["gracePeriodSeconds"].as_i64() {
                args.push(format!("--grace-period={seconds}"));
                args.extend((seconds == 0).then(|| "--force".to_owned()));
            }
            space.run(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Deed::Undo(object) => drop(space.run(&["rollout", "undo", object])?),
        Deed::Evict(pod) => evict::evict(world, &space.name, pod)?,
        Deed::LabelNode(label) => drop(world.keelctl().run(&["label", "node", &world.node().name, label])?),
    }
    Ok(())
}

fn patch(space: &Space<'_>, path: &str, body: &Value) -> Result<()> {
    let mut parts = path.splitn(3, '/');
    let (kind, name) = (parts.next().unwrap_or_default().to_lowercase(), parts.next().unwrap_or_default());
    let body = body.to_string();
    let mut args = vec!["patch", &kind, name, "-p", &body];
    let part = parts.next().map(|part| format!("--subresource={part}"));
    args.extend(part.as_deref());
    // A Scale knows no strategic merge; by one, an empty list would change nothing, and without one a container would lose
    // what its resize does not name.
    if (part.is_some() && !path.ends_with(RESIZE)) || body.contains("[]") {
        args.push("--type=merge");
    }
    space.run(&args).map(drop)
}

/// Follows a kind of object in a namespace, as `get --watch` shows it.
struct Watch {
    process: Child,
}

impl Watch {
    fn start(keelctl: Keelctl, namespace: &str, kind: &str, tracks: Arc<Mutex<Tracks>>) -> Result<Self> {
        let mut process =
            keelctl.spawn(&["--namespace", namespace, "get", &kind.to_lowercase(), "--watch", "-o", "json"])?;
        let output = process.stdout.take().context("standard output is a pipe")?;
        let kind = kind.to_owned();
        std::thread::spawn(move || {
            let states = serde_json::Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
            // The stream ends in the middle of a word when the watch is ended.
            for state in states.map_while(std::result::Result::ok) {
                tracks.lock().expect("no replay panics with the lock").see(&kind, &state);
            }
        });
        Ok(Self { process })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
