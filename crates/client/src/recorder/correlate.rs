//! Which notes become Events, and which only count: pure.
//!
//! Upstream's three rules: an object's Events from one source are limited (25 at once, then one in five minutes); more
//! than ten different messages of one reason within ten minutes become one combined Event; an equal note only raises
//! the count of the Event that is there.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::core::v1::Event;
use proto::time::Time;
use serde_json::{Value, json};

use super::Note;

const SPAM_BURST: f64 = 25.0;
const SPAM_REFILL_PER_S: f64 = 1.0 / 300.0;
const SIMILAR_MAX: usize = 10;
const SIMILAR_WINDOW: Duration = Duration::from_secs(600);
/// What is remembered of each kind; beyond it, what was not used for an hour is forgotten.
const REMEMBERED_MAX: usize = 4096;
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// An Event to create, or where `patch` is given, to raise the count of (and to create where it is gone).
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub event: Event,
    pub patch: Option<Value>,
}

/// What was written so far.
#[derive(Debug, Default)]
pub struct Correlator {
    spam: HashMap<String, (f64, SystemTime)>,
    similar: HashMap<String, (HashSet<String>, SystemTime)>,
    written: HashMap<String, Event>,
}

impl Correlator {
    /// What to write for a note; none: nothing.
    pub fn record(&mut self, note: &Note) -> Option<Write> {
        self.forget_old(note.at);
        let object = object_key(note);
        if !self.admit(&object, note.at) {
            return None;
        }
        let group = format!("{object}\0{}\0{}", note.kind, note.reason);
        let combined = self.is_combined(&group, note);
        let (key, message) = if combined {
            (group, format!("(combined from similar events): {}", note.message))
        } else {
            (format!("{group}\0{}", note.message), note.message.clone())
        };
        let write = match self.written.get(&key) {
            Some(before) => repeated(before, message, note.at),
            None => Write { event: event(note, message), patch: None },
        };
        self.written.insert(key, write.event.clone());
        Some(write)
    }

    fn admit(&mut self, object: &str, now: SystemTime) -> bool {
        let (tokens, last) = self.spam.entry(object.to_owned()).or_insert((SPAM_BURST, now));
        let passed = now.duration_since(*last).unwrap_or_default().as_secs_f64();
        *tokens = (*tokens + passed * SPAM_REFILL_PER_S).min(SPAM_BURST);
        *last = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }

    fn is_combined(&mut self, group: &str, note: &Note) -> bool {
        let (messages, last) = self.similar.entry(group.to_owned()).or_insert((HashSet::new(), note.at));
        if note.at.duration_since(*last).unwrap_or_default() > SIMILAR_WINDOW {
            messages.clear();
        }
        *last = note.at;
        if messages.len() < SIMILAR_MAX || messages.contains(&note.message) {
            messages.insert(note.message.clone());
            return false;
        }
        true
    }

    fn forget_old(&mut self, now: SystemTime) {
        let fresh = |last: SystemTime| now.duration_since(last).unwrap_or_default() < REMEMBERED_FOR;
        if self.spam.len() > REMEMBERED_MAX {
            self.spam.retain(|_, (_, last)| fresh(*last));
        }
        if self.similar.len() > REMEMBERED_MAX {
            self.similar.retain(|_, (_, last)| fresh(*last));
        }
        if self.written.len() > REMEMBERED_MAX {
            self.written.retain(|_, event| fresh(event.last_timestamp.to_system()));
        }
        for full in [self.spam.len(), self.similar.len(), self.written.len()] {
            if full > 2 * REMEMBERED_MAX {
                *self = Self::default();
                return;
            }
        }
    }
}

fn object_key(note: &Note) -> String {
    let object = &note.involved;
    [
        &note.source.component,
        &note.source.host,
        &object.kind,
        &object.namespace,
        &object.name,
        &object.uid,
        &object.api_version,
        &object.field_path,
    ]
    .map(String::as_str)
    .join("\0")
}

fn event(note: &Note, message: String) -> Event {
    let mut event = Event::default();
    let nanos = note.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let namespace = if note.involved.namespace.is_empty() { "default" } else { &note.involved.namespace };
    event.metadata.namespace = namespace.to_owned();
    event.metadata.name = format!("{}.{nanos:x}", note.involved.name);
    event.involved_object = note.involved.clone();
    event.reason = note.reason.clone();
    event.message = message;
    event.source = note.source.clone();
    event.first_timestamp = Time::from_system(note.at);
    event.last_timestamp = event.first_timestamp;
    event.count = 1;
    event.r#type = note.kind.to_owned();
    event.reporting_component = note.source.component.clone();
    event.reporting_instance = note.source.host.clone();
    event
}

fn repeated(before: &Event, message: String, at: SystemTime) -> Write {
    let mut event = before.clone();
    event.count = event.count.saturating_add(1);
    event.last_timestamp = Time::from_system(at);
    event.message = message;
    let patch = json!({
        "count": event.count,
        "lastTimestamp": event.last_timestamp.to_string(),
        "message": event.message,
    });
    Write { event, patch: Some(patch) }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{EventSource, ObjectReference};

    use super::*;

    fn note(message: &str, second: u64) -> Note {
        Note {
            involved: ObjectReference {
                kind: "Pod".into(),
                name: "a".into(),
                namespace: "n".into(),
                ..Default::default()
            },
            source: EventSource { component: "test".into(), host: "h".into() },
            kind: "Normal",
            reason: "Tested".into(),
            message: message.into(),
            at: UNIX_EPOCH + Duration::from_secs(1_000_000 + second),
        }
    }

    #[test]
    fn equal_notes_raise_the_count_of_one_event() {
        let mut correlator = Correlator::default();
        let first = correlator.record(&note("x", 0)).expect("written");
        assert_eq!(first.patch, None);
        assert_eq!(first.event.count, 1);
        assert_eq!(first.event.reporting_component, "test");
        let second = correlator.record(&note("x", 9)).expect("written");
        assert_eq!(second.event.metadata.name, first.event.metadata.name);
        assert_eq!(second.patch.expect("a patch")["count"], 2);
        assert_eq!(second.event.first_timestamp, first.event.first_timestamp);
        assert_eq!(second.event.last_timestamp.seconds, 1_000_009);
    }

    #[test]
    fn many_similar_messages_become_one_event() {
        let mut correlator = Correlator::default();
        let mut names = HashSet::new();
        for index in 0..20 {
            let write = correlator.record(&note(&format!("message {index}"), 0)).expect("written");
            assert_eq!(write.event.message.starts_with("(combined"), index >= SIMILAR_MAX, "{index}");
            names.insert((write.event.message.starts_with("(combined"), write.patch.is_none()));
        }
        assert!(names.contains(&(true, false)), "the combined event is counted up");
    }

    #[test]
    fn object_is_limited_and_recovers() {
        let mut correlator = Correlator::default();
        let written = (0..100).filter(|_| correlator.record(&note("x", 0)).is_some()).count();
        assert_eq!(written, 25);
        assert!(correlator.record(&note("x", 299)).is_none());
        assert!(correlator.record(&note("x", 301)).is_some());
    }
}
