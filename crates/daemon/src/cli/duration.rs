//! Go's durations, as upstream's flags and files write them.

use std::time::Duration;

/// `15s`, `1m30s`, `500ms`, `2h`, or bare seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write 15s, 1m30s or 500ms");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let part = number * seconds(&rest[..end]).ok_or_else(wrong)?;
        rest = &rest[end..];
        let part = Duration::try_from_secs_f64(part).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    Ok(total)
}

/// The same in whole seconds, for settings that count no parts of one.
pub fn seconds_of(text: &str) -> Result<u64, String> {
    let duration = duration(text)?;
    match duration.subsec_nanos() {
        0 => Ok(duration.as_secs()),
        _ => Err(format!("{text:?}: parts of a second are not counted here")),
    }
}

fn seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos_or_bare_seconds() {
        for (text, ms) in [("15s", 15_000), ("1m30s", 90_000), ("1m0s", 60_000), ("500ms", 500), ("0", 0), ("7", 7000)]
        {
            assert_eq!(duration(text).expect(text).as_millis(), ms, "{text}");
        }
        for text in ["", "s", "1x", "15x", "5 minutes", "18446744073709551615m", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!((seconds_of("1m0s"), seconds_of("40")), (Ok(60), Ok(40)));
        assert!(seconds_of("500ms").is_err());
    }
}
