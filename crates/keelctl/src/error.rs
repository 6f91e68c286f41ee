//! How a command ends badly: what the server said, or an exit code of its own.

use proto::meta::v1::Status;

/// The server's refusal, as its Status says it.
#[derive(Debug, Clone)]
pub struct Refused(pub Box<Status>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = &self.0;
        let message = if status.message.is_empty() { "the server gave no reason" } else { &status.message };
        match status.reason.as_str() {
            "Unauthorized" => write!(f, "error: You must be logged in to the server ({message})"),
            "" | "Unknown" => write!(f, "Error from server: {message}"),
            reason => write!(f, "Error from server ({reason}): {message}"),
        }
    }
}

impl std::error::Error for Refused {}

/// A command that ends with a code of its own; the message may be empty.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Exit {
    pub code: u8,
    pub message: String,
}

/// Where the connection itself failed; the message is complete.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// The server's reason, where the server refused.
pub fn reason(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| cause.downcast_ref::<Refused>()).map(|refused| refused.0.reason.as_str())
}

/// Whether the refusal names a cause of that type.
pub fn has_cause(error: &anyhow::Error, cause: &str) -> bool {
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<Refused>());
    let details = refused.and_then(|refused| refused.0.details.as_ref());
    details.is_some_and(|details| details.causes.iter().any(|found| found.reason == cause))
}

pub fn is_not_found(error: &anyhow::Error) -> bool {
    reason(error) == Some("NotFound")
}

pub fn is_conflict(error: &anyhow::Error) -> bool {
    reason(error) == Some("Conflict")
}

/// What was asked for is too old: a watch, or the next page of a list.
pub fn is_expired(error: &anyhow::Error) -> bool {
    matches!(reason(error), Some("Expired" | "Gone"))
}

pub fn is_already_exists(error: &anyhow::Error) -> bool {
    reason(error) == Some("AlreadyExists")
}

/// The line or lines that a person sees.
pub fn text(error: &anyhow::Error) -> String {
    let whole = |cause: &&(dyn std::error::Error + 'static)| {
        cause.is::<Refused>() || cause.is::<Unreachable>() || cause.is::<Exit>()
    };
    let Some(found) = error.chain().find(whole).map(ToString::to_string) else {
        return format!("error: {error:#}");
    };
    let context: Vec<String> = error.chain().map(ToString::to_string).take_while(|text| *text != found).collect();
    if context.is_empty() { found } else { format!("{found} ({})", context.join(": ")) }
}

/// The exit code that goes with an error.
pub fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(|cause| cause.downcast_ref::<Exit>()).map_or(1, |exit| exit.code)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_refusal_reads_as_kubectl_prints_it() {
        let status =
            Status { reason: "NotFound".into(), message: "pods \"nope\" not found".into(), ..Status::default() };
        let error = anyhow::Error::new(Refused(Box::new(status)));
        assert_eq!(text(&error), "Error from server (NotFound): pods \"nope\" not found");
        assert!(is_not_found(&error) && code(&error) == 1);
        let error = Err::<(), _>(error).context("when creating \"x.yaml\"").unwrap_err();
        assert_eq!(text(&error), "Error from server (NotFound): pods \"nope\" not found (when creating \"x.yaml\")");
    }

    #[test]
    fn other_errors_begin_with_error_and_name_their_causes() {
        let error = Err::<(), _>(anyhow::anyhow!("cause")).context("what").unwrap_err();
        assert_eq!(text(&error), "error: what: cause");
    }
}
