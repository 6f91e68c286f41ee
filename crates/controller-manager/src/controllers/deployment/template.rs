//! Replica sets out of templates: names, hashes, equality.

use api::meta::controller_reference;
use prost::Message;
use proto::apps::v1::{Deployment, ReplicaSet};
use proto::core::v1::PodTemplateSpec;

use super::rolling::max_surge;
use super::sets::{Sets, wanted};
use super::{NAME, history, scale};
use crate::write::{Note, Write};

/// The label that tells a set's pods from its siblings'.
pub const HASH_LABEL: &str = "pod-template-hash";
/// Letters of hashes: none of them form words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const HASH_LEN: usize = 10;

/// Whether a set is of the Deployment's current template.
pub fn is_of(set: &ReplicaSet, deployment: &Deployment) -> bool {
    without_hash(&set.spec.template) == without_hash(&deployment.spec.template)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    template.metadata.labels.remove(HASH_LABEL);
    template
}

/// FNV-1a over the template's canonical bytes and the collision count, in letters.
fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut bytes = without_hash(template).encode_to_vec();
    if let Some(collisions) = collisions {
        bytes.extend(collisions.to_le_bytes());
    }
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let mut text = String::with_capacity(HASH_LEN);
    for _ in 0..HASH_LEN {
        let letters = ALPHABET.len() as u64;
        text.push(char::from(ALPHABET[usize::try_from(hash % letters).unwrap_or(0)]));
        hash /= letters;
    }
    text
}

/// The collision count to go on with, where the name that it would give is taken by another set.
pub fn collision(deployment: &Deployment, sets: &Sets) -> Option<i32> {
    let mut count = deployment.status.collision_count;
    let mut moved = false;
    while sets.taken.contains(&name_with(deployment, count)) {
        count = Some(count.unwrap_or(0).wrapping_add(1));
        moved = true;
    }
    count.filter(|_| moved)
}

/// The name of the set of the current template.
pub fn set_name(deployment: &Deployment, sets: &Sets) -> String {
    name_with(deployment, collision(deployment, sets).or(deployment.status.collision_count))
}

fn name_with(deployment: &Deployment, collisions: Option<i32>) -> String {
    format!("{}-{}", deployment.metadata.name, hash(&deployment.spec.template, collisions))
}

/// Makes the set of the current template, as large as the strategy allows at once.
pub fn create_set(deployment: &Deployment, sets: &Sets) -> Write {
    let name = set_name(deployment, sets);
    let hash = name.rsplit('-').next().unwrap_or_default().to_owned();
    let replicas = first_replicas(deployment, sets);
    let mut set = ReplicaSet::default();
    let meta = &mut set.metadata;
    meta.namespace = deployment.metadata.namespace.clone();
    meta.name = name.clone();
    meta.owner_references = vec![controller_reference(deployment)];
    meta.labels = deployment.spec.template.metadata.labels.clone();
    meta.labels.insert(HASH_LABEL.to_owned(), hash.clone());
    history::copy_annotations(deployment, &mut set);
    history::set_revision(&mut set, history::next_revision(sets));
    scale::annotate(deployment, &mut set);
    set.spec.replicas = Some(replicas);
    set.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
    set.spec.template = deployment.spec.template.clone();
    set.spec.template.metadata.labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let mut selector = deployment.spec.selector.clone().unwrap_or_default();
    selector.match_labels.insert(HASH_LABEL.to_owned(), hash);
    set.spec.selector = Some(selector);
    let failed = Note::warning(
        NAME,
        deployment,
        "ReplicaSetCreateError",
        format!("Failed to create new replica set {name:?}: {{error}}"),
    );
    let write = Write::create(set).on_failure(failed);
    if replicas == 0 {
        return write;
    }
    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
    write.telling(Note::normal(NAME, deployment, "ScalingReplicaSet", message))
}

fn first_replicas(deployment: &Deployment, sets: &Sets) -> i32 {
    let wanted = wanted(deployment);
    if deployment.spec.strategy.r#type == "Recreate" {
        return wanted;
    }
    sets.room(wanted.saturating_add(max_surge(deployment))).min(wanted)
}
