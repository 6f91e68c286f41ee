//! meta/v1 `Status`: the answers that tell a client what went wrong.
//!
//! Codes, reasons and details are upstream's; texts that clients match on are upstream's too.

use proto::meta::v1::{Status, StatusCause, StatusDetails};

/// A group and resource as errors name it: `deployments.apps`, `pods`.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// What an error is about. For [`invalid`] `kind` is the Kind, for all others the plural resource.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    pub group: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
}

impl<'a> Subject<'a> {
    pub fn new(group: &'a str, kind: &'a str, name: &'a str) -> Self {
        Self { group, kind, name }
    }

    fn qualified(&self) -> String {
        qualified(self.group, self.kind)
    }

    fn details(&self) -> Option<StatusDetails> {
        Some(StatusDetails {
            name: self.name.to_owned(),
            group: self.group.to_owned(),
            kind: self.kind.to_owned(),
            ..StatusDetails::default()
        })
    }
}

/// Upstream's text of a lost race for an object.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// A failure with a reason, a code and a text.
pub fn failure(code: i32, reason: &str, message: impl Into<String>) -> Status {
    Status {
        status: "Failure".to_owned(),
        message: message.into(),
        reason: reason.to_owned(),
        code,
        ..Status::default()
    }
}

fn about(code: i32, reason: &str, subject: Subject<'_>, message: String) -> Status {
    Status { details: subject.details(), ..failure(code, reason, message) }
}

/// Success without an object.
pub fn success() -> Status {
    Status { status: "Success".to_owned(), code: 200, ..Status::default() }
}

/// What a deletion answers once the object is gone.
pub fn deleted(subject: Subject<'_>, uid: &str) -> Status {
    let mut details = subject.details().unwrap_or_default();
    details.uid = uid.to_owned();
    Status { status: "Success".to_owned(), details: Some(details), ..Status::default() }
}

pub fn not_found(subject: Subject<'_>) -> Status {
    about(404, "NotFound", subject, format!("{} {} not found", subject.qualified(), quoted(subject.name)))
}

/// No such path or resource at all.
pub fn no_such_resource() -> Status {
    let mut status = failure(404, "NotFound", "the server could not find the requested resource");
    status.details = Some(StatusDetails::default());
    status
}

pub fn already_exists(subject: Subject<'_>) -> Status {
    about(409, "AlreadyExists", subject, format!("{} {} already exists", subject.qualified(), quoted(subject.name)))
}

/// Every generated name was taken.
pub fn generate_name_conflict(subject: Subject<'_>) -> Status {
    let message = format!(
        "{} {} already exists, the server was not able to generate a unique name for the object",
        subject.qualified(),
        quoted(subject.name)
    );
    retry_after(about(409, "AlreadyExists", subject, message), 1)
}

/// The write does not apply to the object as it is.
pub fn conflict(subject: Subject<'_>, why: &str) -> Status {
    let message = format!("Operation cannot be fulfilled on {} {}: {why}", subject.qualified(), quoted(subject.name));
    about(409, "Conflict", subject, message)
}

/// Someone else changed the object first.
pub fn modified(subject: Subject<'_>) -> Status {
    conflict(subject, MODIFIED)
}

pub fn forbidden(subject: Subject<'_>, why: &str) -> Status {
    let message = match (subject.kind, subject.name) {
        ("", _) => format!("forbidden: {why}"),
        (_, "") => format!("{} is forbidden: {why}", subject.qualified()),
        (_, name) => format!("{} {} is forbidden: {why}", subject.qualified(), quoted(name)),
    };
    about(403, "Forbidden", subject, message)
}

pub fn unauthorized() -> Status {
    failure(401, "Unauthorized", "Unauthorized")
}

pub fn bad_request(message: impl Into<String>) -> Status {
    failure(400, "BadRequest", message)
}

/// Validation refused the object. `subject.kind` is the Kind.
pub fn invalid(subject: Subject<'_>, causes: Vec<StatusCause>) -> Status {
    let texts: Vec<String> = causes.iter().map(cause_text).collect();
    let list = match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", unique(many).join(", ")),
    };
    let message = format!("{} {} is invalid: {list}", subject.qualified(), quoted(subject.name));
    let mut status = about(422, "Invalid", subject, message);
    if let Some(details) = &mut status.details {
        details.causes = causes;
    }
    status
}

fn cause_text(cause: &StatusCause) -> String {
    match cause.field.as_str() {
        "" => cause.message.clone(),
        field => format!("{field}: {}", cause.message),
    }
}

fn unique(texts: &[String]) -> Vec<&str> {
    let mut seen: Vec<&str> = Vec::new();
    for text in texts {
        if !seen.contains(&text.as_str()) {
            seen.push(text);
        }
    }
    seen
}

/// The revision asked for was compacted.
pub fn expired(message: impl Into<String>) -> Status {
    failure(410, "Expired", message)
}

/// A watch or list from a revision that is no longer held.
pub fn too_old(asked: i64, oldest: i64) -> Status {
    expired(format!("too old resource version: {asked} ({oldest})"))
}

pub fn gone(message: impl Into<String>) -> Status {
    failure(410, "Gone", message)
}

/// The revision asked for lies in the future.
pub fn too_large_resource_version(asked: i64, current: i64) -> Status {
    let mut status = retry_after(
        failure(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}")),
        1,
    );
    if let Some(details) = &mut status.details {
        details.causes.push(StatusCause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            ..StatusCause::default()
        });
    }
    status
}

pub fn timeout(message: &str, retry_after_seconds: i32) -> Status {
    retry_after(failure(504, "Timeout", format!("Timeout: {message}")), retry_after_seconds)
}

pub fn server_timeout(subject: Subject<'_>, verb: &str, retry_after_seconds: i32) -> Status {
    let message = format!(
        "The {verb} operation against {} could not be completed at this time, please try again.",
        subject.qualified()
    );
    retry_after(about(500, "ServerTimeout", subject, message), retry_after_seconds)
}

pub fn too_many_requests(message: &str, retry_after_seconds: i32) -> Status {
    retry_after(failure(429, "TooManyRequests", message), retry_after_seconds)
}

pub fn unavailable(message: impl Into<String>) -> Status {
    failure(503, "ServiceUnavailable", message)
}

pub fn internal(error: impl std::fmt::Display) -> Status {
    let error = error.to_string();
    let mut status = failure(500, "InternalError", format!("Internal error occurred: {error}"));
    let cause = StatusCause { message: error, ..StatusCause::default() };
    status.details = Some(StatusDetails { causes: vec![cause], ..StatusDetails::default() });
    status
}

pub fn method_not_supported(group: &str, resource: &str, verb: &str) -> Status {
    let subject = Subject::new(group, resource, "");
    let message = format!("{verb} is not supported on resources of kind {}", quoted(&subject.qualified()));
    about(405, "MethodNotAllowed", subject, message)
}

pub fn request_too_large(message: &str) -> Status {
    failure(413, "RequestEntityTooLarge", format!("Request entity is too large: {message}"))
}

pub fn unsupported_media_type(message: impl Into<String>) -> Status {
    failure(415, "UnsupportedMediaType", message)
}

pub fn not_acceptable(message: impl Into<String>) -> Status {
    failure(406, "NotAcceptable", message)
}

pub fn not_implemented(message: impl Into<String>) -> Status {
    failure(501, "NotImplemented", message)
}

/// The same answer with the advice to come back.
pub fn retry_after(mut status: Status, seconds: i32) -> Status {
    status.details.get_or_insert_with(StatusDetails::default).retry_after_seconds = seconds;
    status
}

/// A text in quotes, quotes and backslashes in it escaped.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_qualified_resource() {
        let subject = Subject::new("apps", "deployments", "web");
        assert_eq!(not_found(subject).message, "deployments.apps \"web\" not found");
        assert_eq!(already_exists(Subject::new("", "pods", "p")).message, "pods \"p\" already exists");
        assert_eq!(
            modified(subject).message,
            "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again"
        );
        let cause = |field: &str| StatusCause {
            field: field.to_owned(),
            message: "Required value".to_owned(),
            reason: "FieldValueRequired".to_owned(),
        };
        let one = invalid(Subject::new("", "Pod", "p"), vec![cause("spec.containers")]);
        assert_eq!(one.message, "Pod \"p\" is invalid: spec.containers: Required value");
        assert_eq!(one.details.map(|details| details.causes.len()), Some(1));
        let two = invalid(Subject::new("", "Pod", "p"), vec![cause("a"), cause("b")]);
        assert_eq!(two.message, "Pod \"p\" is invalid: [a: Required value, b: Required value]");
    }
}
