//! How long ago: the short spans of Table cells, `45s`, `2m5s`, `7h58m`, `3d5h`, `2y40d`.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A span of seconds with one or two units, as many as are worth reading at its size.
pub fn span(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    match seconds {
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => pair(seconds, MINUTE, "m", 1, "s"),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => pair(seconds, HOUR, "h", MINUTE, "m"),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => pair(seconds, DAY, "d", HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => pair(seconds, YEAR, "y", DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

fn pair(seconds: i64, large: i64, large_name: &str, small: i64, small_name: &str) -> String {
    let rest = seconds % large / small;
    if rest == 0 {
        format!("{}{large_name}", seconds / large)
    } else {
        format!("{}{large_name}{rest}{small_name}", seconds / large)
    }
}

/// The span since an RFC 3339 time; `<unknown>` where there is none.
pub fn since(time: Option<&str>, now: Timestamp) -> String {
    match time.and_then(parse) {
        Some(time) => span(now.as_second() - time.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// An RFC 3339 time.
pub fn parse(time: &str) -> Option<Timestamp> {
    time.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_uses_the_units_worth_reading() {
        let table =
            [(0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (601, "10m"), (10_799, "179m"), (10_900, "3h1m")];
        let long = [(28_900, "8h"), (172_800, "2d"), (277_200, "3d5h"), (63_054_000, "729d"), (252_288_100, "8y")];
        for (seconds, text) in table.into_iter().chain(long) {
            assert_eq!(span(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn a_clock_ahead_by_a_second_is_zero_and_by_more_is_invalid() {
        assert_eq!((span(-1), span(-2)), ("0s".to_owned(), "<invalid>".to_owned()));
    }
}
