//! meta/v1 `Time` and `MicroTime`: moments whose zero means "not set".
//!
//! Upstream writes an unset time as an empty message and every other with both fields, so the structs are written by
//! hand. JSON has whole seconds for `Time`, six fraction digits for `MicroTime`, always in UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::DecodeError;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, int32, int64, skip_field};

use crate::k8s::apimachinery::pkg::apis::meta::v1::{MicroTime_INFO, Time_INFO};

macro_rules! time {
    ($(#[$doc:meta])* $name:ident, $info:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            /// Since 1970-01-01T00:00:00Z.
            pub seconds: i64,
            pub nanos: i32,
        }

        impl $name {
            /// Not set: what upstream calls a zero time.
            pub fn is_zero(&self) -> bool {
                self.seconds == 0 && self.nanos == 0
            }

            /// Milliseconds since 1970.
            pub fn as_millis(&self) -> i64 {
                self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
            }

            /// The moment as the system clock counts; 1970 for one before it.
            pub fn to_system(&self) -> SystemTime {
                let seconds = u64::try_from(self.seconds).unwrap_or(0);
                let nanos = u32::try_from(self.nanos).unwrap_or(0).min(999_999_999);
                UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)).unwrap_or(UNIX_EPOCH)
            }
        }

        impl prost::Message for $name {
            fn encode_raw(&self, buf: &mut impl BufMut) {
                if !self.is_zero() {
                    int64::encode(1, &self.seconds, buf);
                    int32::encode(2, &self.nanos, buf);
                }
            }
            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                ctx: DecodeContext,
            ) -> Result<(), DecodeError> {
                match tag {
                    1 => int64::merge(wire_type, &mut self.seconds, buf, ctx),
                    2 => int32::merge(wire_type, &mut self.nanos, buf, ctx),
                    _ => skip_field(wire_type, tag, buf, ctx),
                }
            }
            fn encoded_len(&self) -> usize {
                if self.is_zero() {
                    return 0;
                }
                int64::encoded_len(1, &self.seconds) + int32::encoded_len(2, &self.nanos)
            }
            fn clear(&mut self) {
                *self = Self::default();
            }
        }

        crate::reflect! { $name, $info, 0 seconds, 1 nanos }
    };
}

time! {
    /// A moment with whole seconds.
    Time, Time_INFO
}

time! {
    /// A moment with microseconds.
    MicroTime, MicroTime_INFO
}

impl Time {
    /// Seconds since 1970.
    pub fn from_unix(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// The system clock's reading, cut to seconds.
    pub fn from_system(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// Reads RFC 3339; the fraction is dropped.
    pub fn parse(text: &str) -> Option<Self> {
        parse_rfc3339(text).map(|(seconds, _)| Self::from_unix(seconds))
    }
}

impl MicroTime {
    /// The system clock's reading, cut to microseconds.
    pub fn from_system(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = since.subsec_micros() * 1000;
        Self { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: nanos as i32 }
    }

    /// Reads RFC 3339 with exactly six fraction digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fraction = text.get(19..)?;
        let digits = fraction.strip_prefix('.')?.bytes().take_while(u8::is_ascii_digit).count();
        if digits != 6 {
            return None;
        }
        parse_rfc3339(text).map(|(seconds, nanos)| Self { seconds, nanos })
    }
}

impl From<Time> for MicroTime {
    fn from(time: Time) -> Self {
        Self { seconds: time.seconds, nanos: time.nanos }
    }
}

impl From<MicroTime> for Time {
    fn from(time: MicroTime) -> Self {
        Self::from_unix(time.seconds)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = civil(self.seconds);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Display for MicroTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = civil(self.seconds);
        let micros = self.nanos / 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.f]` and `Z` or an offset, to seconds since 1970 and nanoseconds.
fn parse_rfc3339(text: &str) -> Option<(i64, i32)> {
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() < 20 || separators.iter().any(|(at, byte)| bytes[*at] != *byte) {
        return None;
    }
    let year = digits(&bytes[0..4])?;
    let month = digits(&bytes[5..7]).filter(|month| (1..=12).contains(month))?;
    let day = digits(&bytes[8..10]).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    let hour = digits(&bytes[11..13]).filter(|hour| *hour < 24)?;
    let minute = digits(&bytes[14..16]).filter(|minute| *minute < 60)?;
    let second = digits(&bytes[17..19]).filter(|second| *second < 60)?;
    let (nanos, zone) = fraction(&bytes[19..])?;
    let local = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((local - offset(zone)?, nanos))
}

/// A fraction of a second where there is one, and what follows it.
fn fraction(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let mut nanos = digits(&rest[..count.min(9)])?;
    for _ in count..9 {
        nanos *= 10;
    }
    Some((i32::try_from(nanos).ok()?, &rest[count..]))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = digits(&[*h1, *h2]).filter(|hours| *hours < 24)?;
            let minutes = digits(&[*m1, *m2]).filter(|minutes| *minutes < 60)?;
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let mut value = 0_i64;
    for byte in bytes {
        value = value * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some(value)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar; years begin in March, so that a leap day is a year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month, day, hour, minute and second of a moment in UTC.
fn civil(seconds: i64) -> (i64, i64, i64, i64, i64, i64) {
    let days = seconds.div_euclid(86_400) + 719_468;
    let second_of_day = seconds.rem_euclid(86_400);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day, second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::{MicroTime, Time};

    #[test]
    fn known_moments_are_written_and_read() {
        for (seconds, text) in [
            (1, "1970-01-01T00:00:01Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_577_836_800, "2020-01-01T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(Time::from_unix(seconds).to_string(), text);
            assert_eq!(Time::parse(text), Some(Time::from_unix(seconds)), "{text}");
        }
    }

    #[test]
    fn offsets_are_applied_and_fractions_dropped() {
        let utc = Time::parse("2020-01-01T00:00:00Z");
        assert_eq!(Time::parse("2020-01-01T01:30:00.999+01:30"), utc);
        assert_eq!(Time::parse("2019-12-31T19:00:00-05:00"), utc);
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in [
            "",
            "2020-01-01",
            "2020-02-30T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:00:00",
            "2020-01-01 00:00:00Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
        assert_eq!(MicroTime::parse("2020-01-01T00:00:00.123Z"), None);
        assert_eq!(MicroTime::parse("2020-01-01T00:00:00Z"), None);
    }

    #[test]
    fn unset_is_empty_and_set_has_both_fields() {
        assert!(Time::default().encode_to_vec().is_empty());
        assert_eq!(Time::from_unix(5).encode_to_vec(), [8, 5, 16, 0]);
        let micro = MicroTime::parse("2020-01-01T00:00:00.000001Z").expect("a micro time");
        assert_eq!(micro.to_string(), "2020-01-01T00:00:00.000001Z");
        assert_eq!(MicroTime::decode(micro.encode_to_vec().as_slice()), Ok(micro));
    }
}
