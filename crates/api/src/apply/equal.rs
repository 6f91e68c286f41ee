//! Whether two values of messages are the same.

use proto::reflect::Ref;

/// Deep equality of two values of one type.
pub fn equal(left: Ref<'_>, right: Ref<'_>) -> bool {
    match (left, right) {
        (Ref::Unset, Ref::Unset) => true,
        (Ref::Bool(left), Ref::Bool(right)) => left == right,
        (Ref::Int32(left), Ref::Int32(right)) => left == right,
        (Ref::Int64(left), Ref::Int64(right)) => left == right,
        (Ref::Double(left), Ref::Double(right)) => left.to_bits() == right.to_bits(),
        (Ref::String(left), Ref::String(right)) => left == right,
        (Ref::Bytes(left), Ref::Bytes(right)) => left == right,
        (Ref::Message(left), Ref::Message(right)) => {
            let count = left.message().fields.len();
            (0..count).all(|index| equal(left.get(index), right.get(index)))
        }
        (Ref::List(left), Ref::List(right)) => {
            left.len() == right.len() && (0..left.len()).all(|index| equal(left.item(index), right.item(index)))
        }
        (Ref::Map(left), Ref::Map(right)) => {
            let mut same = left.len() == right.len();
            left.visit(&mut |key, value| same = same && right.entry(key).is_some_and(|other| equal(value, other)));
            same
        }
        _ => false,
    }
}
