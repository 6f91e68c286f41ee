//! Durations as Go writes them: `5s`, `2m30s`, `1h`, `500ms`; a bare number is seconds.

use std::time::Duration;

use anyhow::{Context, bail};

pub fn parse(text: &str) -> anyhow::Result<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = 0.0;
    if rest.is_empty() || rest.starts_with('-') {
        bail!("invalid duration \"{text}\": expected for example 30s, 5m or 1h30m");
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits]
            .parse()
            .with_context(|| format!("invalid duration \"{text}\": expected for example 30s, 5m or 1h30m"))?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            unit => bail!("unknown unit \"{unit}\" in duration \"{text}\": expected h, m, s or ms"),
        };
        total += number * unit;
        rest = &rest[letters..];
    }
    Duration::try_from_secs_f64(total).with_context(|| format!("duration \"{text}\" is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, millis) in
            [("5s", 5_000), ("2m30s", 150_000), ("1h", 3_600_000), ("500ms", 500), ("7", 7_000), ("1.5m", 90_000)]
        {
            assert_eq!(parse(text).unwrap().as_millis(), millis, "{text}");
        }
        for text in ["", "5x", "s", "-1s", "1m2"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
