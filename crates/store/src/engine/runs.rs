//! Reading many values: those that lie near each other come with one read.
//!
//! Keys that were written one after the other are read one after the other, too: a page of objects is a few reads.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::View;
use super::frame::{self, VALUE_HEADER_LEN};
use crate::env::read_exact_at;
use crate::mvcc::Loc;

/// Bytes between two values that are read for nothing rather than read past.
const GAP_BYTES_MAX: u64 = 4 << 10;
/// Bytes of one read.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// Places in a list of locations that one read brings, and the bytes that it reads.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    segment: u32,
    bytes: Range<u64>,
    /// Places, in order of their offsets.
    members: Vec<usize>,
}

/// Puts locations with a value into as few runs as that is worth.
fn plan(locs: &[Loc]) -> Vec<Run> {
    let mut order: Vec<usize> = (0..locs.len()).filter(|at| locs[*at].len > 0).collect();
    order.sort_unstable_by_key(|at| (locs[*at].segment, locs[*at].offset));
    let mut runs: Vec<Run> = Vec::new();
    for at in order {
        let (segment, begin) = (locs[at].segment, u64::from(locs[at].offset));
        let end = begin + VALUE_HEADER_LEN as u64 + u64::from(locs[at].len);
        match runs.last_mut() {
            Some(run)
                if run.segment == segment
                    && begin <= run.bytes.end + GAP_BYTES_MAX
                    && end - run.bytes.start <= RUN_BYTES_MAX =>
            {
                run.bytes.end = run.bytes.end.max(end);
                run.members.push(at);
            }
            _ => runs.push(Run { segment, bytes: begin..end, members: vec![at] }),
        }
    }
    runs
}

impl View {
    /// The values at `locs`, in their order, each checked against its checksum.
    pub fn read_all(&self, locs: &[Loc]) -> io::Result<Vec<Bytes>> {
        let mut reading = self.reading(locs);
        (0..locs.len()).map(|_| reading.next()).collect()
    }

    /// Begins to read the values at `locs`.
    pub fn reading<'a>(&'a self, locs: &'a [Loc]) -> Reading<'a> {
        let mut run_of = vec![usize::MAX; locs.len()];
        let mut runs = Vec::new();
        if locs.len() > 1 {
            runs = plan(locs);
            runs.retain(|run| run.members.len() > 1 && !self.lies_in_memory(run.segment, run.bytes.end));
        }
        for (at, run) in runs.iter().enumerate() {
            run.members.iter().for_each(|member| run_of[*member] = at);
        }
        let loaded = runs.iter().map(|run| Loaded { bytes: None, left: run.members.len() }).collect();
        Reading { view: self, locs, runs, run_of, loaded, next: 0 }
    }

    fn lies_in_memory(&self, segment: u32, end: u64) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.at.segment == segment && end > waiting.at.offset)
    }

    fn read_run(&self, run: &Run) -> io::Result<Bytes> {
        let missing =
            || self.damaged(Loc { segment: run.segment, offset: run.bytes.start as u32, ..Default::default() });
        let file = self.files.get(&run.segment).ok_or_else(missing)?;
        let mut bytes = vec![0; (run.bytes.end - run.bytes.start) as usize];
        match read_exact_at(&**file, run.bytes.start, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(missing()),
            read => read?,
        }
        Ok(bytes.into())
    }
}

/// Values read one after the other. A run is read when its first value is wanted, and dropped with its last: values that are
/// wanted in the order in which they were written take the memory of one run.
pub struct Reading<'a> {
    view: &'a View,
    locs: &'a [Loc],
    runs: Vec<Run>,
    /// The run of each location; none of those that come alone.
    run_of: Vec<usize>,
    loaded: Vec<Loaded>,
    next: usize,
}

struct Loaded {
    bytes: Option<Bytes>,
    /// Values that are still wanted.
    left: usize,
}

impl Reading<'_> {
    /// The value at the next location, which there must be, checked against its checksum.
    pub fn next(&mut self) -> io::Result<Bytes> {
        let at = self.next;
        self.next += 1;
        let loc = self.locs[at];
        let Some(run) = self.runs.get(self.run_of[at]) else { return self.view.read(loc) };
        let loaded = &mut self.loaded[self.run_of[at]];
        let bytes = match loaded.bytes.take() {
            Some(bytes) => bytes,
            None => self.view.read_run(run)?,
        };
        let begin = (u64::from(loc.offset) - run.bytes.start) as usize;
        let record = bytes.slice(begin..begin + VALUE_HEADER_LEN + loc.len as usize);
        loaded.left -= 1;
        if loaded.left > 0 {
            loaded.bytes = Some(bytes);
        }
        frame::checked(record).ok_or_else(|| self.view.damaged(loc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loc(segment: u32, offset: u32, len: u32) -> Loc {
        Loc { segment, offset, len }
    }

    #[test]
    fn neighbours_come_with_one_read_and_strangers_do_not() {
        let locs =
            [loc(1, 5000, 10), loc(1, 100, 50), loc(2, 160, 5), loc(1, 200, 0), loc(1, 160, 40), loc(1, 90_000, 1)];
        let runs = plan(&locs);
        let members: Vec<_> = runs.iter().map(|run| (run.segment, run.members.clone())).collect();
        // 100 and 160 are neighbours; 5000 is more than a gap away from 204.
        assert_eq!(members, [(1, vec![1, 4]), (1, vec![0]), (1, vec![5]), (2, vec![2])]);
        assert_eq!(runs[0].bytes, 100..204);
    }

    #[test]
    fn a_run_has_an_end() {
        let locs: Vec<Loc> = (0..3000).map(|at| loc(1, at * 1000, 900)).collect();
        let runs = plan(&locs);
        assert_eq!(runs.len(), 3);
        assert!(runs.iter().all(|run| run.bytes.end - run.bytes.start <= RUN_BYTES_MAX));
        assert_eq!(runs.iter().map(|run| run.members.len()).sum::<usize>(), 3000);
    }
}
