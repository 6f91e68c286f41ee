//! Protobuf's wire format, as far as Kubernetes uses it. Written for tests: what is malformed ends them.

use std::collections::BTreeMap;

/// A field as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wire<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    /// A string's or a message's bytes. Panics where it is a number.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("{other:?} where bytes are expected"),
        }
    }

    /// A number. Panics where it is something else.
    pub fn number(self) -> u64 {
        match self {
            Self::Number(number) | Self::Fixed(number) => number,
            Self::Bytes(bytes) => panic!("{bytes:?} where a number is expected"),
        }
    }
}

/// The fields of a message by number, each in the order in which it came.
pub fn fields(mut bytes: &[u8]) -> BTreeMap<u32, Vec<Wire<'_>>> {
    let mut found = BTreeMap::<u32, Vec<Wire<'_>>>::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 => Wire::Fixed(u64::from_le_bytes(take(&mut bytes, 8).try_into().expect("eight bytes"))),
            2 => {
                let length = varint(&mut bytes);
                Wire::Bytes(take(&mut bytes, usize::try_from(length).expect("a length")))
            }
            other => panic!("wire type {other}"),
        };
        found.entry(u32::try_from(key >> 3).expect("a field's number")).or_default().push(value);
    }
    found
}

/// The last value of a field counts.
pub fn last<'a>(fields: &BTreeMap<u32, Vec<Wire<'a>>>, number: u32) -> Option<Wire<'a>> {
    fields.get(&number).and_then(|values| values.last()).copied()
}

/// A field's text; empty where it is not there. Panics where it is no UTF-8.
pub fn text(fields: &BTreeMap<u32, Vec<Wire<'_>>>, number: u32) -> String {
    let bytes = last(fields, number).map(Wire::bytes).unwrap_or_default();
    String::from_utf8(bytes.to_vec()).expect("strings are UTF-8")
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number of more than ten bytes")
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at_checked(length).expect("a message ends within a field");
    *bytes = rest;
    taken
}
