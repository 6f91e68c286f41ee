//! Namespaces: held by spec.finalizers until their content is gone.

use proto::core::v1::Namespace;
use proto::dynamic::DynObject;

use super::strategy::{Rules, Strategy};
use crate::status::{Failure, Result};

/// What the namespace controller removes once a namespace is empty.
pub const FINALIZER: &str = "kubernetes";
/// The label that names a namespace for selectors.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The strategy of namespaces.
#[derive(Debug)]
pub struct NamespaceStrategy;

impl Strategy for NamespaceStrategy {
    fn rules(&self) -> Rules {
        Rules::PLAIN
    }

    fn create(&self, object: &mut dyn DynObject) {
        let Some(namespace) = object.downcast_mut::<Namespace>() else { return };
        namespace.status.phase = "Active".to_owned();
        if !namespace.spec.finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            namespace.spec.finalizers.push(FINALIZER.to_owned());
        }
        label(namespace);
    }

    fn update(&self, new: &mut dyn DynObject, old: &dyn DynObject) {
        let (Some(new), Some(old)) = (new.downcast_mut::<Namespace>(), old.downcast_ref::<Namespace>()) else { return };
        new.spec.finalizers.clone_from(&old.spec.finalizers);
        label(new);
    }

    fn is_held(&self, object: &dyn DynObject) -> bool {
        object.downcast_ref::<Namespace>().is_some_and(|namespace| !namespace.spec.finalizers.is_empty())
    }
}

/// What the finalize subresource means: only spec.finalizers changes.
pub fn finalize(new: &dyn DynObject, mut current: Box<dyn DynObject>) -> Result<Box<dyn DynObject>> {
    let (Some(new), Some(namespace)) = (new.downcast_ref::<Namespace>(), current.downcast_mut::<Namespace>()) else {
        return Err(Failure::bad_request("finalize takes a Namespace"));
    };
    namespace.spec.finalizers.clone_from(&new.spec.finalizers);
    Ok(current)
}

fn label(namespace: &mut Namespace) {
    namespace.metadata.labels.insert(NAME_LABEL.to_owned(), namespace.metadata.name.clone());
}
