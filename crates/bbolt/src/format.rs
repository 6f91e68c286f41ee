//! The bytes of headers and metas.

/// Size of the pages that we write.
pub const PAGE_SIZE: usize = 4096;

/// Page sizes that a file may have.
pub fn page_sizes() -> impl Iterator<Item = usize> {
    (9..=16).map(|shift| 1 << shift)
}

pub const PAGE_HEADER_LEN: usize = 16;
pub const ELEMENT_LEN: usize = 16;
/// Bytes of a bucket's entry before an inline page: its root and its sequence.
pub const BUCKET_HEADER_LEN: usize = 16;
pub const META_LEN: usize = 64;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// A free list that was not written: whoever opens the file finds the free pages by itself.
#[cfg(test)]
pub const NO_FREELIST: u64 = u64::MAX;

pub const BRANCH: u16 = 0x01;
pub const LEAF: u16 = 0x02;
pub const META: u16 = 0x04;
pub const FREELIST: u16 = 0x10;
/// Flag of a leaf's element: a bucket.
pub const BUCKET: u32 = 0x01;

/// The first bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    pub id: u64,
    pub flags: u16,
    pub count: u16,
    /// Pages behind this one that belong to it.
    pub overflow: u32,
}

impl PageHeader {
    pub fn encode(&self) -> [u8; PAGE_HEADER_LEN] {
        let mut bytes = [0; PAGE_HEADER_LEN];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.flags.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..].copy_from_slice(&self.overflow.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            flags: u16::from_le_bytes(bytes.get(8..10)?.try_into().ok()?),
            count: u16::from_le_bytes(bytes.get(10..12)?.try_into().ok()?),
            overflow: u32_at(bytes, 12)?,
        })
    }
}

/// What a meta page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub page_size: u32,
    pub root: u64,
    pub sequence: u64,
    pub freelist: u64,
    /// Number of the first page that was never used.
    pub pages: u64,
    pub txid: u64,
}

impl Meta {
    pub fn encode(&self) -> [u8; META_LEN] {
        let mut bytes = [0; META_LEN];
        for (at, number) in [MAGIC, VERSION, self.page_size, 0].into_iter().enumerate() {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&number.to_le_bytes());
        }
        let numbers = [self.root, self.sequence, self.freelist, self.pages, self.txid];
        for (at, number) in numbers.into_iter().enumerate() {
            bytes[16 + at * 8..24 + at * 8].copy_from_slice(&number.to_le_bytes());
        }
        let sum = fnv64a(&bytes[..META_LEN - 8]);
        bytes[META_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// None when it is no meta, or damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..META_LEN)?;
        let known = u32_at(bytes, 0)? == MAGIC && u32_at(bytes, 4)? == VERSION;
        if !known || u64_at(bytes, META_LEN - 8)? != fnv64a(&bytes[..META_LEN - 8]) {
            return None;
        }
        Some(Self {
            page_size: u32_at(bytes, 8)?,
            root: u64_at(bytes, 16)?,
            sequence: u64_at(bytes, 24)?,
            freelist: u64_at(bytes, 32)?,
            pages: u64_at(bytes, 40)?,
            txid: u64_at(bytes, 48)?,
        })
    }
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// The checksum of metas: FNV-1a with 64 bits.
fn fnv64a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_fnv_1a() {
        for (text, sum) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(fnv64a(text.as_bytes()), sum, "{text:?}");
        }
    }

    #[test]
    fn a_meta_with_any_bit_flipped_is_none() {
        let meta = Meta { page_size: 4096, root: 7, sequence: 1, freelist: NO_FREELIST, pages: 9, txid: 5 };
        let bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes), Some(meta));
        for bit in 0..META_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Meta::decode(&flipped), None, "bit {bit}");
        }
    }
}
