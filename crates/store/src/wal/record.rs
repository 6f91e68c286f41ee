//! Framing: `len u32 | crc32c u32 | kind u8 | payload`, little endian, `len` counting kind and payload.
//!
//! The checksum runs on from the record before, and begins with the segment's number: a record is only valid in its
//! place.

/// Bytes before the payload.
pub const HEADER_LEN: usize = 9;
/// A longer record is taken for damage.
const PAYLOAD_BYTES_MAX: u32 = 1 << 30;

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
            .find(|kind| *kind as u8 == byte)
    }
}

/// The chain's value before a segment's first record.
pub fn chain_start(segment: u64) -> u32 {
    crc32c::crc32c(&segment.to_le_bytes())
}

/// Appends a record to `buffer`; gives the chain's value after it.
pub fn write(buffer: &mut Vec<u8>, chain: u32, kind: Kind, payload: &[u8]) -> u32 {
    let len = payload.len() as u32 + 1;
    let chain = sum(chain, len, kind as u8, payload);
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&chain.to_le_bytes());
    buffer.push(kind as u8);
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
    /// Chain value and length of the whole record, to go on from.
    pub chain: u32,
    pub len: usize,
}

/// The record at the beginning of `bytes`; none where there is no whole, valid one.
pub fn read(bytes: &[u8], chain: u32) -> Option<Record<'_>> {
    let header: &[u8; HEADER_LEN] = bytes.get(..HEADER_LEN)?.try_into().ok()?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if len == 0 || len > PAYLOAD_BYTES_MAX {
        return None;
    }
    let payload = bytes.get(HEADER_LEN..HEADER_LEN + len as usize - 1)?;
    let kind = Kind::from_byte(header[8])?;
    if sum(chain, len, kind as u8, payload) != crc {
        return None;
    }
    Some(Record { kind, payload, chain: crc, len: HEADER_LEN + payload.len() })
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
