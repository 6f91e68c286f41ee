//! Recorded behaviour of a real cluster, and what of it does not depend on timing.
//!
//! A scenario is a file of `kubernetes-api/behaviour`: objects, what the client did to them, and every state that a watch
//! showed. [`Tracks`] reduces such states to what must come out the same here: for each object the order of its phases,
//! of each container's states and of each condition. A state that a slower watcher may miss (a container that ran for a
//! moment before it ended) is left out on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One recorded scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    /// Created at the start.
    pub objects: Vec<Value>,
    pub actions: Vec<Action>,
    sequence: Vec<Seen>,
    events: BTreeSet<Told>,
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
}

#[derive(Debug, Clone)]
struct Seen {
    at_s: f64,
    object: Value,
    kind: String,
}

/// An event's kind of object, type and reason.
pub type Told = (String, String, String);

/// Where the facts lie: beside the checkout.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api/behaviour")
}

impl Scenario {
    /// Reads a scenario by its file's name.
    pub fn read(name: &str) -> Result<Self> {
        let path = folder().join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let file: Value = serde_json::from_str(&text)?;
        let mut objects = list(&file["objects"]);
        let mut actions = Vec::new();
        for action in list(&file["actions"]) {
            let at_s = action["at_s"].as_f64().context("an action has a time")?;
            actions.push(Action { at_s, deed: deed(&action["do"], &mut objects)? });
        }
        let seen = |event: &Value| Seen {
            at_s: event["at_s"].as_f64().unwrap_or_default(),
            kind: text_of(&event["kind"]),
            object: named(event),
        };
        let sequence = list(&file["sequence"]).iter().map(seen).collect();
        let events = list(&file["events"]).iter().filter_map(told).collect();
        Ok(Self { name: name.to_owned(), objects, actions, sequence, events })
    }

    /// The kinds whose states were recorded and are compared.
    pub fn kinds(&self) -> BTreeSet<String> {
        let compared = |kind: &&String| matches!(kind.as_str(), "Pod" | "Deployment" | "ReplicaSet");
        self.sequence.iter().map(|seen| &seen.kind).filter(compared).cloned().collect()
    }

    /// What had been seen `until` then.
    pub fn tracks(&self, until: f64) -> Tracks {
        let mut tracks = Tracks::default();
        for seen in self.sequence.iter().filter(|seen| seen.at_s <= until) {
            tracks.see(&seen.kind, &seen.object);
        }
        tracks
    }

    /// Seconds from the first create to the last state.
    pub fn length_s(&self) -> f64 {
        self.sequence.last().map_or(0.0, |seen| seen.at_s)
    }

    pub fn events(&self) -> &BTreeSet<Told> {
        &self.events
    }
}

/// An action's deed; one that creates takes its object out of those created at the start.
fn deed(value: &Value, objects: &mut Vec<Value>) -> Result<Deed> {
    if let Some(text) = value.as_str() {
        if let Some(which) = text.strip_prefix("create ") {
            let is_it = |object: &Value| {
                format!("{}/{}", text_of(&object["kind"]), text_of(&object["metadata"]["name"])) == which
            };
            let at = objects.iter().position(is_it).with_context(|| format!("{which} is among the objects"))?;
            return Ok(Deed::Create(objects.remove(at)));
        }
        if let Some(which) = text.strip_prefix("kubectl rollout undo ") {
            return Ok(Deed::Undo(which.to_owned()));
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

/// The order of states, by object and aspect: `Pod p: container c` -> `waiting ContainerCreating #0`, ...
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tracks(BTreeMap<String, Vec<String>>);

impl Tracks {
    /// Adds what a state of an object shows.
    pub fn see(&mut self, kind: &str, object: &Value) {
        match kind {
            "Pod" => self.see_pod(object),
            "Deployment" => self.see_conditions(
                &format!("Deployment {}", text_of(&object["metadata"]["name"])),
                object,
                &["Progressing"],
            ),
            _ => {}
        }
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
        for list_name in ["initContainerStatuses", "containerStatuses"] {
            for container in list(&status[list_name]) {
                let track = format!("Pod {name}: container {}", text_of(&container["name"]));
                self.add(track, format!("{} #{}", container_state(&container["state"]), container["restartCount"]));
            }
        }
        // Other conditions follow from containers' states, or change and change back between two looks.
        self.see_conditions(&format!("Pod {name}"), pod, &["PodScheduled", "Initialized"]);
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
        let states = self.0.entry(track).or_default();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }

    /// Without the states that a slower watcher may miss.
    fn sturdy(&self) -> Self {
        let sturdy = |states: &Vec<String>| {
            let passing = |at: usize| states.get(at + 1).is_some_and(|next| is_passing(&states[at], next));
            let mut kept: Vec<String> =
                (0..states.len()).filter(|at| !passing(*at)).map(|at| states[at].clone()).collect();
            kept.dedup();
            kept
        };
        Self(self.0.iter().map(|(track, states)| (track.clone(), sturdy(states))).collect())
    }

    /// Whether every track begins as the recorded one; `Err` says where they part.
    pub fn agree_with(&self, recorded: &Self) -> Result<()> {
        let (here, there) = (self.sturdy(), recorded.sturdy());
        for (track, expect) in &there.0 {
            let found = here.0.get(track).map(Vec::as_slice).unwrap_or_default();
            let begins = found.len() >= expect.len() && found[..expect.len()] == expect[..];
            ensure!(begins, "{track}\n  recorded: {}\n  here:     {}", expect.join(" -> "), found.join(" -> "));
        }
        for track in here.0.keys() {
            ensure!(
                there.0.contains_key(track),
                "{track} was not there in the recording: {}",
                here.0[track].join(" -> ")
            );
        }
        Ok(())
    }
}

/// A container that ran and ended, or a pod that ran before it ended, may do so between two looks.
fn is_passing(state: &str, next: &str) -> bool {
    let run_of = |text: &str| text.rsplit_once(" #").map(|(_, run)| run.to_owned());
    let ran = state.starts_with("running") && next.starts_with("terminated") && run_of(state) == run_of(next);
    ran || (state == "Running" && (next.starts_with("Succeeded") || next.starts_with("Failed")))
}

fn container_state(state: &Value) -> String {
    if let Some(ended) = state.get("terminated") {
        return format!("terminated {} {}", text_of(&ended["reason"]), ended["exitCode"]);
    }
    match state.get("waiting") {
        Some(waiting) => format!("waiting {}", text_of(&waiting["reason"])),
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
    fn what_follows_the_recording_is_not_compared() {
        let recorded = tracks(&[pod("Running", ended(1), 0)]);
        tracks(&[pod("Running", ended(1), 0), pod("Running", ended(7), 1)]).agree_with(&recorded).unwrap();
    }
}
