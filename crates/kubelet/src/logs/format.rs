//! The CRI log format: `TIME STREAM TAG TEXT`, a line per line, long ones in parts. Pure.

use crate::time::{Nanos, parse_rfc3339, rfc3339_nanos};

/// A longer line is written in parts of this size.
pub const PART_BYTES_MAX: usize = 16 * 1024;

/// Which stream of a process a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Cuts a stream of bytes into log records.
#[derive(Default)]
pub struct Splitter {
    pending: Vec<u8>,
}

impl Splitter {
    /// Appends the records that `bytes` completes to `out`; returns how many.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], now: Nanos, out: &mut Vec<u8>) -> u64 {
        let mut records = 0;
        let time = rfc3339_nanos(now);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(piece);
            let ended = piece.ends_with(b"\n");
            if ended {
                self.pending.pop();
            }
            while self.pending.len() > PART_BYTES_MAX || (!ended && self.pending.len() == PART_BYTES_MAX) {
                let rest = self.pending.split_off(PART_BYTES_MAX);
                record(&time, stream, 'P', &self.pending, out);
                self.pending = rest;
                records += 1;
            }
            if ended {
                record(&time, stream, 'F', &self.pending, out);
                self.pending.clear();
                records += 1;
            }
        }
        records
    }

    /// What is left when the stream ends without a newline.
    pub fn finish(&mut self, stream: Stream, now: Nanos, out: &mut Vec<u8>) -> u64 {
        if self.pending.is_empty() {
            return 0;
        }
        record(&rfc3339_nanos(now), stream, 'P', &self.pending, out);
        self.pending.clear();
        1
    }
}

fn record(time: &str, stream: Stream, tag: char, text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(time.as_bytes());
    out.push(b' ');
    out.extend_from_slice(stream.name().as_bytes());
    out.extend_from_slice(&[b' ', tag as u8, b' ']);
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// One record of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub time: &'a str,
    pub stream: Stream,
    /// The text is not the end of its line.
    pub partial: bool,
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a line without its newline; None when it is not a record.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let tag = parts.next()?;
        let partial = tag.split(|byte| *byte == b':').any(|tag| tag == b"P");
        Some(Self { time, stream, partial, text: parts.next()? })
    }

    pub fn at(&self) -> Option<Nanos> {
        parse_rfc3339(self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(chunks: &[&str], expect: &[&str]) {
        let (mut splitter, mut out) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.push(Stream::Stdout, chunk.as_bytes(), 0, &mut out);
        }
        splitter.finish(Stream::Stdout, 0, &mut out);
        let got: Vec<String> = String::from_utf8(out).unwrap().lines().map(|line| line[31..].to_owned()).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn lines_are_found_across_reads() {
        check(&["a", "b\nc\n", "\n"], &["stdout F ab", "stdout F c", "stdout F "]);
    }

    #[test]
    fn an_unfinished_last_line_is_partial() {
        check(&["a\nb"], &["stdout F a", "stdout P b"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn records_put_together_are_the_stream(chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40_000), 0..4)) {
            let (mut splitter, mut out) = (Splitter::default(), Vec::new());
            for chunk in &chunks {
                splitter.push(Stream::Stderr, chunk, 0, &mut out);
            }
            splitter.finish(Stream::Stderr, 0, &mut out);
            let mut text = Vec::new();
            for line in out.split_inclusive(|byte| *byte == b'\n') {
                let record = Record::parse(&line[..line.len() - 1]).unwrap();
                prop_assert!(record.text.len() <= PART_BYTES_MAX);
                text.extend_from_slice(record.text);
                if !record.partial {
                    text.push(b'\n');
                }
            }
            prop_assert_eq!(text, chunks.concat());
        }
    }
}
