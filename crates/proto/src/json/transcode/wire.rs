//! Where the fields of a message lie in its bytes. Nothing is copied.

use crate::schema::{FieldInfo, Label, MessageInfo, ValueType};

/// Wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// Where a field is, or what it is.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The content of the field; of a list or map, all its items with their keys.
    begin: u32,
    end: u32,
    /// The bits of a number.
    pub number: u64,
    set: bool,
}

impl Slot {
    const ABSENT: Self = Self { begin: 0, end: 0, number: 0, set: false };

    pub fn is_set(self) -> bool {
        self.set
    }

    /// The content of a string, of bytes or of a message; empty where the field is absent or a number.
    pub fn content(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.begin as usize..self.end as usize).unwrap_or_default()
    }

    /// The items of a list or the entries of a map, each behind its key.
    pub fn occurrences(self, bytes: &[u8]) -> &[u8] {
        self.content(bytes)
    }
}

/// The fields of one message, in the order of its table.
#[derive(Debug)]
pub struct Fields<const N: usize> {
    info: &'static MessageInfo,
    slots: [Slot; N],
}

impl<const N: usize> Fields<N> {
    /// Finds them. `None` where the bytes are malformed, or not as they are always written: a singular field twice, or the
    /// items of a list apart from each other.
    pub fn find(info: &'static MessageInfo, bytes: &[u8]) -> Option<Self> {
        let mut slots = [Slot::ABSENT; N];
        if info.fields.len() > N || u32::try_from(bytes.len()).is_err() {
            return None;
        }
        let (mut at, mut last) = (0, usize::MAX);
        while at < bytes.len() {
            let begin = at;
            let (number, wire) = key(bytes, &mut at)?;
            let Some(index) = index_of(info, number, last) else {
                skip(bytes, &mut at, wire)?;
                last = usize::MAX;
                continue;
            };
            let field = &info.fields[index];
            let single = field.label == Label::Single;
            let value = if field.label == Label::Map { ValueType::Bytes } else { field.value };
            let mut found = read(bytes, &mut at, wire, value)?;
            let slot = &mut slots[index];
            if slot.set {
                if single || index != last {
                    return None;
                }
                slot.end = at as u32;
            } else {
                if !single {
                    (found.begin, found.end) = (begin as u32, at as u32);
                }
                *slot = found;
            }
            last = index;
        }
        Some(Self { info, slots })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static FieldInfo, Slot)> + '_ {
        self.info.fields.iter().zip(self.slots.iter().copied())
    }

    /// The field at an index of the table; absent where there is none.
    pub fn get(&self, index: usize) -> Slot {
        self.slots.get(index).copied().unwrap_or(Slot::ABSENT)
    }
}

/// Fields come in the order of their numbers, which is mostly the table's: the one after the last is tried first.
fn index_of(info: &MessageInfo, number: u32, last: usize) -> Option<usize> {
    let next = last.wrapping_add(1);
    for guess in [last, next] {
        if info.fields.get(guess).is_some_and(|field| field.number == number) {
            return Some(guess);
        }
    }
    info.fields.iter().position(|field| field.number == number)
}

/// The first item of a list's occurrences, and how many bytes it takes with its key.
pub fn next(bytes: &[u8], value: ValueType) -> Option<(Slot, usize)> {
    let mut at = 0;
    let (_, wire) = key(bytes, &mut at)?;
    let slot = read(bytes, &mut at, wire, value)?;
    Some((slot, at))
}

/// Key and value of a map's entry; one that is empty may be left out.
pub fn entry(bytes: &[u8], value: ValueType) -> Option<(Slot, Slot)> {
    let (mut at, mut parts) = (0, [Slot::ABSENT; 2]);
    while at < bytes.len() {
        let (number, wire) = key(bytes, &mut at)?;
        let (part, value) = match number {
            1 => (&mut parts[0], ValueType::String),
            2 => (&mut parts[1], value),
            _ => return None,
        };
        if part.set {
            return None;
        }
        *part = read(bytes, &mut at, wire, value)?;
    }
    Some((parts[0], parts[1]))
}

fn key(bytes: &[u8], at: &mut usize) -> Option<(u32, u8)> {
    let key = u32::try_from(varint(bytes, at)?).ok()?;
    let number = key >> 3;
    (number > 0).then_some((number, (key & 7) as u8))
}

/// Reads a value of the type that the table has, and of no other.
fn read(bytes: &[u8], at: &mut usize, wire: u8, value: ValueType) -> Option<Slot> {
    let number = |number| Slot { number, set: true, ..Slot::ABSENT };
    match (value, wire) {
        (ValueType::Bool | ValueType::Int32 | ValueType::Int64, VARINT) => Some(number(varint(bytes, at)?)),
        (ValueType::Double, FIXED64) => {
            let eight = bytes.get(*at..)?.first_chunk()?;
            *at += 8;
            Some(number(u64::from_le_bytes(*eight)))
        }
        (ValueType::String | ValueType::Bytes | ValueType::Message(_), LENGTH_DELIMITED) => {
            let begin = length(bytes, at)?;
            Some(Slot { begin: begin as u32, end: *at as u32, number: 0, set: true })
        }
        _ => None,
    }
}

/// Steps over a length and what it counts; gives where that begins.
fn length(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let len = usize::try_from(varint(bytes, at)?).ok()?;
    let begin = *at;
    *at = begin.checked_add(len).filter(|end| *end <= bytes.len())?;
    Some(begin)
}

fn skip(bytes: &[u8], at: &mut usize, wire: u8) -> Option<()> {
    match wire {
        VARINT => drop(varint(bytes, at)?),
        FIXED64 => *at += 8,
        FIXED32 => *at += 4,
        LENGTH_DELIMITED => drop(length(bytes, at)?),
        _ => return None,
    }
    (*at <= bytes.len()).then_some(())
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(first.into());
    }
    let mut value = u64::from(first & 0x7f);
    for shift in (7..70).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        // The tenth byte has one bit left.
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
