//! Validation of Events, judged by the version they came in.

use proto::{core, events};

use super::check::{Errors, one_of, required, shape};
use super::{FieldError, Path};
use crate::name;

const REPORTER_BYTES_MAX: usize = 128;
const NOTE_BYTES_MAX: usize = 1024;

/// core/v1 asks only that the event lives where its object lives.
pub fn core_event(errors: &mut Errors, event: &core::v1::Event) {
    same_namespace(errors, "involvedObject", &event.metadata.namespace, &event.involved_object.namespace);
}

fn same_namespace(errors: &mut Errors, field: &str, own: &str, object: &str) {
    let fits = if object.is_empty() { matches!(own, "" | "default" | "kube-system") } else { own == object };
    if !fits {
        let path = Path::root(field);
        errors.push(FieldError::invalid(path.child("namespace"), object, "does not match event.namespace"));
    }
}

/// events.k8s.io/v1 wants a time, a reporter and a reason.
pub fn event(errors: &mut Errors, event: &events::v1::Event) {
    same_namespace(errors, "involvedObject", &event.metadata.namespace, &event.regarding.namespace);
    if event.event_time.is_zero() {
        errors.push(FieldError::required(Path::root("eventTime"), ""));
    }
    let reporter = Path::root("reportingController");
    required(errors, reporter, &event.reporting_controller);
    shape(errors, reporter, &event.reporting_controller, name::qualified_name);
    let instance = Path::root("reportingInstance");
    required(errors, instance, &event.reporting_instance);
    for (path, text) in [
        (instance, &event.reporting_instance),
        (Path::root("action"), &event.action),
        (Path::root("reason"), &event.reason),
    ] {
        if text.len() > REPORTER_BYTES_MAX {
            errors.push(FieldError::invalid(path, "", format!("can have at most {REPORTER_BYTES_MAX} characters")));
        }
    }
    required(errors, Path::root("action"), &event.action);
    required(errors, Path::root("reason"), &event.reason);
    if event.note.len() > NOTE_BYTES_MAX {
        errors.push(FieldError::invalid(Path::root("message"), "", "can have at most 1024 characters"));
    }
    one_of(errors, Path::root("type"), &event.r#type, &["Normal", "Warning"]);
}

/// An event of events.k8s.io/v1 tells of what happened: only its series goes on.
#[allow(deprecated)] // what older reporters fill in is fixed as well
pub fn update(errors: &mut Errors, new: &events::v1::Event, old: &events::v1::Event) {
    event(errors, new);
    let mut fixed = |field: &'static str, same: bool| {
        if !same {
            errors.push(FieldError::invalid(Path::root(field), "", "field is immutable"));
        }
    };
    fixed("involvedObject", new.regarding == old.regarding);
    fixed("reason", new.reason == old.reason);
    fixed("message", new.note == old.note);
    fixed("source", new.deprecated_source == old.deprecated_source);
    fixed("firstTimestamp", new.deprecated_first_timestamp == old.deprecated_first_timestamp);
    fixed("lastTimestamp", new.deprecated_last_timestamp == old.deprecated_last_timestamp);
    fixed("count", new.deprecated_count == old.deprecated_count);
    fixed("type", new.r#type == old.r#type);
    // Clients that send an event as JSON cut its time to microseconds.
    let micros = |event: &events::v1::Event| (event.event_time.seconds, event.event_time.nanos / 1000);
    fixed("eventTime", micros(new) == micros(old));
    fixed("action", new.action == old.action);
    fixed("related", new.related == old.related);
    fixed("reportingController", new.reporting_controller == old.reporting_controller);
    fixed("reportingInstance", new.reporting_instance == old.reporting_instance);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_series_of_an_event_goes_on() {
        let old = events::v1::Event {
            event_time: proto::meta::v1::MicroTime { seconds: 5, nanos: 7 },
            reporting_controller: "example.com/c".into(),
            reporting_instance: "i".into(),
            action: "a".into(),
            reason: "r".into(),
            r#type: "Normal".into(),
            ..Default::default()
        };
        let fields = |new: &events::v1::Event| {
            let mut errors = Errors::default();
            update(&mut errors, new, &old);
            errors.iter().map(|error| error.cause().field).collect::<Vec<_>>()
        };
        let mut new = old.clone();
        new.series = Some(events::v1::EventSeries { count: 2, ..Default::default() });
        new.event_time.nanos = 0;
        assert!(fields(&new).is_empty(), "{:?}", fields(&new));
        new.reason = "another".into();
        new.note = "another".into();
        assert_eq!(fields(&new), ["reason", "message"]);
    }
}
