//! Key ranges as requests write them.

use std::ops::Bound;

/// One key, or a range of keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval<'a> {
    start: &'a [u8],
    end: End<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End<'a> {
    /// The start alone.
    Single,
    Before(&'a [u8]),
    Open,
}

/// Where an ordered map begins and ends to be looked through.
type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl<'a> Interval<'a> {
    /// `range_end` empty: the key alone; one zero byte: everything from the key on; else [key, range_end).
    pub fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        let end = match range_end {
            [] => End::Single,
            [0] => End::Open,
            end => End::Before(end),
        };
        Self { start: key, end }
    }

    pub fn single(&self) -> Option<&'a [u8]> {
        (self.end == End::Single).then_some(self.start)
    }

    /// Everything from the start on.
    pub fn is_open(&self) -> bool {
        self.end == End::Open
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        match self.end {
            End::Single => key == self.start,
            End::Before(end) => key >= self.start && key < end,
            End::Open => key >= self.start,
        }
    }

    /// Bounds for an ordered map; none for an empty range.
    pub fn bounds(&self) -> Option<Bounds<'a>> {
        let start = Bound::Included(self.start);
        match self.end {
            End::Single => Some((start, Bound::Included(self.start))),
            End::Before(end) => (self.start < end).then_some((start, Bound::Excluded(end))),
            End::Open => Some((start, Bound::Unbounded)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_end_says_which_keys() {
        let check = |key: &str, end: &[u8], inside: &str, expect: bool| {
            assert_eq!(
                Interval::new(key.as_bytes(), end).contains(inside.as_bytes()),
                expect,
                "{key} {end:?} {inside}"
            );
        };
        check("b", b"", "b", true);
        check("b", b"", "ba", false);
        check("b", b"\0", "zz", true);
        check("b", b"\0", "a", false);
        check("b", b"d", "c", true);
        check("b", b"d", "d", false);
        assert!(Interval::new(b"d", b"b").bounds().is_none());
    }
}
