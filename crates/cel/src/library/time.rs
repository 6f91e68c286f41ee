//! Times and durations as texts.

use jiff::Timestamp;

use crate::error::Error;
use crate::value::Value;

/// Units of durations, in nanoseconds; longer names before those that they begin with.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// The years 1 to 9999, in seconds since 1970.
const FIRST: i128 = -62_135_596_800;
const LAST: i128 = 253_402_300_799;

/// A duration such as `1h2.5s`, in nanoseconds.
pub fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0_u128;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, nanos) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        rest = &after[unit.len()..];
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(whole.checked_mul(u128::from(*nanos))?)?;
        // More digits than a nanosecond has say nothing.
        let digits = fraction.get(..fraction.len().min(18))?;
        if !digits.is_empty() {
            let scale = 10_u128.pow(digits.len() as u32);
            sum = sum.checked_add(digits.parse::<u128>().ok()?.checked_mul(u128::from(*nanos))? / scale)?;
        }
    }
    let sum = i128::try_from(sum).ok()?;
    i64::try_from(if negative { -sum } else { sum }).ok()
}

/// A duration in seconds, as CEL writes it.
pub fn duration_text(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, rest) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
    let fraction = format!("{rest:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{seconds}s"),
        fraction => format!("{sign}{seconds}.{fraction}s"),
    }
}

/// A time in the form of RFC 3339, of a year that CEL knows.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    let fits = bytes.len() > shape.len()
        && bytes.iter().zip(shape).all(|(found, wanted)| match wanted {
            b'0' => found.is_ascii_digit(),
            other => found == other,
        });
    if !fits {
        return None;
    }
    let rest = &text[shape.len()..];
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|letter: char| !letter.is_ascii_digit()).filter(|end| *end > 0)?;
            &fraction[end..]
        }
        None => rest,
    };
    let offset = zone.as_bytes();
    let shape = b"+00:00";
    let numeric = offset.len() == shape.len()
        && matches!(offset[0], b'+' | b'-')
        && offset.iter().zip(shape).skip(1).all(
            |(found, wanted)| {
                if *wanted == b'0' { found.is_ascii_digit() } else { found == wanted }
            },
        );
    if zone != "Z" && !numeric {
        return None;
    }
    let time: Timestamp = match text.parse() {
        Ok(time) => time,
        // The last hours of the year 9999, which stand for "never", are later than any time that there is a type for.
        Err(_) if text.starts_with("9999-12-3") && text[..19].parse::<jiff::civil::DateTime>().is_ok() => {
            Timestamp::MAX
        }
        Err(_) => return None,
    };
    within(time.as_nanosecond()).then_some(time)
}

fn within(nanos: i128) -> bool {
    (FIRST..=LAST).contains(&nanos.div_euclid(1_000_000_000))
}

/// A time so many nanoseconds later.
pub fn moved<'a>(time: Timestamp, nanos: i128) -> Result<Value<'a>, Error> {
    let moved = time.as_nanosecond() + nanos;
    if !within(moved) {
        return Err(Error::TIMESTAMP_OVERFLOW);
    }
    Timestamp::from_nanosecond(moved).map(Value::Timestamp).map_err(|_| Error::TIMESTAMP_OVERFLOW)
}
