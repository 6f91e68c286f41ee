//! The events at the end of a description.

use jiff::Timestamp;
use serde_json::Value;

use super::{Text, ago, int_at, str_at};

/// When an event was last seen.
pub fn last_seen(event: &Value) -> Option<&str> {
    ["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime", "/firstTimestamp"]
        .into_iter()
        .find_map(|path| str_at(event, path))
        .or_else(|| str_at(event, "/metadata/creationTimestamp"))
}

pub fn first_seen(event: &Value) -> Option<&str> {
    ["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"].into_iter().find_map(|path| str_at(event, path))
}

/// How often an event was seen.
pub fn count(event: &Value) -> i64 {
    ["/series/count", "/count", "/deprecatedCount"]
        .into_iter()
        .map(|path| int_at(event, path))
        .find(|count| *count > 0)
        .unwrap_or(1)
}

/// `18s (x3 over 34s)`, or only `18s`.
pub fn interval(event: &Value, now: Timestamp) -> String {
    let last = ago(last_seen(event), now);
    match count(event) {
        1 => ago(first_seen(event).or_else(|| last_seen(event)), now),
        count => format!("{last} (x{count} over {})", ago(first_seen(event).or_else(|| last_seen(event)), now)),
    }
}

pub fn message(event: &Value) -> String {
    let text = ["/message", "/note"].into_iter().find_map(|path| str_at(event, path)).unwrap_or_default();
    text.trim().split('\n').collect::<Vec<_>>().join(" ")
}

pub fn source(event: &Value) -> &str {
    ["/source/component", "/reportingComponent", "/reportingController", "/deprecatedSource/component"]
        .into_iter()
        .find_map(|path| str_at(event, path).filter(|text| !text.is_empty()))
        .unwrap_or_default()
}

/// Events in order of when they were last seen.
pub fn sorted(events: &[Value]) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = events.iter().collect();
    sorted.sort_by_key(|event| last_seen(event).and_then(|time| time.parse::<Timestamp>().ok()));
    sorted
}

pub fn events(out: &mut Text, events: &[Value], now: Timestamp) {
    if events.is_empty() {
        return out.pair(0, "Events", "<none>");
    }
    out.line(0, "Events:");
    out.line(1, "Type\tReason\tAge\tFrom\tMessage");
    out.line(1, "----\t------\t----\t----\t-------");
    for event in sorted(events) {
        let text = |path: &str| str_at(event, path).unwrap_or_default();
        // A message about one container says which.
        let part = str_at(event, "/involvedObject/fieldPath").or_else(|| str_at(event, "/regarding/fieldPath"));
        let part = part.filter(|part| !part.is_empty()).map(|part| format!("{part}: ")).unwrap_or_default();
        out.line(
            1,
            format!(
                "{}\t{}\t{}\t{}\t{part}{}",
                text("/type"),
                text("/reason"),
                interval(event, now),
                source(event),
                message(event)
            ),
        );
    }
}
