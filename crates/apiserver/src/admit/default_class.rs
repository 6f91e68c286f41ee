//! DefaultIngressClass and DefaultStorageClass: who names no class gets the cluster's.

use proto::core::v1::PersistentVolumeClaim;
use proto::dynamic::DynObject;
use proto::meta::v1::ObjectMeta;
use proto::networking::v1::{Ingress, IngressClass};
use proto::storage::v1::StorageClass;

use super::View;

const DEFAULT_INGRESS: &str = "ingressclass.kubernetes.io/is-default-class";
const DEFAULT_STORAGE: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// How a class was named before there was a field for it.
const INGRESS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const STORAGE_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// Gives an Ingress without a class the default one.
pub fn ingress(object: &mut dyn DynObject, view: &impl View) {
    if let Some(ingress) = object.downcast_mut::<Ingress>() {
        let named = ingress.metadata.annotations.contains_key(INGRESS_ANNOTATION);
        if ingress.spec.ingress_class_name.is_none() && !named {
            let classes = view.all::<IngressClass>("").into_iter().map(|class| class.metadata);
            ingress.spec.ingress_class_name = newest(classes, &[DEFAULT_INGRESS]);
        }
    }
}

/// Gives a claim without a class the default one.
pub fn storage(object: &mut dyn DynObject, view: &impl View) {
    if let Some(claim) = object.downcast_mut::<PersistentVolumeClaim>() {
        let named = claim.metadata.annotations.contains_key(STORAGE_ANNOTATION);
        if claim.spec.storage_class_name.is_none() && !named {
            let classes = view.all::<StorageClass>("").into_iter().map(|class| class.metadata);
            claim.spec.storage_class_name = newest(classes, DEFAULT_STORAGE);
        }
    }
}

/// Of several default classes the newest counts, of those the first by name.
fn newest(classes: impl Iterator<Item = ObjectMeta>, annotations: &[&str]) -> Option<String> {
    let is_default = |meta: &ObjectMeta| {
        annotations.iter().any(|key| meta.annotations.get(*key).is_some_and(|value| value == "true"))
    };
    let mut found: Vec<ObjectMeta> = classes.filter(is_default).collect();
    found.sort_by(|one, two| two.creation_timestamp.cmp(&one.creation_timestamp).then_with(|| one.name.cmp(&two.name)));
    found.into_iter().next().map(|meta| meta.name)
}
