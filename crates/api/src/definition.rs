//! What the server makes of CustomResourceDefinitions: the names that it accepts, the conditions that it tells, the
//! resources that it serves. Pure; validation of definitions is `validate`'s, their schemas are `structural`'s.

pub mod approval;
pub mod conditions;
pub mod names;
pub mod row;

use proto::apiextensions::v1::{CustomResourceDefinition, CustomResourceDefinitionVersion};

/// What holds a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The version in which objects are stored.
pub fn storage_version(definition: &CustomResourceDefinition) -> Option<&CustomResourceDefinitionVersion> {
    definition.spec.versions.iter().find(|version| version.storage)
}

/// Whether objects live in namespaces.
pub fn is_namespaced(definition: &CustomResourceDefinition) -> bool {
    definition.spec.scope == "Namespaced"
}
