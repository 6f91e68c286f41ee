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
