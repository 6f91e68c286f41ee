//! Validation of RuntimeClasses.

use proto::node::v1::RuntimeClass;

use super::check::{Errors, immutable, labels, shape};
use super::{FieldError, Path, resources, scheduling};
use crate::name;

pub fn create(errors: &mut Errors, class: &RuntimeClass) {
    shape(errors, Path::root("handler"), &class.handler, name::dns_label);
    if let Some(overhead) = &class.overhead {
        let path = Path::root("overhead");
        let path = path.child("podFixed");
        for (name, quantity) in &overhead.pod_fixed {
            resources::amount(errors, path.key(name), name, quantity);
        }
    }
    if let Some(where_to) = &class.scheduling {
        let path = Path::root("scheduling");
        labels(errors, path.child("nodeSelector"), &where_to.node_selector);
        let path = path.child("tolerations");
        scheduling::tolerations(errors, path, &where_to.tolerations);
        for (index, toleration) in where_to.tolerations.iter().enumerate() {
            if where_to.tolerations[..index].contains(toleration) {
                errors.push(FieldError::duplicate(path.index(index), super::error::Json(toleration)));
            }
        }
    }
}

pub fn update(errors: &mut Errors, new: &RuntimeClass, old: &RuntimeClass) {
    create(errors, new);
    immutable(errors, Path::root("handler"), new.handler == old.handler, &new.handler);
}
