//! The reader on bytes that nobody wrote: seeded and bounded. It answers or refuses; it never panics, never goes on without
//! end, and never asks for memory that the bytes do not have.

use crate::format::{BRANCH, PageHeader};
use crate::read::tests::{Buckets, read, real, write};

/// `KEELSON_FUZZ_CASES` makes a run longer.
fn cases(usual: u64) -> u64 {
    std::env::var("KEELSON_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Damage anywhere in a small file: an answer or an error, never a panic, never without end.
#[test]
fn damaged_databases_end() {
    let entries = |count: u32| (0..count).map(|n| (n.to_be_bytes().to_vec(), vec![7; (n % 70) as usize])).collect();
    let whole = write(&Buckets::from([(b"a".to_vec(), entries(5)), (b"key".to_vec(), entries(2000))]));
    let real = real();
    for seed in 0..cases(3000) {
        let mut state = seed;
        let mut bytes = if seed.is_multiple_of(8) { real.clone() } else { whole.clone() };
        for _ in 0..=mix(&mut state) % 6 {
            // Headers and elements stand at the beginnings of pages: hit those more often.
            let page = mix(&mut state) as usize % (bytes.len() / 4096);
            let at = page * 4096 + mix(&mut state) as usize % if mix(&mut state).is_multiple_of(2) { 64 } else { 4096 };
            bytes[at] = if mix(&mut state).is_multiple_of(2) { mix(&mut state) as u8 } else { 0xff };
        }
        if mix(&mut state).is_multiple_of(5) {
            bytes.truncate(mix(&mut state) as usize % bytes.len());
        }
        let _answer_or_error = read(&bytes);
    }
}

/// A tree that leads back into itself, and one that promises more than there is.
#[test]
fn loops_and_promises_are_refused() {
    let entries = (0..2000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![7; 60])).collect();
    let whole = write(&Buckets::from([(b"key".to_vec(), entries)]));
    let branch = (0..whole.len() / 4096)
        .find(|page| {
            PageHeader::decode(&whole[page * 4096..]).is_some_and(|header| header.flags == BRANCH && *page > 2)
        })
        .expect("a branch");
    let mut looped = whole.clone();
    looped[branch * 4096 + 24..branch * 4096 + 32].copy_from_slice(&(branch as u64).to_le_bytes());
    let error = read(&looped).expect_err("a loop").to_string();
    assert!(error.contains("too deep") || error.contains("too long"), "{error}");
    let mut long = whole;
    long[branch * 4096 + 12..branch * 4096 + 16].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = read(&long).expect_err("a promise").to_string();
    assert!(error.contains("too long"), "{error}");
}
