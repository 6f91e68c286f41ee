//! Taking some of a message's top-level fields from one version of an object and the rest from another.
//!
//! Every kind with a status has metadata as field 1, spec as 2 and status as 3.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut};
use prost::encoding::{decode_key, encode_key, encode_varint, skip_field};
use proto::custom::CustomObject;
use proto::dynamic::DynObject;

use crate::status::{Failure, Result};

/// The field of every object's metadata.
pub const METADATA: u32 = 1;
/// The field of every object's status.
pub const STATUS: u32 = 3;

/// An object with the fields `from_new` of `new` and all others of `old`.
pub fn splice(new: &dyn DynObject, old: &dyn DynObject, from_new: &[u32]) -> Result<Box<dyn DynObject>> {
    let from_new: BTreeSet<u32> = from_new.iter().copied().collect();
    let mut bytes = Vec::new();
    keep(&new.encode_to_vec(), |field| from_new.contains(&field), &mut bytes);
    keep(&old.encode_to_vec(), |field| !from_new.contains(&field), &mut bytes);
    old.info().decode(&bytes).map_err(Failure::internal)
}

/// Empties the status.
pub fn clear_status(object: &mut dyn DynObject) {
    if let Some(custom) = object.as_any_mut().downcast_mut::<CustomObject>() {
        custom.status = None;
    } else if let Some(index) = object.message().fields.iter().position(|field| field.number == STATUS) {
        object.get_mut(index).clear();
    }
}

/// Copies the top-level fields that `wanted` accepts. Our own encoder's bytes cannot be malformed.
fn keep(mut message: &[u8], wanted: impl Fn(u32) -> bool, into: &mut Vec<u8>) {
    while message.has_remaining() {
        let Ok((field, wire)) = decode_key(&mut message) else { return };
        let start = message;
        if skip_field(wire, field, &mut message, Default::default()).is_err() {
            return;
        }
        if wanted(field) {
            encode_key(field, wire, into);
            into.put_slice(&start[..start.len() - message.len()]);
        }
    }
}

/// The bytes of one top-level field, concatenated: equal bytes mean equal fields.
pub fn field_bytes(object: &dyn DynObject, wanted: impl Fn(u32) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    keep(&object.encode_to_vec(), wanted, &mut bytes);
    let mut out = Vec::with_capacity(bytes.len());
    encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(&bytes);
    out
}

#[cfg(test)]
mod tests {
    use proto::core::v1::Pod;

    use super::*;

    #[test]
    fn a_cleared_status_is_as_if_it_had_never_been_set() {
        let (mut pod, mut bare) = (Pod::default(), Pod::default());
        (pod.spec.node_name, bare.spec.node_name) = ("n".into(), "n".into());
        pod.status.phase = "Running".into();
        pod.status.start_time = Some(Default::default());
        pod.status.conditions.push(Default::default());
        clear_status(&mut pod);
        assert_eq!(pod, bare);
    }

    #[test]
    fn the_status_comes_from_the_new_and_the_spec_from_the_old() {
        let (mut new, mut old) = (Pod::default(), Pod::default());
        new.spec.node_name = "new".into();
        new.status.phase = "Running".into();
        old.spec.node_name = "old".into();
        old.metadata.name = "a".into();
        let both = splice(&new, &old, &[STATUS]).expect("well-formed");
        let both = both.downcast_ref::<Pod>().expect("a pod");
        assert_eq!((both.metadata.name.as_str(), both.spec.node_name.as_str()), ("a", "old"));
        assert_eq!(both.status.phase, "Running");
    }
}
