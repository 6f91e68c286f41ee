//! What a cron schedule and a time zone look like: five fields, or a word that stands for them.

/// The fields of a schedule: lowest value, highest, and names for some.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];
const WORDS: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
/// Where the zones of the IANA lie that have a region, and those that have none.
const REGIONS: &[&str] = &[
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Brazil",
    "Canada",
    "Chile",
    "Etc",
    "Europe",
    "Indian",
    "Mexico",
    "Pacific",
    "US",
];
const ZONES: &[&str] = &[
    "CET",
    "CST6CDT",
    "Cuba",
    "EET",
    "EST",
    "EST5EDT",
    "Egypt",
    "Eire",
    "Factory",
    "GB",
    "GB-Eire",
    "GMT",
    "GMT+0",
    "GMT-0",
    "GMT0",
    "Greenwich",
    "HST",
    "Hongkong",
    "Iceland",
    "Iran",
    "Israel",
    "Jamaica",
    "Japan",
    "Kwajalein",
    "Libya",
    "MET",
    "MST",
    "MST7MDT",
    "NZ",
    "NZ-CHAT",
    "Navajo",
    "PRC",
    "PST8PDT",
    "Poland",
    "Portugal",
    "ROC",
    "ROK",
    "Singapore",
    "Turkey",
    "UCT",
    "UTC",
    "Universal",
    "W-SU",
    "WET",
    "Zulu",
];

/// What is wrong with a schedule; `None`: nothing.
pub fn wrong_schedule(text: &str) -> Option<String> {
    let mut text = text;
    for prefix in ["TZ=", "CRON_TZ="] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let (zone, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            if wrong_zone(zone).is_some() {
                return Some(format!("provided bad location {zone}: unknown time zone {zone}"));
            }
            text = rest.trim();
            break;
        }
    }
    if text.is_empty() {
        return Some("empty spec string".to_owned());
    }
    if text.starts_with('@') {
        return wrong_word(text);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields.iter().zip(FIELDS).find_map(|(field, (min, max, names))| {
        field.split(',').filter(|part| !part.is_empty()).find_map(|part| wrong_part(part, min, max, names))
    })
}

fn wrong_word(text: &str) -> Option<String> {
    if WORDS.contains(&text) {
        return None;
    }
    match text.strip_prefix("@every ") {
        Some(period) if is_duration(period) => None,
        Some(_) => Some(format!("failed to parse duration {text}")),
        None => Some(format!("unrecognized descriptor: {text}")),
    }
}

/// `1h30m`: numbers, each with its unit.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let digits = &rest[..rest.len() - number.len()];
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"].iter().find(|unit| {
            number
                .strip_prefix(**unit)
                .is_some_and(|after| !after.starts_with(|letter: char| letter.is_ascii_alphabetic()))
        });
        let (Some(unit), true) = (unit, digits.bytes().any(|byte| byte.is_ascii_digit())) else { return false };
        rest = &number[unit.len()..];
        any = true;
    }
    any
}

/// One part of a field: `*`, a value or a range, each with a step or without.
fn wrong_part(part: &str, min: u32, max: u32, names: &[&str]) -> Option<String> {
    let pieces: Vec<&str> = part.split('/').collect();
    let ends: Vec<&str> = pieces[0].split('-').collect();
    let value = |text: &str| {
        let name = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match (name, text.parse::<i64>()) {
            (Some(at), _) => Ok(i64::try_from(at).unwrap_or_default() + i64::from(min)),
            (None, Ok(value)) if value < 0 => Err(format!("negative number ({value}) not allowed: {text}")),
            (None, Ok(value)) => Ok(value),
            (None, Err(_)) => Err(format!("failed to parse int from {text}")),
        }
    };
    let any = matches!(pieces[0], "*" | "?");
    let range = match ends.as_slice() {
        _ if any => Ok((i64::from(min), i64::from(max))),
        [one] => value(one).map(|one| (one, if pieces.len() > 1 { i64::from(max) } else { one })),
        [first, last] => value(first).and_then(|first| value(last).map(|last| (first, last))),
        _ => Err(format!("too many hyphens: {part}")),
    };
    let (first, last) = match range {
        Ok(range) => range,
        Err(why) => return Some(why),
    };
    match pieces.as_slice() {
        [_] => {}
        [_, step] => match value(step) {
            Ok(0) => return Some(format!("step of range should be a positive number: {part}")),
            Ok(_) => {}
            Err(why) => return Some(why),
        },
        _ => return Some(format!("too many slashes: {part}")),
    }
    if first < i64::from(min) {
        return Some(format!("beginning of range ({first}) below minimum ({min}): {part}"));
    }
    if last > i64::from(max) {
        return Some(format!("end of range ({last}) above maximum ({max}): {part}"));
    }
    (first > last).then(|| format!("beginning of range ({first}) beyond end of range ({last}): {part}"))
}

/// What is wrong with a time zone; `None`: nothing. Of a region's zones every well-formed name is taken for one.
pub fn wrong_zone(zone: &str) -> Option<String> {
    let explicit = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    if zone.is_empty() {
        return Some("timeZone must be nil or non-empty string".to_owned());
    }
    if zone.eq_ignore_ascii_case("local") {
        return Some(explicit.to_owned());
    }
    let well_formed = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        !part.is_empty() && part.len() <= 14 && part.bytes().all(allowed)
    };
    let known = match zone.split_once('/') {
        None => ZONES.contains(&zone),
        Some((region, rest)) => REGIONS.contains(&region) && rest.split('/').all(well_formed),
    };
    (!known).then(|| format!("unknown time zone {zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_fields_or_a_word() {
        for text in
            ["* * * * *", "*/5 0-6 1,15 jan-MAR sun", "5/15 ? * * 6", "@hourly", "@every 1h30m", "TZ=UTC 0 0 * * *"]
        {
            assert_eq!(wrong_schedule(text), None, "{text}");
        }
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* 5-2 * * *",
            "*/0 * * * *",
            "@never",
            "@every x",
            "a * * * *",
            "1/2/3 * * * *",
            "1-2-3 * * * *",
            "* * 0 * *",
        ] {
            assert!(wrong_schedule(text).is_some(), "{text}");
        }
    }

    #[test]
    fn zones_are_those_of_the_iana() {
        for zone in ["UTC", "Europe/Zurich", "America/Argentina/Ushuaia", "Etc/GMT+5"] {
            assert_eq!(wrong_zone(zone), None, "{zone}");
        }
        for zone in ["", "local", "Nowhere/Town", "CEST", "Europe/", "Europe/A B"] {
            assert!(wrong_zone(zone).is_some(), "{zone}");
        }
    }
}
