//! The parts of times and durations.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::prelude::*;

const TIME: &str = "timestamp.() -> int | timestamp.(string) -> int";
const BOTH: &str = "timestamp.() -> int | timestamp.(string) -> int | duration.() -> int";

pub const ROWS: &[Row] = &[
    row!("getFullYear", TIME, Step, |_, args| part(args, |time| i64::from(time.year()))),
    row!("getMonth", TIME, Step, |_, args| part(args, |time| i64::from(time.month()) - 1)),
    row!("getDate", TIME, Step, |_, args| part(args, |time| i64::from(time.day()))),
    row!("getDayOfMonth", TIME, Step, |_, args| part(args, |time| i64::from(time.day()) - 1)),
    row!("getDayOfWeek", TIME, Step, |_, args| part(args, |time| i64::from(time.weekday().to_sunday_zero_offset()))),
    row!("getDayOfYear", TIME, Step, |_, args| part(args, |time| i64::from(time.day_of_year()) - 1)),
    row!("getHours", BOTH, Step, |_, args| either(args, 3_600_000_000_000, |time| i64::from(time.hour()))),
    row!("getMinutes", BOTH, Step, |_, args| either(args, 60_000_000_000, |time| i64::from(time.minute()))),
    row!("getSeconds", BOTH, Step, |_, args| either(args, 1_000_000_000, |time| i64::from(time.second()))),
    row!("getMilliseconds", BOTH, Step, |_, args| either(args, 1_000_000, |time| i64::from(time.millisecond()))),
];

fn either<'a>(args: &[Value<'a>], unit: i64, of_time: fn(&Zoned) -> i64) -> Outcome<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => part(args, of_time),
    }
}

fn part<'a>(args: &[Value<'a>], of_time: fn(&Zoned) -> i64) -> Outcome<'a> {
    let (time, zone) = match args {
        [Value::Timestamp(time)] => (*time, TimeZone::UTC),
        [Value::Timestamp(time), Value::String(zone)] => (*time, self::zone(zone)?),
        _ => return Err(Error::NoOverload),
    };
    let time: Timestamp = time;
    Ok(Value::Int(of_time(&time.to_zoned(zone))))
}

/// A time zone: an offset such as `-02:00`, or a name of the time zone database.
fn zone(text: &str) -> Result<TimeZone, Error> {
    if matches!(text, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let unknown = || Error::new(format!("unknown time zone {text}"));
    let Some((hours, minutes)) = text.split_once(':') else {
        return TimeZone::get(text).map_err(|_| unknown());
    };
    let (negative, hours) = match hours.strip_prefix('-') {
        Some(hours) => (true, hours),
        None => (false, hours.strip_prefix('+').unwrap_or(hours)),
    };
    let number = |text: &str, most: i32| {
        text.parse::<i32>().ok().filter(|value| (0..=most).contains(value) && text.len() <= 2).ok_or_else(unknown)
    };
    let seconds = number(hours, 23)? * 3600 + number(minutes, 59)? * 60;
    let offset = Offset::from_seconds(if negative { -seconds } else { seconds }).map_err(|_| unknown())?;
    Ok(TimeZone::fixed(offset))
}
