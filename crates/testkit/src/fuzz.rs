//! Damaged input for decoders of bytes from outside.
//!
//! A run is the same each time: `KEELSON_FUZZ_CASES` makes it longer, `KEELSON_FUZZ_SEED` makes it another one. The input
//! that made a decoder panic is printed with its seed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What parsers stumble over.
const TOKENS: [&[u8]; 16] = [
    b"null",
    b"[]",
    b"{}",
    b"\"\"",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e999",
    b"\0",
    b"\\ud800",
    b"\xff\xfe",
    b"\n",
    b":",
    b"/../",
    b"=",
];
/// The longest input that was never good.
const NOISE_MAX: usize = 300;

/// Gives `decode` each example, then damaged ones and noise, `usual` times unless the environment says otherwise.
#[track_caller]
pub fn damaged(usual: u64, examples: &[&[u8]], mut decode: impl FnMut(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("KEELSON_FUZZ_SEED").unwrap_or(1);
    let mut chance = Chance(seed.max(1));
    let mut run = |round: u64, input: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| decode(input))) {
            crate::say!("seed {seed}, round {round}: {}", input.escape_ascii());
            resume_unwind(panic);
        }
    };
    for example in examples {
        run(0, example);
    }
    for round in 1..=number("KEELSON_FUZZ_CASES").unwrap_or(usual) {
        let input = if round % 8 == 0 { chance.noise() } else { chance.damage(examples) };
        run(round, &input);
    }
}

/// A generator of our own, so that inputs never change under a test.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    /// Bytes that were never good, small numbers more often than chance would have them: lengths and tags.
    fn noise(&mut self) -> Vec<u8> {
        let len = self.below(NOISE_MAX);
        (0..len).map(|_| if self.below(3) == 0 { self.below(10) as u8 } else { self.next() as u8 }).collect()
    }

    fn damage(&mut self, examples: &[&[u8]]) -> Vec<u8> {
        let mut bytes = examples[self.below(examples.len())].to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
                3 => drop(bytes.splice(at..end, TOKENS[self.below(TOKENS.len())].iter().copied())),
                4 => {
                    let other = examples[self.below(examples.len())];
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[self.below(other.len())..]);
                }
                5 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ if at < bytes.len() => bytes[at] = self.next() as u8,
                _ => bytes.push(self.next() as u8),
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_come_whole_and_then_damaged_the_same_each_time() {
        let runs = [0, 1].map(|_| {
            let mut seen = Vec::new();
            damaged(50, &[b"one", b"two"], |bytes| seen.push(bytes.to_vec()));
            seen
        });
        assert_eq!(runs[0][..2], [b"one".to_vec(), b"two".to_vec()]);
        assert!(runs[0].len() >= 52 && runs[0].iter().any(|bytes| bytes != b"one" && bytes != b"two"));
        assert_eq!(runs[0], runs[1]);
    }

    #[test]
    #[should_panic(expected = "a bad decoder")]
    fn a_panic_is_told_and_goes_on() {
        damaged(1, &[b"x"], |_| panic!("a bad decoder"));
    }
}
