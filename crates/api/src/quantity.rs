//! Quantities and maps of them: resources asked for, granted and left.

use std::collections::BTreeMap;

use proto::Quantity;
pub use proto::quantity::{Amount, Format, ParseError, canonical};

/// Resources by name: cpu, memory, pods, extended ones.
pub type ResourceList = BTreeMap<String, Quantity>;

/// The amount of a resource; zero where it is not listed.
pub fn amount(list: &ResourceList, name: &str) -> Amount {
    list.get(name).map_or(Amount::ZERO, Quantity::amount)
}

/// CPU in thousandths of a core.
pub fn cpu_milli(list: &ResourceList) -> i64 {
    amount(list, "cpu").milli()
}

/// Memory in bytes.
pub fn memory_bytes(list: &ResourceList) -> i64 {
    amount(list, "memory").value()
}

/// Adds each resource of `more` to `sum`.
pub fn add(sum: &mut ResourceList, more: &ResourceList) {
    for (name, quantity) in more {
        let total = amount(sum, name).add(&quantity.amount());
        sum.insert(name.clone(), total.into());
    }
}

/// Raises each resource of `max` to what `other` asks.
pub fn raise(max: &mut ResourceList, other: &ResourceList) {
    for (name, quantity) in other {
        if !max.contains_key(name) || quantity.amount() > amount(max, name) {
            max.insert(name.clone(), quantity.clone());
        }
    }
}
