//! One actor per pod: keeps what is known, asks the planner, begins actions, takes their results.
//!
//! Actions run as tasks of their own and report back; the actor itself never waits for the runtime. Whatever it knows
//! is written to the pod's record before the next action, so a killed kubelet goes on from there.

mod act;
mod adopt;
mod conclude;
mod evict;
mod reap;
mod resize;
mod tasks;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use proto::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::Event;
use crate::eviction::Usage;
use crate::node_context::Node;
use crate::observed::{Exit, ObservedPod, State, Work};
use crate::plan::{self, Action};
use crate::pod::{DesiredPod, Ending, EndingCause, Role, field_path};
use crate::probe::task::Report;
use crate::probe::verdict::Kind;
use crate::record;
use crate::resize::Pending;
use crate::start::{Run, StartError, Started};
use crate::status_writer::{Known, StatusWriter};
use crate::time::{self, Nanos, SECOND};
use crate::volume::prepare::Tokens;

/// Messages that wait for a worker; more make the sender wait.
pub const MESSAGES_MAX: usize = 64;
/// How often volumes made of objects are compared with their objects, and what is on disk with its limits.
const REFRESH: std::time::Duration = std::time::Duration::from_secs(10);
/// The pause before containerd, which did not answer, is asked again.
const UNAVAILABLE_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// The pause before a log writer that ended is replaced; one that ended with its pod is not.
const WRITER_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

pub use act::{hook_event, patient_hook};
pub use adopt::{Look, look};
pub use reap::{forget_old_logs, remove_container};

/// What a worker is told.
#[derive(Debug)]
pub enum Message {
    /// The object changed: with the amounts that the node has granted, and why it has not granted others.
    Desired { pod: Arc<Pod>, pending: Option<Pending> },
    /// The object is gone.
    Gone,
    /// The first process of a container ended.
    Exited { id: String, code: i32, finished_at: Nanos },
    /// All that containerd has: after a reconnection, and from time to time.
    Looked(Arc<Look>),
    /// The node ends the pod.
    End { reason: String, message: String },
    /// A mutable object that volumes may be made of changed.
    ObjectsChanged,
}

/// The result of an action.
#[derive(Debug)]
enum Outcome {
    /// Nothing is to be noted.
    Done,
    Looked(Result<Look, String>),
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
    /// Ended containers are removed.
    Removed,
    Refreshed,
    /// What the pod has on disk; None where nobody knows.
    Measured(Option<Usage>),
    Resized(resize::Resized),
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
    reaping: HashSet<String>,
    /// Containers that ended and are to be removed, once nothing is being started.
    remains: Vec<reap::Remains>,
    tasks: tasks::Tasks,
    tokens: Arc<Tokens>,
    wake: Option<Nanos>,
    watching_writer: bool,
    /// Volumes are being brought up to date, and whether that is asked for once more.
    refreshing: Option<bool>,
    /// What the pod has on disk is being measured.
    measuring: bool,
    /// A worker before this one may have begun something.
    inherits: bool,
    finished: bool,
}

impl Worker {
    /// `inherits` says that another worker may have had the pod before.
    pub fn new(
        node: Arc<Node>,
        owners: Owners,
        desired: DesiredPod,
        observed: ObservedPod,
        messages: mpsc::Receiver<Message>,
        inherits: bool,
    ) -> Self {
        let status = StatusWriter::spawn(node.clone(), desired.clone(), observed.clone());
        Self {
            node,
            owners,
            desired,
            observed,
            messages,
            reports: mpsc::channel(MESSAGES_MAX),
            status,
            starting: BTreeMap::new(),
            early: HashMap::new(),
            starts: HashMap::new(),
            kills: HashMap::new(),
            probes: HashMap::new(),
            reaping: HashSet::new(),
            remains: Vec::new(),
            tasks: tasks::Tasks::default(),
            tokens: Arc::default(),
            wake: None,
            watching_writer: false,
            refreshing: None,
            measuring: false,
            inherits,
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
        if self.inherits && !self.observed.torn_down {
            self.adopt();
        }
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
                outcome = self.tasks.next() => match outcome {
                    Outcome::Done => continue,
                    outcome => self.conclude(outcome),
                },
                Some(report) = self.reports.1.recv() => self.probed(report),
                () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => {}
                _ = refresh.tick() => {
                    self.refresh_volumes();
                    self.measure();
                    continue;
                }
            }
            self.step();
        }
        self.tasks.detach();
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
        self.remove_remains();
        self.probe_running();
        let paths = self.node.paths.pod(self.desired.uid());
        if !self.finished
            && let Err(error) = record::save(&paths, &self.desired, &self.observed)
        {
            tracing::warn!(pod = self.desired.key(), %error, "the pod's record cannot be written");
        }
        self.publish();
    }

    fn publish(&self) {
        self.status.publish(Known { desired: self.desired.clone(), observed: self.observed.clone() });
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Desired { pod, pending } => self.desire(pod, pending),
            Message::Gone => self.desired.lose(time::now()),
            Message::Exited { id, code, finished_at } => self.exited(&id, code, finished_at),
            Message::Looked(look) => self.compare(&look),
            Message::End { reason, message } => self.end(reason, message, self.desired.grace_seconds()),
            Message::ObjectsChanged => self.refresh_volumes(),
        }
        self.shorten_kills();
    }

    fn desire(&mut self, pod: Arc<Pod>, pending: Option<Pending>) {
        let paths = self.node.paths.pod(self.desired.uid());
        if record::differs(&self.desired.pod, &pod)
            && let Err(error) = record::save_object(&paths, &pod)
        {
            tracing::warn!(pod = self.desired.key(), %error, "the pod's record cannot be written");
        }
        self.try_changed_images(&pod);
        self.note_resize(&pod, pending);
        self.desired.update(pod, time::now());
    }

    /// A pull that failed puts off pulls of that image, not of the one that takes its place.
    fn try_changed_images(&mut self, newer: &Pod) {
        for (name, seen) in &mut self.observed.containers {
            let image = |pod: &Pod| crate::pod::find(pod, name).map(|(_, container)| container.image);
            if image(newer) != image(&self.desired.pod) {
                (seen.pull_until, seen.pull_delay) = (0, 0);
                if let State::Waiting { retry_at, .. } = &mut seen.state {
                    *retry_at = 0;
                }
            }
        }
    }

    fn end(&mut self, reason: String, message: String, grace_seconds: i64) {
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
            if let Some(run) = self.starting.remove(&name) {
                self.early.remove(&run.id);
                self.owners.lock().remove(&run.id);
            }
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
}
