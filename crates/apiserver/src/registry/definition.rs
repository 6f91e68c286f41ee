//! CustomResourceDefinitions: held until their objects are gone.

use api::definition::{CLEANUP_FINALIZER, conditions};
use proto::apiextensions::v1::CustomResourceDefinition;
use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use super::strategy::{Rules, Strategy};

/// The strategy of definitions.
#[derive(Debug)]
pub struct DefinitionStrategy;

impl Strategy for DefinitionStrategy {
    fn rules(&self) -> Rules {
        Rules::CONDITIONAL_GENERATED
    }

    fn marks_deletion(&self, object: &mut dyn DynObject, now: Time) -> bool {
        let Some(definition) = object.downcast_mut::<CustomResourceDefinition>() else { return false };
        let meta = &mut definition.metadata;
        meta.deletion_timestamp = Some(now);
        if !meta.finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
            meta.finalizers.push(CLEANUP_FINALIZER.to_owned());
        }
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        let pending = conditions::condition(conditions::TERMINATING, true, "InstanceDeletionPending", message);
        conditions::set(definition, pending, now);
        true
    }
}
