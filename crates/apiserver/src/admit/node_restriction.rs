//! NodeRestriction: a node agent changes its own Node and Lease, the pods that run on it, and nothing else.
//!
//! The node authorizer lets such writes through; what depends on the object that is written is judged here. Texts are
//! upstream's.

use std::collections::{BTreeMap, BTreeSet};

use proto::authentication::v1::TokenRequest;
use proto::coordination::v1::Lease;
use proto::core::v1::{Node, PersistentVolumeClaim, Pod};
use proto::dynamic::DynObject;
use proto::resource::v1::ResourceSlice;

use super::View;
use crate::authenticate::User;
use crate::authorize::references::{Kind, MIRROR, references};
use crate::status::Result;
use crate::verbs::Target;

type Judged = std::result::Result<(), String>;

const LEASES: &str = "kube-node-lease";
/// Labels below it are for administrators to keep workloads apart by.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels that a node may give itself although they are Kubernetes' own.
const OWN_LABELS: [&str; 12] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/windows-build",
];
const OWN_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Judges what a node creates.
pub fn on_create(user: &User, target: &Target, object: &dyn DynObject, view: &impl View) -> Result<()> {
    let Some(node) = user.node() else { return Ok(()) };
    let name = &object.metadata().name;
    let row = target.resource.row;
    let judged = match (row.group, row.plural) {
        ("", "pods") => {
            let pod = object.downcast_ref::<Pod>();
            pod.map_or(Ok(()), |pod| mirror_pod(node, pod, view))
        }
        ("", "nodes") => own_node(node, name, object.downcast_ref(), None),
        ("", "persistentvolumeclaims") => Err("may only update PVC status".to_owned()),
        _ => own_object(node, target, name, object),
    };
    judged.map_err(|why| target.resource.forbidden(name, &why))
}

/// Judges a subresource of which a node creates something.
pub fn on_subresource(user: &User, target: &Target) -> Result<()> {
    let row = target.resource.row;
    let pods = (row.group, row.plural) == ("", "pods");
    if user.node().is_none() || !pods || matches!(target.subresource.as_str(), "" | "status" | "eviction") {
        return Ok(());
    }
    let subresource = &target.subresource;
    let why = format!("unexpected pod subresource {subresource:?}, only 'status' and 'eviction' are allowed");
    Err(target.resource.forbidden(&target.name, &why))
}

/// Judges what a node changes.
pub fn on_update(user: &User, target: &Target, new: &dyn DynObject, old: &dyn DynObject) -> Result<()> {
    let Some(node) = user.node() else { return Ok(()) };
    on_subresource(user, target)?;
    let row = target.resource.row;
    let judged = match (row.group, row.plural, target.subresource.as_str()) {
        ("", "pods", "") => {
            Err(format!("unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"))
        }
        ("", "pods", _) => match (new.downcast_ref(), old.downcast_ref()) {
            (Some(new), Some(old)) => pod_status(node, new, old),
            _ => Ok(()),
        },
        ("", "nodes", _) => own_node(node, &target.name, new.downcast_ref(), old.downcast_ref()),
        ("", "persistentvolumeclaims", "status") => match (new.downcast_ref(), old.downcast_ref()) {
            (Some(new), Some(old)) => claim_status(node, new, old),
            _ => Ok(()),
        },
        ("", "persistentvolumeclaims", _) => Err("may only update PVC status".to_owned()),
        _ => own_object(node, target, &target.name, new),
    };
    judged.map_err(|why| target.resource.forbidden(&target.name, &why))
}

/// Judges what a node deletes.
pub fn on_delete(user: &User, target: &Target, object: &dyn DynObject) -> Result<()> {
    let Some(node) = user.node() else { return Ok(()) };
    let row = target.resource.row;
    let judged = match (row.group, row.plural) {
        ("", "pods") if object.downcast_ref::<Pod>().is_some_and(|pod| pod.spec.node_name != node) => {
            Err(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
        }
        ("", "pods") => Ok(()),
        ("", "nodes") => own_node(node, &target.name, None, None),
        ("", "persistentvolumeclaims") => Err("may only update PVC status".to_owned()),
        _ => own_object(node, target, &target.name, object),
    };
    judged.map_err(|why| target.resource.forbidden(&target.name, &why))
}

/// Judges which pod a node evicts.
pub fn on_evict(user: &User, target: &Target, pod: &Pod) -> Result<()> {
    match user.node() {
        Some(node) if pod.spec.node_name != node => {
            let why = format!("node {node} can only evict pods with spec.nodeName set to itself");
            Err(target.resource.forbidden(&target.name, &why))
        }
        _ => Ok(()),
    }
}

/// Judges which token a node asks for, before the pod is looked up that it is to be bound to.
pub fn on_token(user: &User, target: &Target, request: &TokenRequest) -> Result<()> {
    if user.node().is_none() {
        return Ok(());
    }
    let why = match &request.spec.bound_object_ref {
        Some(pod) if (pod.api_version.as_str(), pod.kind.as_str()) == ("v1", "Pod") && !pod.name.is_empty() => {
            if !pod.u_id.is_empty() {
                return Ok(());
            }
            "node requested token with a pod binding without a uid"
        }
        _ => "node requested token not bound to a pod",
    };
    Err(target.resource.forbidden(&target.name, why))
}

/// Judges the pod that a token is to be bound to, and whom the token is for.
pub fn on_token_of(user: &User, target: &Target, request: &TokenRequest, pod: &Pod) -> Result<()> {
    let Some(node) = user.node() else { return Ok(()) };
    let judged = match request.spec.audiences.as_slice() {
        _ if pod.spec.node_name != node => {
            Err("node requested token bound to a pod scheduled on a different node".to_owned())
        }
        [_, _, ..] => Err("node may only request 0 or 1 audiences".to_owned()),
        audiences => {
            let audience = audiences.first().map_or("", String::as_str);
            let named = mounts_token_for(pod, audience);
            if named { Ok(()) } else { Err(format!("audience {audience:?} not found in pod spec volume")) }
        }
    };
    judged.map_err(|why| target.resource.forbidden(&target.name, &why))
}

/// The audience of a projected token. What a CSI driver asks for is not known here: drivers are not run.
fn mounts_token_for(pod: &Pod, audience: &str) -> bool {
    let projected = pod.spec.volumes.iter().filter_map(|volume| volume.volume_source.projected.as_ref());
    let tokens = projected.flat_map(|it| &it.sources).filter_map(|source| source.service_account_token.as_ref());
    tokens.into_iter().any(|token| token.audience == audience)
}

/// Leases, CSINodes and slices: a node's own, by name or by what they say.
fn own_object(node: &str, target: &Target, name: &str, object: &dyn DynObject) -> Judged {
    let row = target.resource.row;
    match (row.group, row.plural) {
        ("coordination.k8s.io", "leases") if object.metadata().namespace != LEASES => {
            Err(format!("can only access leases in the {LEASES:?} system namespace"))
        }
        ("coordination.k8s.io", "leases") if name != node || !object.as_any().is::<Lease>() => {
            Err("can only access node lease with the same name as the requesting node".to_owned())
        }
        ("storage.k8s.io", "csinodes") if name != node => {
            Err("can only access CSINode with the same name as the requesting node".to_owned())
        }
        ("resource.k8s.io", "resourceslices") => match object.downcast_ref::<ResourceSlice>() {
            Some(slice) if slice.spec.node_name.as_deref() != Some(node) => {
                Err("can only create ResourceSlice with the same NodeName as the requesting node".to_owned())
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn own_node(node: &str, name: &str, new: Option<&Node>, old: Option<&Node>) -> Judged {
    let none = BTreeMap::new();
    if let (Some(new), None) = (new, old) {
        refuse_labels("is not allowed to set the following labels", &new.metadata.labels, &none)?;
    }
    if name != node {
        return Err(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let (Some(new), Some(old)) = (new, old) else { return Ok(()) };
    if new.spec.taints != old.spec.taints {
        return Err(format!("node {node:?} is not allowed to modify taints"));
    }
    if new.metadata.owner_references != old.metadata.owner_references {
        return Err(format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    refuse_labels("is not allowed to modify labels", &new.metadata.labels, &old.metadata.labels)
}

fn refuse_labels(what: &str, new: &BTreeMap<String, String>, old: &BTreeMap<String, String>) -> Judged {
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let changed = keys.into_iter().filter(|key| new.get(*key) != old.get(*key));
    let refused: Vec<&str> = changed.map(String::as_str).filter(|key| is_refused(key)).collect();
    if refused.is_empty() { Ok(()) } else { Err(format!("{what}: {}", refused.join(", "))) }
}

fn is_refused(label: &str) -> bool {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let below = |of: &str| namespace == of || namespace.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    if below(RESTRICTED) {
        return true;
    }
    let kubernetes = below("kubernetes.io") || below("k8s.io");
    kubernetes && !OWN_LABELS.contains(&label) && !OWN_NAMESPACES.into_iter().any(below)
}

/// A node creates pods only to show those that come from its files.
fn mirror_pod(node: &str, pod: &Pod, view: &impl View) -> Judged {
    if !pod.metadata.annotations.contains_key(MIRROR) {
        return Err(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    if pod.spec.node_name != node {
        return Err(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    owned_by(node, pod, view)?;
    let what = |kind: Kind| match kind {
        Kind::ServiceAccount => "a service account",
        Kind::Secret => "secrets",
        Kind::ConfigMap => "configmaps",
        Kind::Claim => "persistentvolumeclaims",
        Kind::ResourceClaim => "resourceclaims",
    };
    if let Some(first) = references(pod).first() {
        return Err(format!("node {node:?} can not create pods that reference {}", what(first.kind)));
    }
    let volumes = pod.spec.volumes.iter().filter_map(|volume| volume.volume_source.projected.as_ref());
    if volumes.flat_map(|it| &it.sources).any(|source| source.cluster_trust_bundle.is_some()) {
        return Err(format!("node {node:?} can not create pods that reference clustertrustbundles"));
    }
    if !pod.spec.resource_claims.is_empty() {
        return Err(format!("node {node:?} can not create pods that reference resourceclaims"));
    }
    Ok(())
}

fn owned_by(node: &str, pod: &Pod, view: &impl View) -> Judged {
    let owner = match pod.metadata.owner_references.as_slice() {
        [owner] => owner,
        [] => return Err(format!("node {node:?} can only create pods with an owner reference set to itself")),
        _ => return Err(format!("node {node:?} can only create pods with a single owner reference set to itself")),
    };
    if (owner.api_version.as_str(), owner.kind.as_str(), owner.name.as_str()) != ("v1", "Node", node) {
        return Err(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if owner.controller != Some(true) {
        return Err(format!("node {node:?} can only create pods with a controller owner reference set to itself"));
    }
    if owner.block_owner_deletion == Some(true) {
        return Err(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let Some(found) = view.node(node) else { return Err(format!("nodes {node:?} not found")) };
    let (uid, named) = (&found.metadata.uid, &owner.uid);
    if uid == named { Ok(()) } else { Err(format!("node {node} UID mismatch: expected {named} got {uid}")) }
}

fn pod_status(node: &str, new: &Pod, old: &Pod) -> Judged {
    if old.spec.node_name != node {
        return Err(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    if new.metadata.labels != old.metadata.labels {
        return Err(format!("node {node:?} cannot update labels through pod status"));
    }
    if new.status.resource_claim_statuses != old.status.resource_claim_statuses
        || new.status.extended_resource_claim_status != old.status.extended_resource_claim_status
    {
        return Err(format!("node {node:?} cannot update resource claim statuses"));
    }
    Ok(())
}

fn claim_status(node: &str, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> Judged {
    let rest = |claim: &PersistentVolumeClaim| {
        let mut claim = claim.clone();
        claim.status.capacity.clear();
        claim.status.conditions.clear();
        claim.status.allocated_resources.clear();
        claim.status.allocated_resource_statuses.clear();
        claim.metadata.managed_fields.clear();
        claim
    };
    if rest(new) == rest(old) {
        return Ok(());
    }
    Err(format!("node {node:?} is not allowed to update fields other than status.capacity and status.conditions"))
}

#[cfg(test)]
mod tests;
