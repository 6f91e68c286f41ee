//! One actor per pod: keeps what is known, asks the planner, begins actions, takes their results.
//!
//! Actions run as tasks of their own and report back; the actor itself never waits for the runtime. Whatever it knows
//! is written to the pod's record before the next action, so a killed kubelet goes on from there.

mod act;
mod adopt;
mod reap;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proto::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cluster::Event;
use crate::node_context::Node;
use crate::observed::{Doom, Exit, Hook, ObservedContainer, ObservedPod, Sandbox, State, Volumes, Work};
use crate::plan::{self, Action};
use crate::pod::{DesiredPod, Ending, EndingCause, Role, field_path};
use crate::probe::task::Report;
use crate::probe::verdict::Kind;
use crate::runtime::container::TaskState;
use crate::start::{Run, StartError, Started};
use crate::status_writer::{Known, StatusWriter};
use crate::time::{self, Nanos, SECOND};
use crate::volume::prepare::Tokens;
use crate::{record, sandbox};

/// Messages that wait for a worker; more make the sender wait.
pub const MESSAGES_MAX: usize = 64;
/// How often volumes made of objects are compared with their objects.
const REFRESH: std::time::Duration = std::time::Duration::from_secs(10);
/// The pause before a failed sandbox or volume is tried again, doubled up to the longest.
const RETRY_FIRST: Nanos = SECOND;
const RETRY_MAX: Nanos = 10 * SECOND;
/// How long ErrImagePull is shown before ImagePullBackOff.
const SHOW_PULL_ERROR: Nanos = 2 * SECOND;
/// The pause before a log writer that ended is replaced; one that ended with its pod is not.
const WRITER_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

pub use act::{hook_event, long_name};

/// What a worker is told.
#[derive(Debug)]
pub enum Message {
    /// The object, new or changed.
    Desired(Arc<Pod>),
    /// The object is gone.
    Gone,
    /// The first process of a container ended.
    Exited { id: String, code: i32, finished_at: Nanos },
    /// All tasks that containerd has: after a reconnection.
    Tasks(Arc<HashMap<String, TaskState>>),
    /// The node ends the pod.
    End { reason: String, message: String },
    /// A mutable object that volumes may be made of changed.
    ObjectsChanged,
}

/// The result of an action.
#[derive(Debug)]
enum Outcome {
    Volumes(Result<(), String>),
    Sandbox(Result<Option<std::net::Ipv4Addr>, String>),
    Started {
        run: Run,
        image: String,
        result: Result<Started, StartError>,
    },
    Hooked {
        name: String,
        id: String,
        result: Result<(), String>,
    },
    Killed(String),
    Reaped {
        name: String,
        exit: Exit,
    },
    TornDown(Result<(), String>),
    Finalized(Result<(), String>),
    WriterGone,
    /// The pause after a failure is over.
    TryAgain(Work),
}

/// Shared by workers: which pod a container belongs to.
pub type Owners = Arc<parking_lot::Mutex<HashMap<String, String>>>;

/// The actor of one pod.
pub struct Worker {
    node: Arc<Node>,
    owners: Owners,
    desired: DesiredPod,
    observed: ObservedPod,
    messages: mpsc::Receiver<Message>,
    outcomes: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    status: StatusWriter,
    /// Runs that are being started, by container name.
    starting: BTreeMap<String, Run>,
    /// Exits of runs whose start is not yet known to have succeeded.
    early: HashMap<String, (i32, Nanos)>,
    /// Tasks of starts, so that a pod that ends need not wait for a pull.
    starts: HashMap<String, AbortHandle>,
    /// When each container that is being killed must be dead.
    kills: HashMap<String, (watch::Sender<Nanos>, CancellationToken)>,
    probes: HashMap<(String, Kind), AbortHandle>,
    reaping: std::collections::HashSet<String>,
    tasks: JoinSet<()>,
    tokens: Arc<Tokens>,
    wake: Option<Nanos>,
    watching_writer: bool,
    finished: bool,
}

impl Worker {
    pub fn new(
        node: Arc<Node>,
        owners: Owners,
        desired: DesiredPod,
        observed: ObservedPod,
        messages: mpsc::Receiver<Message>,
    ) -> Self {
        let status = StatusWriter::spawn(node.clone(), desired.clone(), observed.clone());
        Self {
            node,
            owners,
            desired,
            observed,
            messages,
            outcomes: mpsc::channel(MESSAGES_MAX),
            reports: mpsc::channel(MESSAGES_MAX),
            status,
            starting: BTreeMap::new(),
            early: HashMap::new(),
            starts: HashMap::new(),
            kills: HashMap::new(),
            probes: HashMap::new(),
            reaping: std::collections::HashSet::new(),
            tasks: JoinSet::new(),
            tokens: Arc::default(),
            wake: None,
            watching_writer: false,
            finished: false,
        }
    }

    /// Runs until the pod is gone from the node and from the API, or the kubelet ends.
    pub async fn run(mut self) {
        let paths = self.node.paths.pod(self.desired.uid());
        if let Err(error) = record::save_object(&paths, &self.desired.pod) {
            tracing::warn!(pod = self.desired.key(), %error, "the pod's record cannot be written");
        }
        self.observed.started_at.get_or_insert_with(time::now);
        self.adopt().await;
        self.step();
        let mut refresh = tokio::time::interval_at(tokio::time::Instant::now() + REFRESH, REFRESH);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.finished {
            let sleep = self.wake.map(|at| time::until(at, time::now()));
            tokio::select! {
                message = self.messages.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return,
                },
                Some(outcome) = self.outcomes.1.recv() => self.conclude(outcome),
                Some(report) = self.reports.1.recv() => self.probed(report),
                () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => {}
                _ = refresh.tick() => {
                    self.refresh_volumes();
                    continue;
                }
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => continue,
            }
            self.step();
        }
        self.tasks.detach_all();
    }

    /// Plans and begins what is planned, until nothing more is to be begun now.
    fn step(&mut self) {
        // An action that only changes what is known (Show, EndPod) makes another round worthwhile.
        for _ in 0..8 {
            self.cancel_starts_of_ending_pod();
            self.wake = None;
            let mut again = false;
            for action in plan::plan(&self.desired, &self.observed, time::now()) {
                again |= matches!(action, Action::Show { .. } | Action::EndPod { .. });
                self.begin(action);
            }
            if !again {
                break;
            }
        }
        self.probe_running();
        let paths = self.node.paths.pod(self.desired.uid());
        if !self.finished
            && let Err(error) = record::save(&paths, &self.desired, &self.observed)
        {
            tracing::warn!(pod = self.desired.key(), %error, "the pod's record cannot be written");
        }
        self.status.publish(Known { desired: self.desired.clone(), observed: self.observed.clone() });
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Desired(pod) => self.desire(pod),
            Message::Gone => self.desired.lose(time::now()),
            Message::Exited { id, code, finished_at } => self.exited(&id, code, finished_at),
            Message::Tasks(tasks) => self.compare(&tasks),
            Message::End { reason, message } => self.end(reason, message),
            Message::ObjectsChanged => self.refresh_volumes(),
        }
        self.shorten_kills();
    }

    fn desire(&mut self, pod: Arc<Pod>) {
        let paths = self.node.paths.pod(self.desired.uid());
        if let Err(error) = record::save_object(&paths, &pod) {
            tracing::warn!(pod = self.desired.key(), %error, "the pod's record cannot be written");
        }
        self.desired.update(pod, time::now());
    }

    fn end(&mut self, reason: String, message: String) {
        let grace_seconds = self.desired.grace_seconds();
        self.desired.ending.get_or_insert(Ending {
            since: time::now(),
            grace_seconds,
            cause: EndingCause::Stopped { reason, message },
        });
    }

    /// A later order to end may leave less time.
    fn shorten_kills(&mut self) {
        let Some(ending) = &self.desired.ending else { return };
        let end = ending.since.saturating_add(ending.grace_seconds.saturating_mul(SECOND));
        for (deadline, _) in self.kills.values() {
            deadline.send_if_modified(|current| {
                let sooner = end < *current;
                if sooner {
                    *current = end;
                }
                sooner
            });
        }
    }

    /// A pod that ends does not wait for a pull or a volume.
    fn cancel_starts_of_ending_pod(&mut self) {
        if self.desired.ending.is_none() {
            return;
        }
        for (name, task) in self.starts.drain() {
            task.abort();
            self.starting.remove(&name);
            self.observed.busy.remove(&Work::Start(name));
        }
    }

    fn event(&self, warning: bool, reason: &'static str, message: String, container: Option<(Role, &str)>) {
        let event = Event {
            warning,
            reason,
            message,
            field_path: container.map(|(role, name)| field_path(role, name)).unwrap_or_default(),
        };
        self.node.cluster.event(&self.desired.pod, event);
    }

    fn role(&self, name: &str) -> Role {
        crate::pod::find(&self.desired.pod, name).map_or(Role::Main, |(role, _)| role)
    }

    fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Volumes(result) => self.volumes_done(result),
            Outcome::Sandbox(result) => self.sandbox_done(result),
            Outcome::Started { run, image, result } => self.start_done(run, image, result),
            Outcome::Hooked { name, id, result } => self.hook_done(&name, &id, result),
            Outcome::Killed(name) => {
                // The exit itself follows; a kill that failed is planned again.
                self.kills.remove(&name);
                self.observed.busy.remove(&Work::Kill(name));
            }
            Outcome::Reaped { name, exit } => self.reaped(&name, exit),
            Outcome::TornDown(result) => {
                self.observed.busy.remove(&Work::TearDown);
                match result {
                    Ok(()) => {
                        self.observed.torn_down = true;
                        self.observed.sandbox = Sandbox::Absent;
                        self.observed.volumes = Volumes::Absent;
                    }
                    Err(error) => {
                        tracing::warn!(
                            pod = self.desired.key(),
                            error,
                            "what is left of the pod cannot be removed yet"
                        );
                        self.retry_later(Work::TearDown);
                    }
                }
            }
            Outcome::Finalized(result) => {
                self.observed.busy.remove(&Work::Finalize);
                match result {
                    Ok(()) => self.finished = true,
                    Err(error) => {
                        tracing::warn!(pod = self.desired.key(), error, "the pod's object cannot be removed yet");
                        self.retry_later(Work::Finalize);
                    }
                }
            }
            Outcome::TryAgain(work) => drop(self.observed.busy.remove(&work)),
            Outcome::WriterGone => {
                self.watching_writer = false;
                self.revive_writer();
            }
        }
    }

    /// Keeps the work marked as running for a second, so that a failure does not spin.
    fn retry_later(&mut self, work: Work) {
        self.observed.busy.insert(work.clone());
        let tx = self.outcomes.0.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            drop(tx.send(Outcome::TryAgain(work)).await);
        });
    }

    fn volumes_done(&mut self, result: Result<(), String>) {
        self.observed.busy.remove(&Work::Volumes);
        self.observed.volumes = match (result, &self.observed.volumes) {
            (Ok(()), _) => Volumes::Ready,
            (Err(message), before) => {
                let tries = if let Volumes::Failed { tries, .. } = before { tries + 1 } else { 1 };
                self.event(true, "FailedMount", message.clone(), None);
                Volumes::Failed { message, tries, retry_at: time::now() + delay(tries) }
            }
        };
    }

    fn sandbox_done(&mut self, result: Result<Option<std::net::Ipv4Addr>, String>) {
        self.observed.busy.remove(&Work::Sandbox);
        self.observed.sandbox = match (result, &self.observed.sandbox) {
            (Ok(address), _) => Sandbox::Ready { address },
            (Err(message), before) => {
                let tries = if let Sandbox::Failed { tries, .. } = before { tries + 1 } else { 1 };
                self.event(true, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {message}"), None);
                Sandbox::Failed { message, tries, retry_at: time::now() + delay(tries) }
            }
        };
    }

    fn start_done(&mut self, run: Run, image: String, result: Result<Started, StartError>) {
        self.observed.busy.remove(&Work::Start(run.name.clone()));
        self.starts.remove(&run.name);
        self.starting.remove(&run.name);
        let early = self.early.remove(&run.id);
        let now = time::now();
        let probes = crate::pod::find(&self.desired.pod, &run.name).map(|(_, container)| container);
        let seen = self.observed.containers.entry(run.name.clone()).or_default();
        match result {
            Ok(started) => {
                begin_run(seen, &run, now);
                seen.image_id = started.image_id;
                seen.image = image;
                seen.pull_delay = 0;
                let container = probes.unwrap_or_default();
                seen.startup_passed = container.startup_probe.is_none();
                seen.ready = container.readiness_probe.is_none();
                let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone());
                seen.post_start = if hook.is_some() { Hook::Running } else { Hook::Done };
                seen.state = State::Running { id: run.id.clone(), started_at: started.started_at };
                if let Some(hook) = hook {
                    self.run_post_start(&run, hook);
                }
                if let Some((code, finished_at)) = early {
                    self.exited(&run.id, code, finished_at);
                }
            }
            Err(error) => failed_run(seen, &run, image, error, now),
        }
    }

    fn hook_done(&mut self, name: &str, id: &str, result: Result<(), String>) {
        let role = self.role(name);
        let Some(seen) = self.observed.containers.get_mut(name).filter(|seen| seen.id() == Some(id)) else { return };
        match result {
            Ok(()) => seen.post_start = Hook::Done,
            Err(message) => {
                seen.doomed = Some(Doom {
                    message: "FailedPostStartHook".into(),
                    grace_seconds: None,
                    shows: Some(("PostStartHookError".into(), message)),
                });
                self.event(true, "FailedPostStartHook", "PostStartHook failed".into(), Some((role, name)));
            }
        }
    }

    fn probed(&mut self, report: Report) {
        let (id, kind) = match &report {
            Report::Verdict { container_id, kind, .. } | Report::Failed { container_id, kind, .. } => {
                (container_id, *kind)
            }
        };
        let found =
            self.observed.containers.iter_mut().find(|(_, seen)| seen.is_running() && seen.id() == Some(id.as_str()));
        let Some((name, seen)) = found else { return };
        let name = name.clone();
        match report {
            Report::Failed { message, .. } => {
                let role = self.role(&name);
                self.event(true, "Unhealthy", message, Some((role, &name)));
            }
            Report::Verdict { healthy, .. } => match (kind, healthy) {
                (Kind::Readiness, healthy) => seen.ready = healthy,
                (Kind::Startup, true) => seen.startup_passed = true,
                (Kind::Liveness, true) => {}
                (Kind::Startup | Kind::Liveness, false) => {
                    let container = crate::pod::find(&self.desired.pod, &name).map(|(_, container)| container);
                    let probe = container.and_then(|container| match kind {
                        Kind::Startup => container.startup_probe,
                        _ => container.liveness_probe,
                    });
                    seen.doomed = Some(Doom {
                        message: format!(
                            "Container {name} failed {} probe, will be restarted",
                            kind.name().to_lowercase()
                        ),
                        grace_seconds: probe.and_then(|probe| probe.termination_grace_period_seconds),
                        shows: None,
                    });
                }
            },
        }
    }

    fn reaped(&mut self, name: &str, exit: Exit) {
        self.reaping.remove(&exit.id);
        self.owners.lock().remove(&exit.id);
        if let Some((_, stop)) = self.kills.remove(name) {
            stop.cancel();
        }
        self.observed.busy.remove(&Work::Kill(name.to_owned()));
        for kind in [Kind::Startup, Kind::Liveness, Kind::Readiness] {
            if let Some(task) = self.probes.remove(&(name.to_owned(), kind)) {
                task.abort();
            }
        }
        let Some(seen) = self.observed.containers.get_mut(name) else { return };
        seen.startup_passed = false;
        seen.ready = false;
        seen.state = match seen.doomed.take().and_then(|doom| doom.shows) {
            Some((reason, message)) => {
                seen.last = Some(exit.clone());
                State::Waiting { reason, message, retry_at: seen.backoff.until(exit.finished_at), id: Some(exit.id) }
            }
            None => State::Exited(exit),
        };
    }

    /// Takes over a sandbox or finds that it is gone.
    fn check_sandbox(&mut self) {
        let paths = self.node.paths.pod(self.desired.uid());
        if self.observed.is_sandbox_ready() && !sandbox::exists(&self.desired.pod, &paths) {
            self.event(false, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.".into(), None);
            self.observed.sandbox = Sandbox::Absent;
            self.observed.volumes = Volumes::Absent;
        }
    }
}

fn delay(tries: u32) -> Nanos {
    (RETRY_FIRST << (tries.saturating_sub(1)).min(8)).min(RETRY_MAX)
}

/// Counts a run that begins after another one.
fn begin_run(seen: &mut ObservedContainer, run: &Run, now: Nanos) {
    if let Some(exit) = seen.exit().cloned() {
        seen.backoff.restarted(exit.finished_at, now);
        seen.last = Some(exit);
    } else {
        seen.backoff.last_start = now;
    }
    seen.restarts = run.attempt;
    seen.doomed = None;
}

/// A start that failed: with a run, where the container was made, or without one.
fn failed_run(seen: &mut ObservedContainer, run: &Run, image: String, error: StartError, now: Nanos) {
    let mut retry_at = now + RETRY_MAX;
    let mut id = None;
    if let Some(image_id) = error.failed_run {
        begin_run(seen, run, now);
        seen.image_id = image_id;
        seen.image = image;
        seen.last = Some(Exit {
            id: run.id.clone(),
            code: 128,
            reason: "StartError".into(),
            message: error.message.clone(),
            started_at: 0,
            finished_at: now,
        });
        retry_at = seen.backoff.until(now);
        id = Some(run.id.clone());
    } else if error.is_pull {
        seen.pull_delay = crate::observed::next_pull_delay(seen.pull_delay);
        seen.pull_until = now + seen.pull_delay;
        seen.pull_error.clone_from(&error.message);
        retry_at = now + SHOW_PULL_ERROR;
    }
    // What was shown before is not lost: a run that ended is the last one.
    if let State::Exited(exit) = &seen.state {
        seen.last = Some(exit.clone());
    }
    seen.state = State::Waiting { reason: error.reason.into(), message: error.message, retry_at, id };
}
