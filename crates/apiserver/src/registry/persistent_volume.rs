//! Volumes and claims: new ones are Pending.

use proto::core::v1::{PersistentVolume, PersistentVolumeClaim};
use proto::dynamic::DynObject;

use super::strategy::{Rules, Strategy};

/// The strategy of persistent volumes.
#[derive(Debug)]
pub struct VolumeStrategy;

impl Strategy for VolumeStrategy {
    fn rules(&self) -> Rules {
        Rules::PLAIN
    }

    fn create(&self, object: &mut dyn DynObject) {
        if let Some(volume) = object.downcast_mut::<PersistentVolume>() {
            volume.status.phase = "Pending".to_owned();
            let now = proto::time::Time::from_system(std::time::SystemTime::now());
            volume.status.last_phase_transition_time = Some(now);
        }
    }
}

/// The strategy of persistent volume claims.
#[derive(Debug)]
pub struct ClaimStrategy;

impl Strategy for ClaimStrategy {
    fn rules(&self) -> Rules {
        Rules::PLAIN
    }

    fn create(&self, object: &mut dyn DynObject) {
        if let Some(claim) = object.downcast_mut::<PersistentVolumeClaim>() {
            claim.status.phase = "Pending".to_owned();
            api::default::claim_sources(&mut claim.spec);
        }
    }
}
