//! Which numbers of a range are taken, written as upstream writes it: a big-endian number whose bit i is the i-th one.

/// A set of taken numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    /// Least significant byte first.
    bytes: Vec<u8>,
    len: usize,
}

impl Bitmap {
    /// Nothing taken of `len` numbers.
    pub fn new(len: usize) -> Self {
        Self { bytes: vec![0; len.div_ceil(8)], len }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(len: usize, data: &[u8]) -> Self {
        let mut map = Self::new(len);
        for (slot, byte) in map.bytes.iter_mut().zip(data.iter().rev()) {
            *slot = *byte;
        }
        map
    }

    /// As it is stored: no leading zeros.
    pub fn encode(&self) -> Vec<u8> {
        let top = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        self.bytes[..top].iter().rev().copied().collect()
    }

    /// Whether the number is taken.
    pub fn has(&self, at: usize) -> bool {
        at < self.len && self.bytes[at / 8] & (1 << (at % 8)) != 0
    }

    /// Takes the number; false where it was taken.
    pub fn take(&mut self, at: usize) -> bool {
        if at >= self.len || self.has(at) {
            return false;
        }
        self.bytes[at / 8] |= 1 << (at % 8);
        true
    }

    /// Frees the number.
    pub fn free(&mut self, at: usize) {
        if at < self.len {
            self.bytes[at / 8] &= !(1 << (at % 8));
        }
    }

    /// Takes a free number, looking from `from` on and around; numbers below `last_resort` only when no other is free.
    pub fn take_any(&mut self, from: usize, last_resort: usize) -> Option<usize> {
        let upper = last_resort..self.len;
        let span = upper.len().max(1);
        let tried = (0..upper.len()).map(|step| last_resort + (from + step) % span);
        let found = tried.chain(0..last_resort.min(self.len)).find(|at| !self.has(*at))?;
        self.take(found).then_some(found)
    }

    /// The taken numbers.
    pub fn taken(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).filter(|at| self.has(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_as_a_big_endian_number() {
        let mut map = Bitmap::new(2768);
        assert!(map.take(0) && map.take(9));
        assert_eq!(map.encode(), [0x02, 0x01]);
        assert_eq!(Bitmap::decode(2768, &map.encode()), map);
        assert_eq!(Bitmap::new(8).encode(), Vec::<u8>::new());
    }

    #[test]
    fn a_number_is_given_once() {
        let mut map = Bitmap::new(10);
        let mut given: Vec<usize> = (0..10).filter_map(|from| map.take_any(from * 7, 3)).collect();
        assert!(given[..7].iter().all(|at| *at >= 3), "the lower part is the last resort: {given:?}");
        given.sort_unstable();
        assert_eq!(given, (0..10).collect::<Vec<_>>());
        assert_eq!(map.take_any(0, 3), None);
        map.free(4);
        assert_eq!(map.take_any(0, 3), Some(4));
    }
}
