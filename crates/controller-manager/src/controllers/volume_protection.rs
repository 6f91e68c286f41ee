//! Volumes and claims that are deleted while in use stay until nobody uses them.

use client::informer::Key;
use proto::core::v1::Pod;
use proto::time::Time;

use crate::pods;
use crate::view::View;
use crate::write::{Plan, Write};

/// Upstream's names of these controllers.
pub const CLAIMS: &str = "persistentvolumeclaim-protection-controller";
pub const VOLUMES: &str = "persistentvolume-protection-controller";
const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// `key` names a claim.
pub fn plan_claim(view: &View, key: &Key, _now: Time) -> Plan {
    let Some(claim) = view.claims.get_key(key) else { return Plan::none() };
    let mut updated = (*claim).clone();
    let going = claim.metadata.deletion_timestamp.is_some();
    let pods = view.pods.list_in(&key.namespace);
    let used = pods.iter().any(|pod| !pods::is_terminal(pod) && claims_of(pod).any(|name| name == key.name));
    settle(&mut updated.metadata.finalizers, CLAIM_FINALIZER, going, used);
    if updated == *claim { Plan::none() } else { Plan::one(Write::update(updated)) }
}

/// `key` names a volume.
pub fn plan_volume(view: &View, key: &Key, _now: Time) -> Plan {
    let Some(volume) = view.volumes.get_key(key) else { return Plan::none() };
    let mut updated = (*volume).clone();
    let going = volume.metadata.deletion_timestamp.is_some();
    settle(&mut updated.metadata.finalizers, VOLUME_FINALIZER, going, volume.status.phase == "Bound");
    if updated == *volume { Plan::none() } else { Plan::one(Write::update(updated)) }
}

/// The claims that a pod's change concerns.
pub fn concerned(pod: &Pod) -> Vec<Key> {
    claims_of(pod).map(|name| Key::new(&pod.metadata.namespace, name)).collect()
}

/// What lives is protected; what goes and is not used is let go.
fn settle(finalizers: &mut Vec<String>, finalizer: &str, going: bool, used: bool) {
    let has = finalizers.iter().any(|known| known == finalizer);
    if going && has && !used {
        finalizers.retain(|known| known != finalizer);
    } else if !going && !has {
        finalizers.push(finalizer.to_owned());
    }
}

/// Names of the claims that a pod's volumes use: those it names, and those made for it.
fn claims_of(pod: &Pod) -> impl Iterator<Item = String> + '_ {
    pod.spec.volumes.iter().filter_map(|volume| {
        let source = &volume.volume_source;
        if let Some(claim) = &source.persistent_volume_claim {
            return Some(claim.claim_name.clone());
        }
        source.ephemeral.as_ref().map(|_| format!("{}-{}", pod.metadata.name, volume.name))
    })
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Volume};

    use super::*;
    use crate::sim;
    use crate::write::Verb;

    fn finalizers(view: &View) -> Option<Vec<String>> {
        let plan = plan_claim(view, &Key::new("n", "c"), Time::default());
        let Some(Verb::Update(claim)) = plan.writes.first().map(|write| &write.verb) else { return None };
        Some(claim.metadata().finalizers.clone())
    }

    #[test]
    fn claim_is_let_go_once_its_last_pod_ended() {
        let view = sim::view();
        let mut claim = PersistentVolumeClaim::default();
        claim.metadata.namespace = "n".into();
        claim.metadata.name = "c".into();
        view.claims.put(claim.clone());
        assert_eq!(finalizers(&view), Some(vec![CLAIM_FINALIZER.to_owned()]), "it is protected");
        claim.metadata.finalizers.push(CLAIM_FINALIZER.into());
        claim.metadata.deletion_timestamp = Some(Time::from_unix(1));
        view.claims.put(claim);
        let mut pod = Pod::default();
        pod.metadata.namespace = "n".into();
        pod.metadata.name = "p".into();
        let mut volume = Volume { name: "v".into(), ..Volume::default() };
        volume.volume_source.persistent_volume_claim =
            Some(PersistentVolumeClaimVolumeSource { claim_name: "c".into(), ..Default::default() });
        pod.spec.volumes.push(volume);
        view.pods.put(pod.clone());
        assert_eq!(finalizers(&view), None);
        pod.status.phase = "Succeeded".into();
        view.pods.put(pod);
        assert_eq!(finalizers(&view), Some(vec![]));
    }
}
