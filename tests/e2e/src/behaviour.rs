//! Recorded behaviour of a real cluster, and what of it does not depend on timing.
//!
//! A scenario is a file of `kubernetes-api/behaviour`: objects, what the client did to them, and every state that a watch
//! showed. [`Tracks`] reduces such states to what must come out the same here: for each object the order of its phases,
//! of each container's states with their messages and of each condition. A state that a slower watcher may miss (a
//! container that ran for a moment before it ended) is left out on both sides. Which recordings are replayed stands in
//! [`lists`].

mod fit;
pub mod lists;
mod messages;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use messages::message_of;
use serde_json::{Value, json};

/// One recorded scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    /// Created at the start.
    pub objects: Vec<Value>,
    pub actions: Vec<Action>,
    sequence: Vec<Seen>,
    /// With the time at which each was first seen.
    events: Vec<(f64, Told)>,
    /// What containers wrote, by pod.
    said: Vec<(String, String)>,
}

/// Something the client did.
#[derive(Debug, Clone)]
pub struct Action {
    pub at_s: f64,
    pub deed: Deed,
}

#[derive(Debug, Clone)]
pub enum Deed {
    Create(Value),
    Patch {
        object: String,
        body: Value,
    },
    Delete {
        object: String,
        options: Value,
    },
    /// `rollout undo deployment/d`.
    Undo(String),
    /// `disk=ssd` on the node.
    LabelNode(String),
    /// The pod, by the eviction subresource.
    Evict(String),
}

#[derive(Debug, Clone)]
struct Seen {
    at_s: f64,
    object: Value,
    kind: String,
    /// The object's last state.
    is_end: bool,
}

/// Times are recorded in tenths of a second.
const ROUNDING_S: f64 = 0.1;

/// The subresource that changes what a pod may use.
pub const RESIZE: &str = "/resize";

/// Marks of lines that another node, or another day, would have written otherwise.
const OF_THE_NODE: &[&str] = &[
    "<",
    "nameserver ",
    "search ",
    "LC=",
    "LM=",
    "NODE=",
    "PATH=",
    " DATE ",
    "total ",
    " type ",
    "config.source",
    "a cm:",
    "uid=",
];

/// The registry of the recordings, which never answers.
const RECORDED_REGISTRY: &str = "registry.example/";

/// The registry in its place. Nobody listens there, and no resolver is asked, whose silence would take as long as the
/// machine's `/etc/resolv.conf` says.
pub const REGISTRY: &str = "127.0.0.1:9/";

/// The node of the tests' cluster, for pods that were bound to a recorded one.
const NODE: &str = "node-0";

/// An event's kind of object, type and reason.
pub type Told = (String, String, String);

/// Where the facts lie: beside the checkout.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api/behaviour")
}

impl Scenario {
    /// Reads a scenario by its file's name, fitted to a node that gives so many thousandths of a CPU.
    pub fn read(name: &str, node_cpu_m: i64) -> Result<Self> {
        let path = folder().join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut file: Value = serde_json::from_str(&text.replace(RECORDED_REGISTRY, REGISTRY))?;
        fit::fit(&mut file, node_cpu_m);
        let mut objects = list(&file["objects"]);
        for node in objects.iter_mut().filter_map(|object| object.pointer_mut("/spec/nodeName")) {
            *node = NODE.into();
        }
        let mut actions = Vec::new();
        for action in list(&file["actions"]) {
            let at_s = action["at_s"].as_f64().context("an action has a time")?;
            actions.push(Action { at_s, deed: deed(&action["do"], &mut objects)? });
        }
        let seen = |event: &Value| Seen {
            at_s: event["at_s"].as_f64().unwrap_or_default(),
            kind: text_of(&event["kind"]),
            object: named(event),
            is_end: event["type"] == "DELETED",
        };
        let sequence = list(&file["sequence"]).iter().map(seen).collect();
        let first = |event: &Value| event["first_at_s"].as_f64().unwrap_or_default();
        let events = list(&file["events"]).iter().filter_map(|event| Some((first(event), told(event)?))).collect();
        let said = file["log"].as_object().into_iter().flatten().map(|(of, text)| {
            // Where there is one pod, the container is named.
            let pod = if of == "c" { "p" } else { of };
            (pod.to_owned(), text_of(text))
        });
        let said = said.collect();
        Ok(Self { name: name.to_owned(), objects, actions, sequence, events, said })
    }

    /// The kinds whose states were recorded and are compared.
    pub fn kinds(&self) -> BTreeSet<String> {
        let compared = |kind: &&String| matches!(kind.as_str(), "Pod" | "Deployment" | "ReplicaSet");
        self.sequence.iter().map(|seen| &seen.kind).filter(compared).cloned().collect()
    }

    /// All that was seen.
    pub fn tracks(&self) -> Tracks {
        Self::tracks_of(self.sequence.iter())
    }

    /// What the client had seen before it acted: all before the first state that shows what it did; where none does, all
    /// that was seen a moment before.
    pub fn tracks_before(&self, action: &Action) -> Tracks {
        match self.effect(action) {
            Some(effect) => Self::tracks_of(self.sequence[..effect].iter()),
            None => Self::tracks_of(self.sequence.iter().filter(|seen| seen.at_s < action.at_s - ROUNDING_S / 2.0)),
        }
    }

    /// Whether the server did not do it: a resize that no state shows.
    pub fn is_refused(&self, action: &Action) -> bool {
        let resizes = matches!(&action.deed, Deed::Patch { object, .. } if object.ends_with(RESIZE));
        resizes && self.effect(action).is_none()
    }

    /// The first state that shows what was done to an object.
    fn effect(&self, action: &Action) -> Option<usize> {
        let (kind, name) = match &action.deed {
            Deed::Patch { object, .. } | Deed::Delete { object, .. } => {
                let mut parts = object.split('/');
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            Deed::Evict(pod) => ("Pod", pod.as_str()),
            _ => ("", ""),
        };
        let mut generation = None;
        self.sequence.iter().position(|seen| {
            if seen.kind != kind || text_of(&seen.object["metadata"]["name"]) != name {
                return false;
            }
            let meta = &seen.object["metadata"];
            let before = generation.replace(meta["generation"].clone());
            let changed = before.is_some_and(|before| before != meta["generation"]);
            let shows = changed || meta["deletionTimestamp"].is_string() || seen.is_end || is_disrupted(&seen.object);
            shows && seen.at_s >= action.at_s - ROUNDING_S
        })
    }

    fn tracks_of<'a>(states: impl Iterator<Item = &'a Seen>) -> Tracks {
        let mut tracks = Tracks::default();
        states.for_each(|seen| tracks.see(&seen.kind, &seen.object));
        tracks
    }

    /// Seconds from the first create to the last state.
    pub fn length_s(&self) -> f64 {
        self.sequence.last().map_or(0.0, |seen| seen.at_s)
    }

    /// What was told before then.
    pub fn events_before(&self, at_s: f64) -> BTreeSet<Told> {
        self.events.iter().filter(|(first, _)| *first < at_s).map(|(_, told)| told.clone()).collect()
    }

    /// The lines that pods wrote, by pod, as far as they do not depend on the node, the time or chance.
    pub fn said(&self) -> BTreeMap<String, BTreeSet<String>> {
        let lines = |text: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(" stdout F ").map(|(_, said)| said.to_owned()));
            lines.filter(|said| !OF_THE_NODE.iter().any(|mark| said.contains(mark))).collect()
        };
        self.said.iter().map(|(pod, text)| (pod.clone(), lines(text))).collect()
    }
}

/// An action's deed; one that creates takes its object out of those created at the start.
fn deed(value: &Value, objects: &mut Vec<Value>) -> Result<Deed> {
    if let Some(text) = value.as_str() {
        if let Some(which) = text.strip_prefix("create ") {
            let is_it = |object: &Value| {
                format!("{}/{}", text_of(&object["kind"]), text_of(&object["metadata"]["name"])) == which
            };
            let object = match (objects.iter().position(is_it), which.strip_prefix("ConfigMap/")) {
                (Some(at), _) => objects.remove(at),
                // The recordings do not hold it; that it exists is all that matters.
                (None, Some(name)) => {
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
                }
                (None, None) => bail!("{which} is not among the objects"),
            };
            return Ok(Deed::Create(object));
        }
        if let Some(which) = text.strip_prefix("kubectl rollout undo ") {
            return Ok(Deed::Undo(which.to_owned()));
        }
        if let Some(pod) = text.strip_prefix("POST eviction of ") {
            return Ok(Deed::Evict(pod.to_owned()));
        }
        let label = text.strip_prefix("label node-1 ").with_context(|| format!("an unknown action: {text}"))?;
        return Ok(Deed::LabelNode(label.to_owned()));
    }
    if let Some(object) = value["patch"].as_str() {
        return Ok(Deed::Patch { object: object.to_owned(), body: value["body"].clone() });
    }
    let object = value["delete"].as_str().with_context(|| format!("an unknown action: {value}"))?;
    Ok(Deed::Delete { object: object.to_owned(), options: value["options"].clone() })
}

/// Whether a pod says that somebody ends it before its time.
fn is_disrupted(pod: &Value) -> bool {
    list(&pod["status"]["conditions"]).iter().any(|condition| condition["type"] == "DisruptionTarget")
}

/// The object of a recorded event with its name in its place.
fn named(event: &Value) -> Value {
    let mut object = event["object"].clone();
    object["metadata"]["name"] = event["name"].clone();
    object
}

/// What an event tells, without its text.
pub fn told(event: &Value) -> Option<Told> {
    let about = if event["involvedObject"].is_object() { &event["involvedObject"] } else { &event["regarding"] };
    let kind = text_of(&about["kind"]);
    matches!(kind.as_str(), "Pod" | "Deployment" | "ReplicaSet")
        .then(|| (kind, text_of(&event["type"]), text_of(&event["reason"])))
}

/// What was seen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tracks {
    /// The order of states, by object and aspect: `Pod p: container c` -> `waiting ContainerCreating #0`, ...
    orders: BTreeMap<String, Vec<String>>,
    /// What is only compared at the end, since it changes to and fro: the other conditions of pods, counts of Deployments.
    last: BTreeMap<String, String>,
    /// The newest state of ReplicaSets, whose names are made up: revision and replicas.
    sets: BTreeMap<String, String>,
}

impl Tracks {
    /// Adds what a state of an object shows.
    pub fn see(&mut self, kind: &str, object: &Value) {
        match kind {
            "Pod" => self.see_pod(object),
            "Deployment" => self.see_deployment(object),
            "ReplicaSet" => {
                let revision = &object["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
                let count = |field: &str| object["status"][field].as_u64().unwrap_or(0);
                let counts = ["replicas", "readyReplicas", "availableReplicas"].map(|field| count(field).to_string());
                let state = format!("revision {}: {}", text_of(revision), counts.join("/"));
                self.sets.insert(text_of(&object["metadata"]["name"]), state);
            }
            _ => {}
        }
    }

    fn see_deployment(&mut self, deployment: &Value) {
        let name = format!("Deployment {}", text_of(&deployment["metadata"]["name"]));
        self.see_conditions(&name, deployment, &["Progressing", "Available"]);
        let fields = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"];
        let counts = fields.map(|field| format!("{field} {}", deployment["status"][field].as_u64().unwrap_or(0)));
        self.last.insert(format!("{name}: counts"), counts.join(", "));
    }

    fn see_pod(&mut self, pod: &Value) {
        let name = text_of(&pod["metadata"]["name"]);
        // Pods of controllers have names of their own in each run.
        if name.contains('-') {
            return;
        }
        let status = &pod["status"];
        let phase = [&status["phase"], &status["reason"]].map(text_of).join(" ");
        self.add(format!("Pod {name}: phase"), phase.trim().to_owned());
        for list_name in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
            for container in list(&status[list_name]) {
                let track = format!("Pod {name}: container {}", text_of(&container["name"]));
                let mut state = container_state(&container["state"]);
                if container["lastState"]["terminated"].is_object() {
                    state.push_str(&format!(" after {}", container_state(&container["lastState"])));
                }
                self.see_resources(&track, &container);
                self.add(track, format!("{state} #{}", container["restartCount"]));
            }
        }
        self.see_conditions(&format!("Pod {name}"), pod, &["PodScheduled", "Initialized", "DisruptionTarget"]);
        // The others change and change back between two looks.
        for condition in list(&status["conditions"]) {
            let kind = text_of(&condition["type"]);
            if matches!(kind.as_str(), "Ready" | "ContainersReady" | "PodReadyToStartContainers") {
                let state = [&condition["status"], &condition["reason"]].map(text_of).join(" ");
                self.last.insert(format!("Pod {name}: condition {kind}"), state.trim().to_owned());
            }
        }
    }

    /// What the node has granted the container, and what it has or had.
    fn see_resources(&mut self, track: &str, container: &Value) {
        if !container["state"]["waiting"].is_object() {
            self.add(format!("{track}: granted"), container["allocatedResources"].to_string());
            self.add(format!("{track}: resources"), container["resources"].to_string());
        }
    }

    fn see_conditions(&mut self, object_name: &str, object: &Value, types: &[&str]) {
        for condition in list(&object["status"]["conditions"]) {
            let kind = text_of(&condition["type"]);
            if types.contains(&kind.as_str()) {
                let state = [&condition["status"], &condition["reason"]].map(text_of).join(" ");
                self.add(format!("{object_name}: condition {kind}"), state.trim().to_owned());
            }
        }
    }

    fn add(&mut self, track: String, state: String) {
        let states = self.orders.entry(track).or_default();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }

    /// The orders without the states that a slower watcher may miss.
    fn sturdy(&self) -> BTreeMap<String, Vec<String>> {
        let sturdy = |states: &Vec<String>| {
            let passing = |at: usize| states.get(at + 1).is_some_and(|next| is_passing(&states[at], next));
            let mut kept: Vec<String> =
                (0..states.len()).filter(|at| !passing(*at)).map(|at| states[at].clone()).collect();
            kept.dedup();
            kept
        };
        self.orders.iter().map(|(track, states)| (track.clone(), sturdy(states))).collect()
    }

    /// Without the ends between two runs that the recording passes over: there the next run was begun in the same breath.
    fn without_ends_unseen_in(&self, recorded: &Self) -> Self {
        let mut all = self.clone();
        for (track, states) in &mut all.orders {
            let there = recorded.orders.get(track).map(Vec::as_slice).unwrap_or_default();
            let shows_end =
                |run: usize| there.iter().any(|state| state.starts_with("terminated") && run_of(state) == Some(run));
            // It ran, and then was in another state.
            let went_on = |run: usize| {
                let ran = |state: &String| state.starts_with("running") && run_of(state) == Some(run);
                there.iter().rev().skip(1).any(ran)
            };
            let unseen = |run: usize| went_on(run) && !shows_end(run);
            states.retain(|state| !(state.starts_with("terminated") && run_of(state).is_some_and(unseen)));
            states.dedup();
        }
        all
    }

    /// Whether every track begins as the recorded one; `Err` says where they part.
    pub fn agree_with(&self, recorded: &Self) -> Result<()> {
        let (here, there) = (self.without_ends_unseen_in(recorded).sturdy(), recorded.sturdy());
        for (track, expect) in &there {
            let found = here.get(track).map(Vec::as_slice).unwrap_or_default();
            let begins = found.len() >= expect.len() && found[..expect.len()] == expect[..];
            ensure!(begins, "{track}\n  recorded: {}\n  here:     {}", expect.join(" -> "), found.join(" -> "));
        }
        for track in here.keys() {
            ensure!(there.contains_key(track), "{track} was not there in the recording: {}", here[track].join(" -> "));
        }
        Ok(())
    }

    /// Whether all ends as it was recorded.
    pub fn ends_as(&self, recorded: &Self) -> Result<()> {
        self.agree_with(recorded)?;
        for (what, expect) in &recorded.last {
            let found = self.last.get(what).map(String::as_str).unwrap_or_default();
            ensure!(found == expect, "{what} at the end\n  recorded: {expect}\n  here:     {found}");
        }
        let sets = |tracks: &Self| {
            let mut sets: Vec<String> = tracks.sets.values().cloned().collect();
            sets.sort();
            sets.join(", ")
        };
        let (here, there) = (sets(self), sets(recorded));
        ensure!(here == there, "ReplicaSets at the end\n  recorded: {there}\n  here:     {here}");
        Ok(())
    }
}

/// A container that ran and ended, or a pod that ran before it ended, may do so between two looks. And where it takes long
/// to find out that there is no registry, another image may be there before the next pull is put off.
fn is_passing(state: &str, next: &str) -> bool {
    let ran = state.starts_with("running") && next.starts_with("terminated") && run_of(state) == run_of(next);
    let put_off = state.starts_with("waiting ImagePullBackOff") && !next.starts_with("waiting");
    ran || put_off || (state == "Running" && (next.starts_with("Succeeded") || next.starts_with("Failed")))
}

/// Which run of a container a state is about.
fn run_of(state: &str) -> Option<usize> {
    state.rsplit_once(" #")?.1.parse().ok()
}

fn container_state(state: &Value) -> String {
    if let Some(ended) = state.get("terminated") {
        return format!("terminated {} {}{}", text_of(&ended["reason"]), ended["exitCode"], message_of(ended));
    }
    match state.get("waiting") {
        Some(waiting) => format!("waiting {}{}", text_of(&waiting["reason"]), message_of(waiting)),
        None => "running".to_owned(),
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str, state: Value, restarts: u32) -> Value {
        json!({"metadata": {"name": "p"}, "status": {"phase": phase,
            "containerStatuses": [{"name": "c", "state": state, "restartCount": restarts}]}})
    }

    fn tracks(pods: &[Value]) -> Tracks {
        let mut tracks = Tracks::default();
        pods.iter().for_each(|pod| tracks.see("Pod", pod));
        tracks
    }

    fn ended(code: i32) -> Value {
        json!({"terminated": {"reason": "Error", "exitCode": code}})
    }

    #[test]
    fn a_short_run_may_be_missed_but_its_end_may_not() {
        let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
        let seen =
            [pod("Pending", waiting.clone(), 0), pod("Running", json!({"running": {}}), 0), pod("Failed", ended(1), 0)];
        let missed = [pod("Pending", waiting.clone(), 0), pod("Failed", ended(1), 0)];
        tracks(&missed).agree_with(&tracks(&seen)).unwrap();
        tracks(&seen).agree_with(&tracks(&missed)).unwrap();
        tracks(&[pod("Pending", waiting, 0)]).agree_with(&tracks(&seen)).unwrap_err();
    }

    #[test]
    fn another_exit_code_or_restart_count_is_a_difference() {
        let recorded = tracks(&[pod("Running", ended(1), 0), pod("Running", json!({"running": {}}), 1)]);
        tracks(&[pod("Running", ended(2), 0), pod("Running", json!({"running": {}}), 1)])
            .agree_with(&recorded)
            .unwrap_err();
        tracks(&[pod("Running", ended(1), 0), pod("Running", json!({"running": {}}), 2)])
            .agree_with(&recorded)
            .unwrap_err();
    }

    #[test]
    fn an_end_that_the_recording_passes_over_may_be_shown_here_and_no_other() {
        let recorded = tracks(&[pod("Running", json!({"running": {}}), 0), pod("Running", json!({"running": {}}), 1)]);
        let here = [
            pod("Running", json!({"running": {}}), 0),
            pod("Running", ended(137), 0),
            pod("Running", json!({"running": {}}), 1),
        ];
        tracks(&here).agree_with(&recorded).unwrap();
        recorded.agree_with(&tracks(&here)).unwrap_err();
    }

    #[test]
    fn the_last_conditions_are_compared_at_the_end_only() {
        let ready = |is: &str| {
            let conditions = json!([{"type": "Ready", "status": is}]);
            json!({"metadata": {"name": "p"}, "status": {"phase": "Running", "conditions": conditions}})
        };
        let recorded = tracks(&[ready("False"), ready("True")]);
        tracks(&[ready("False")]).agree_with(&recorded).unwrap();
        tracks(&[ready("False")]).ends_as(&recorded).unwrap_err();
        tracks(&[ready("True")]).ends_as(&recorded).unwrap();
    }

    #[test]
    fn another_message_or_count_is_a_difference() {
        let waiting = |text: &str| json!({"waiting": {"reason": "CreateContainerConfigError", "message": text}});
        let recorded = tracks(&[pod("Pending", waiting("configmap \"cm\" not found"), 0)]);
        recorded.agree_with(&recorded).unwrap();
        tracks(&[pod("Pending", waiting("no configmap"), 0)]).agree_with(&recorded).unwrap_err();
        let deployment = |ready: u64| {
            let mut tracks = Tracks::default();
            tracks.see("Deployment", &json!({"metadata": {"name": "d"}, "status": {"readyReplicas": ready}}));
            tracks
        };
        deployment(1).agree_with(&deployment(2)).unwrap();
        deployment(1).ends_as(&deployment(2)).unwrap_err();
        deployment(2).ends_as(&deployment(2)).unwrap();
    }

    #[test]
    fn what_follows_the_recording_is_not_compared() {
        let recorded = tracks(&[pod("Running", ended(1), 0)]);
        tracks(&[pod("Running", ended(1), 0), pod("Running", ended(7), 1)]).agree_with(&recorded).unwrap();
    }
}
