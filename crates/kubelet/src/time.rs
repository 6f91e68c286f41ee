//! Time as the planner sees it: nanoseconds since 1970, passed in; only [`now`] looks at the clock.

use proto::meta::v1::{MicroTime, Time};

/// Nanoseconds since 1970.
pub type Nanos = i64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;
pub const MINUTE: Nanos = 60 * SECOND;
pub const HOUR: Nanos = 60 * MINUTE;

/// The clock on the wall.
pub fn now() -> Nanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as Nanos)
}

pub fn from_parts(seconds: i64, nanos: i32) -> Nanos {
    seconds.saturating_mul(SECOND).saturating_add(nanos.into())
}

/// As objects carry it: whole seconds.
pub fn to_meta(at: Nanos) -> Time {
    Time { seconds: at.div_euclid(SECOND), nanos: 0 }
}

/// Microseconds, as leases carry it.
pub fn to_micro(at: Nanos) -> MicroTime {
    MicroTime { seconds: at.div_euclid(SECOND), nanos: (at.rem_euclid(SECOND) / 1000 * 1000) as i32 }
}

pub fn from_meta(time: &Time) -> Nanos {
    from_parts(time.seconds, 0)
}

/// What is left until `at`, never negative.
pub fn until(at: Nanos, now: Nanos) -> std::time::Duration {
    std::time::Duration::from_nanos(at.saturating_sub(now).max(0) as u64)
}

/// RFC 3339 in UTC with nine digits of a second, as CRI logs are stamped.
pub fn rfc3339_nanos(at: Nanos) -> String {
    let (year, month, day, hour, minute, second) = civil(at.div_euclid(SECOND));
    let nanos = at.rem_euclid(SECOND);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// RFC 3339 in UTC, whole seconds.
pub fn rfc3339(at: Nanos) -> String {
    let (year, month, day, hour, minute, second) = civil(at.div_euclid(SECOND));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads what [`rfc3339_nanos`] and other RFC 3339 writers produce.
pub fn parse_rfc3339(text: &str) -> Option<Nanos> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut rest = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let nine: String = fraction[..digits].chars().chain(std::iter::repeat('0')).take(9).collect();
        nanos = nine.parse().ok()?;
        rest = &fraction[digits..];
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = (rest.get(1..3)?.parse::<i64>().ok()?, rest.get(4..6)?.parse::<i64>().ok()?);
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds.checked_mul(SECOND)? + nanos)
}

/// The Gregorian date and time of day of a second since 1970.
fn civil(seconds: i64) -> (i64, i64, i64, i64, i64, i64) {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March put the leap day last; 400 of them repeat.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339_nanos(1_709_210_096_000_000_007), "2024-02-29T12:34:56.000000007Z");
        assert_eq!(parse_rfc3339("2024-02-29T14:34:56.5+02:00"), Some(1_709_210_096_500_000_000));
    }

    proptest! {
        #[test]
        fn every_time_reads_back(at in 0i64..4_000_000_000_000_000_000) {
            prop_assert_eq!(parse_rfc3339(&rfc3339_nanos(at)), Some(at));
        }
    }
}
