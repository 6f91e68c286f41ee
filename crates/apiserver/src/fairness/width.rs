//! How many seats a request takes, as upstream's estimators have it: lists by the bytes they are expected to read, writes by the
//! watchers that are told of them.

use super::seats::Width;

/// Bytes for each seat of a list.
const BYTES_PER_SEAT: u64 = 100_000;
const LIST_SEATS_MAX: u64 = 100;
/// Watchers for each seat of a write, and how long one is told.
const WATCHERS_PER_SEAT: u64 = 10;
const TELL_NS: u64 = 5_000_000;
const WRITE_SEATS_MAX: u64 = 10;
/// A single request has at most this part of its level's seats.
const PART_MAX: f64 = 0.15;

/// The most seats that one request has in a level of so many nominal seats.
fn seats_max(nominal: u32, max: u64) -> u64 {
    ((f64::from(nominal) * PART_MAX).ceil() as u64).clamp(1, max)
}

/// A list of a resource that has so many objects and bytes in all. `limit` 0: none.
pub fn list(objects: u64, bytes: u64, limit: u64, nominal: u32) -> Width {
    let expected = match limit {
        0 => bytes,
        limit => bytes.checked_div(objects).unwrap_or(0).saturating_mul(limit.min(objects)),
    };
    let seats = expected.div_ceil(BYTES_PER_SEAT).clamp(1, seats_max(nominal, LIST_SEATS_MAX));
    Width::seats(seats as u32)
}

/// A write that so many watchers are told of.
pub fn write(watchers: u64, nominal: u32) -> Width {
    if watchers == 0 {
        return Width::ONE;
    }
    let seats = watchers.div_ceil(WATCHERS_PER_SEAT).min(seats_max(nominal, WRITE_SEATS_MAX));
    // The same work, however many seats it is spread over.
    let lingers_ns = watchers * TELL_NS / WATCHERS_PER_SEAT / seats;
    Width { seats: 1, final_seats: seats as u32, lingers_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_wide_as_what_they_read() {
        assert_eq!(list(0, 0, 0, 100).seats, 1);
        assert_eq!(list(1000, 1_000_000, 0, 100).seats, 10);
        assert_eq!(list(1000, 1_000_000, 500, 100).seats, 5);
        assert_eq!(list(10, 1_000_000, 500, 100).seats, 10, "a limit beyond all objects is none");
        assert_eq!(list(1000, 1_000_000_000, 0, 100).seats, 15, "a seventh of the level");
        assert_eq!(list(1000, 1_000_000_000, 0, 10_000).seats, 100);
    }

    #[test]
    fn writes_linger_for_their_watchers() {
        assert_eq!(write(0, 100), Width::ONE);
        assert_eq!(write(20, 100), Width { seats: 1, final_seats: 2, lingers_ns: 5_000_000 });
        assert_eq!(write(1000, 100), Width { seats: 1, final_seats: 10, lingers_ns: 50_000_000 });
    }
}
