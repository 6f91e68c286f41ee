//! How long a request may take, as its client says in the query: `timeout=30s`, as Go writes durations.

use std::time::Duration;

use super::query::Query;
use crate::status::{Failure, Result};

/// What the query says, at most what the server allows.
pub fn of(query: &Query<'_>, max: Duration) -> Result<Duration> {
    match query.text("timeout") {
        "" => Ok(max),
        text => match parse(text) {
            // As upstream: no time is all of it.
            Ok(given) if given <= 0.0 => Ok(max),
            Ok(given) => Ok(Duration::try_from_secs_f64(given).unwrap_or(max).min(max)),
            Err(why) => {
                Err(Failure::bad_request(format!("invalid timeout specified in the request URL - time: {why}")))
            }
        },
    }
}

/// Seconds.
fn parse(text: &str) -> std::result::Result<f64, String> {
    let invalid = || format!("invalid duration \"{text}\"");
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Ok(0.0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
        let end = rest.find(|letter| !is_number(letter)).unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(is_number).unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "" => return Err(format!("missing unit in duration \"{text}\"")),
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                unit => return Err(format!("unknown unit \"{unit}\" in duration \"{text}\"")),
            };
        rest = &rest[end..];
    }
    Ok(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expect: std::result::Result<Duration, &str>) {
        let found = of(&Query::parse(query), Duration::from_secs(60));
        match expect {
            Ok(expect) => assert_eq!(found.expect("a duration"), expect, "{query}"),
            Err(expect) => {
                let refused = found.expect_err(query);
                assert_eq!(refused.code(), 400);
                let begin = "invalid timeout specified in the request URL - time: ";
                assert_eq!(refused.0.message.strip_prefix(begin), Some(expect));
            }
        }
    }

    #[test]
    fn durations_are_gos_and_bounded() {
        check("", Ok(Duration::from_secs(60)));
        check("timeout=", Ok(Duration::from_secs(60)));
        check("timeout=1m30s", Ok(Duration::from_secs(60)));
        check("timeout=1.5s", Ok(Duration::from_millis(1500)));
        check("timeout=250ms", Ok(Duration::from_millis(250)));
        check("timeout=0", Ok(Duration::from_secs(60)));
        check("timeout=-5s", Ok(Duration::from_secs(60)));
        check("timeout=5", Err("missing unit in duration \"5\""));
        check("timeout=soon", Err("invalid duration \"soon\""));
        check("timeout=5y", Err("unknown unit \"y\" in duration \"5y\""));
    }
}
