//! Which numbers are counted together: small ones alone, greater ones in four ranges for each power of two.

/// Numbers below this have a bucket each.
const EXACT: usize = 8;
/// Ranges of each power of two, and its logarithm.
const PARTS: usize = 1 << PARTS_LOG;
const PARTS_LOG: u32 = 2;
/// The power of two that the first range begins with.
const FIRST_POWER: u32 = EXACT.ilog2();

/// The bucket of a number.
pub fn of(value: u64) -> usize {
    match usize::try_from(value) {
        Ok(small) if small < EXACT => small,
        _ => {
            let power = value.ilog2();
            let part = (value >> (power - PARTS_LOG)) as usize % PARTS;
            EXACT + (power - FIRST_POWER) as usize * PARTS + part
        }
    }
}

/// The middle of a bucket's numbers.
pub fn middle(bucket: usize) -> u64 {
    let Some(range) = bucket.checked_sub(EXACT) else { return bucket as u64 };
    let power = FIRST_POWER + (range / PARTS) as u32;
    let width = 1_u64 << (power - PARTS_LOG);
    (1 << power) + (range % PARTS) as u64 * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_middle() {
        let last = of(u64::MAX);
        assert_eq!(last, 251);
        for bucket in 0..=last {
            assert_eq!(of(middle(bucket)), bucket);
        }
    }

    #[test]
    fn buckets_grow_with_numbers() {
        let near = (0..64).flat_map(|power| [(1_u64 << power) - 1, 1 << power, (1 << power) + (1 << power) / 2]);
        let buckets: Vec<_> = near.map(of).collect();
        assert!(buckets.is_sorted(), "{buckets:?}");
        assert_eq!([0, 1, 7, 8, 9, 10, 15, 16].map(of), [0, 1, 7, 8, 8, 9, 11, 12]);
    }
}
