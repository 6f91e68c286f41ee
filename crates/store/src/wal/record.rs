//! Framing: `len u32 | crc32c u32 | kind u8 | payload`, little endian, `len` counting kind and payload.
//!
//! The checksum runs on from the record before, and begins with the segment's number: a record is only valid in its
//! place. The highest bit of the kind is set in the first record of a write: everything before it was synced when it was
//! written, so bytes before it that make no sense are damage, not a torn write ([`later_write`]).

/// Bytes before the payload.
pub const HEADER_LEN: usize = 9;
/// A longer record is taken for damage.
const PAYLOAD_BYTES_MAX: u32 = 1 << 30;
/// Bit of the kind: the first record of a write.
const FIRST: u8 = 0x80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Owner, vote and purge point: the first record of a segment.
    Head = 1,
    Entry = 2,
    Vote = 3,
    /// u64: every entry from this index on is void.
    Truncate = 4,
    /// Log id: every entry up to it is void.
    Purge = 5,
    /// Log id: known to be committed.
    Committed = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Head, Self::Entry, Self::Vote, Self::Truncate, Self::Purge, Self::Committed]
            .into_iter()
            .find(|kind| *kind as u8 == byte & !FIRST)
    }
}

/// The chain's value before a segment's first record.
pub fn chain_start(segment: u64) -> u32 {
    crc32c::crc32c(&segment.to_le_bytes())
}

/// Appends a record to `buffer`, which holds one write; gives the chain's value after it.
pub fn write(buffer: &mut Vec<u8>, chain: u32, kind: Kind, payload: &[u8]) -> u32 {
    let len = payload.len() as u32 + 1;
    let kind = if buffer.is_empty() { kind as u8 | FIRST } else { kind as u8 };
    let chain = sum(chain, len, kind, payload);
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&chain.to_le_bytes());
    buffer.push(kind);
    buffer.extend_from_slice(payload);
    chain
}

fn sum(chain: u32, len: u32, kind: u8, payload: &[u8]) -> u32 {
    let chain = crc32c::crc32c_append(chain, &len.to_le_bytes());
    let chain = crc32c::crc32c_append(chain, &[kind]);
    crc32c::crc32c_append(chain, payload)
}

/// A record found in a segment.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub kind: Kind,
    pub payload: &'a [u8],
    /// Whether a write began with it.
    pub first: bool,
    /// Chain value and length of the whole record, to go on from.
    pub chain: u32,
    pub len: usize,
}

/// A header that may be one: checksum and payload, not checked.
fn header(bytes: &[u8]) -> Option<(u32, u8, &[u8])> {
    let header: &[u8; HEADER_LEN] = bytes.get(..HEADER_LEN)?.try_into().ok()?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if len == 0 || len > PAYLOAD_BYTES_MAX {
        return None;
    }
    let payload = bytes.get(HEADER_LEN..HEADER_LEN + len as usize - 1)?;
    Some((crc, header[8], payload))
}

/// The record at the beginning of `bytes`; none where there is no whole, valid one.
pub fn read(bytes: &[u8], chain: u32) -> Option<Record<'_>> {
    let (crc, byte, payload) = header(bytes)?;
    let kind = Kind::from_byte(byte)?;
    if sum(chain, payload.len() as u32 + 1, byte, payload) != crc {
        return None;
    }
    Some(Record { kind, payload, first: byte & FIRST != 0, chain: crc, len: HEADER_LEN + payload.len() })
}

/// Whether the bytes are a whole, valid record of a kind that this version does not know.
pub fn is_foreign(bytes: &[u8], chain: u32) -> bool {
    header(bytes).is_some_and(|(crc, byte, payload)| {
        Kind::from_byte(byte).is_none() && sum(chain, payload.len() as u32 + 1, byte, payload) == crc
    })
}

/// Where a write begins that came after the damage at the beginning of `bytes`, if one can be proved: then what is
/// damaged had been synced.
///
/// A record's checksum needs the one of the record before, which its header holds; so each place that looks like a
/// header is taken for one, and its successor is checked.
pub fn later_write(bytes: &[u8]) -> Option<usize> {
    for at in 0..bytes.len() {
        let Some((crc, _, payload)) = header(&bytes[at..]) else { continue };
        let (mut next, mut chain) = (at + HEADER_LEN + payload.len(), crc);
        while let Some(found) = bytes.get(next..).and_then(|rest| read(rest, chain)) {
            if found.first {
                return Some(next);
            }
            (next, chain) = (next + found.len, found.chain);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_valid_only_in_its_place() {
        let mut buffer = Vec::new();
        let one = write(&mut buffer, chain_start(1), Kind::Vote, b"one");
        let at = buffer.len();
        write(&mut buffer, one, Kind::Entry, b"two");
        assert_eq!(read(&buffer, chain_start(1)).unwrap().payload, b"one");
        assert_eq!(read(&buffer[at..], one).unwrap().payload, b"two");
        assert!(read(&buffer, chain_start(2)).is_none());
        assert!(read(&buffer[at..], chain_start(1)).is_none());
    }

    /// Writes of so many records each, as they lie in a segment.
    fn segment(writes: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut begins = Vec::new();
        let mut chain = chain_start(1);
        for (at, records) in writes.iter().enumerate() {
            let mut buffer = Vec::new();
            for record in 0..*records {
                begins.push(bytes.len() + buffer.len());
                chain = write(&mut buffer, chain, Kind::Entry, format!("write {at}, record {record}").as_bytes());
            }
            bytes.extend(buffer);
        }
        (bytes, begins)
    }

    #[test]
    fn damage_before_a_later_write_is_told_from_a_torn_write() {
        let (bytes, begins) = segment(&[1, 2, 2, 1]);
        let first_of_last = begins[5];
        for (at, begin) in begins.iter().enumerate() {
            let end = begins.get(at + 1).copied().unwrap_or(bytes.len());
            for bit in begin * 8..end * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let proved = later_write(&damaged[*begin..]).is_some();
                let last_write = *begin >= first_of_last;
                assert!(!(proved && last_write), "record {at}, bit {bit}: the last write may be torn");
                // With the length gone, the next record cannot be proved, only the one after it.
                let in_len = bit / 8 < begin + 4;
                if !in_len && !last_write {
                    let in_crc = bit / 8 < begin + 8;
                    assert!(proved || in_crc, "record {at}, bit {bit}: a later write follows");
                }
            }
        }
        // A write whose first half was lost: its second half proves nothing.
        let (mut torn, begins) = segment(&[1, 3]);
        torn[begins[1]..begins[2]].fill(0);
        assert_eq!(later_write(&torn[begins[1]..]), None);
    }

    #[test]
    fn a_record_of_a_later_version_is_no_torn_write() {
        let mut buffer = Vec::new();
        write(&mut buffer, 7, Kind::Entry, b"payload");
        assert!(!is_foreign(&buffer, 7));
        buffer[8] = FIRST | 0x55;
        let crc = sum(7, b"payload".len() as u32 + 1, buffer[8], b"payload");
        buffer[4..8].copy_from_slice(&crc.to_le_bytes());
        assert!(is_foreign(&buffer, 7) && read(&buffer, 7).is_none());
    }

    #[test]
    fn every_torn_or_flipped_record_is_refused() {
        let mut buffer = Vec::new();
        write(&mut buffer, 7, Kind::Entry, b"payload");
        for len in 0..buffer.len() {
            assert!(read(&buffer[..len], 7).is_none(), "prefix of {len}");
        }
        for bit in 0..buffer.len() * 8 {
            let mut flipped = buffer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped, 7).is_none(), "bit {bit}");
        }
    }
}
