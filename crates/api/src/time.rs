//! Moments as objects hold them. No clock here: `now` is always passed in.

pub use proto::time::{MicroTime, Time};

/// Seconds from one moment to a later one; negative when it is earlier.
pub fn seconds_between(from: &Time, to: &Time) -> i64 {
    to.seconds.saturating_sub(from.seconds)
}

/// The moment so many seconds later.
pub fn plus_seconds(time: &Time, seconds: i64) -> Time {
    Time::from_unix(time.seconds.saturating_add(seconds))
}
