//! Which set belongs to which template, and the revisions that number them.

use api::meta::controller_reference;
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::PodTemplateSpec;
use proto::kind::HasMeta;
use prost::Message;

use super::{DESIRED_REPLICAS, HASH_LABEL, MAX_REPLICAS, REVISION, REVISION_HISTORY, Rollout, rollout, status};

/// Annotations of a deployment that its sets do not take over.
const NOT_INHERITED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];
/// Letters and digits that spell no words, as generated names have them.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl Rollout<'_> {
    /// Numbers the current set as the newest; tells of it where nothing has been told yet.
    pub(super) fn sync_revision(&mut self) {
        let wanted = self.newest_old() + 1;
        let (replicas, max) = (self.replicas(), self.replicas() + rollout::max_surge(self.deployment));
        let Some(set) = &mut self.new else { return };
        let mut changed = number(set, wanted);
        changed |= inherit(set, self.deployment);
        changed |= annotate_sizes(set, replicas, max);
        if set.spec.min_ready_seconds != self.deployment.spec.min_ready_seconds {
            set.spec.min_ready_seconds = self.deployment.spec.min_ready_seconds;
            changed = true;
        }
        let (revision, name) = (of(set), set.metadata.name.clone());
        if changed {
            let set = set.clone();
            self.plan.update(set);
        }
        self.next.metadata.annotations.insert(REVISION.to_owned(), revision.to_string());
        if status::condition(&self.next.status, "Progressing").is_none() && self.has_deadline() {
            let message = format!("Found new replica set {name:?}");
            self.set_condition("Progressing", "True", "FoundNewReplicaSet", message);
        }
    }

    /// Makes the set of the current template, of `replicas` pods.
    pub(super) fn create_set(&mut self, replicas: i32) {
        let deployment = self.deployment;
        let revision = self.newest_old() + 1;
        let mut set = for_template(deployment, hash(&deployment.spec.template, deployment.status.collision_count));
        set.spec.replicas = Some(replicas);
        inherit(&mut set, deployment);
        number(&mut set, revision);
        annotate_sizes(&mut set, self.replicas(), self.replicas() + rollout::max_surge(deployment));

        let name = set.metadata.name.clone();
        let step = self.plan.create(set.clone());
        step.warn(deployment, "ReplicaSetCreateError", format!("Failed to create new replica set {name:?}"));
        if replicas > 0 {
            step.note(deployment, "ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {replicas}"));
        }
        self.new = Some(set);
        self.next.metadata.annotations.insert(REVISION.to_owned(), revision.to_string());
        if self.has_deadline() {
            let message = format!("Created new replica set {name:?}");
            self.set_condition("Progressing", "True", "NewReplicaSetCreated", message);
        }
    }

    fn newest_old(&self) -> i64 {
        self.old.iter().map(of).max().unwrap_or(0)
    }
}

/// The set's revision; 0 where it has none.
pub fn of(set: &ReplicaSet) -> i64 {
    set.metadata.annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Equal but for the label that we add ourselves.
pub fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    without_hash(a) == without_hash(b)
}

/// Keeps on a set what a size change in the middle of a rollout needs to know. Returns whether anything changed.
pub fn annotate_sizes(set: &mut ReplicaSet, desired: i32, max: i32) -> bool {
    let mut changed = false;
    for (key, value) in [(DESIRED_REPLICAS, desired), (MAX_REPLICAS, max)] {
        let old = set.metadata.annotations.insert(key.to_owned(), value.to_string());
        changed |= old.as_deref() != Some(value.to_string().as_str());
    }
    changed
}

/// Raises the set's revision, never lowers it; the one it had goes into its history.
fn number(set: &mut ReplicaSet, revision: i64) -> bool {
    let old = of(set);
    if old >= revision {
        return false;
    }
    let annotations = &mut set.metadata.annotations;
    annotations.insert(REVISION.to_owned(), revision.to_string());
    if old > 0 {
        let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
        *history = if history.is_empty() { old.to_string() } else { format!("{history},{old}") };
    }
    true
}

fn inherit(set: &mut ReplicaSet, deployment: &Deployment) -> bool {
    let mut changed = false;
    for (key, value) in &deployment.metadata.annotations {
        if !NOT_INHERITED.contains(&key.as_str()) {
            let old = set.metadata.annotations.insert(key.clone(), value.clone());
            changed |= old.as_ref() != Some(value);
        }
    }
    changed
}

fn for_template(deployment: &Deployment, hash: String) -> ReplicaSet {
    let mut set = ReplicaSet::default();
    set.spec.template = deployment.spec.template.clone();
    set.spec.template.metadata.labels.insert(HASH_LABEL.to_owned(), hash.clone());
    set.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
    set.spec.selector = deployment.spec.selector.clone().map(|mut selector| {
        selector.match_labels.insert(HASH_LABEL.to_owned(), hash.clone());
        selector
    });
    let labels = set.spec.template.metadata.labels.clone();
    let metadata = set.metadata_mut();
    metadata.name = format!("{}-{hash}", deployment.metadata.name);
    metadata.namespace = deployment.metadata.namespace.clone();
    metadata.labels = labels;
    metadata.owner_references = vec![controller_reference(deployment)];
    set
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    template.metadata.labels.remove(HASH_LABEL);
    template
}

/// FNV-1a over the template's bytes, which are equal for equal templates, in ten letters that spell no words.
fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut bytes = without_hash(template).encode_to_vec();
    bytes.extend(collisions.unwrap_or(0).to_le_bytes());
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut text = String::with_capacity(10);
    for _ in 0..10 {
        let index = usize::try_from(hash % 27).unwrap_or(0);
        text.push(char::from(ALPHABET[index]));
        hash /= 27;
    }
    text
}
