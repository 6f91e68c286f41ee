//! How a session ended, as its client reads it.

use proto::meta::v1::{Status, StatusCause, StatusDetails};

use crate::status::{Failure, chain};

/// The status of a process that ended, or that could not begin.
pub fn exited(code: i32) -> Status {
    if code == 0 {
        return Status { status: "Success".to_owned(), ..Status::default() };
    }
    let cause = StatusCause { reason: "ExitCode".to_owned(), message: code.to_string(), ..StatusCause::default() };
    Status {
        status: "Failure".to_owned(),
        reason: "NonZeroExitCode".to_owned(),
        message: format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        details: Some(StatusDetails { causes: vec![cause], ..StatusDetails::default() }),
        ..Status::default()
    }
}

/// What a kubelet refused, or what stood between it and us.
pub fn refused(error: &tonic::Status) -> Status {
    api::status::internal(told(error))
}

/// What a kubelet said, in one sentence.
pub fn told(error: &tonic::Status) -> String {
    match std::error::Error::source(error) {
        Some(_) => format!("the kubelet of the pod's node cannot be reached: {}", chain(error)),
        None => error.message().to_owned(),
    }
}

/// A kubelet's refusal as the answer to a request.
pub fn failure(error: &tonic::Status) -> Failure {
    match error.code() {
        _ if std::error::Error::source(error).is_some() => Failure::unavailable(told(error)),
        // It waits to start, it has ended: upstream's kubelets call that a bad request.
        tonic::Code::FailedPrecondition if error.details().is_empty() => Failure::bad_request(error.message()),
        _ => proto::rpc_status::from_tonic(error).into(),
    }
}

/// How a client wants to read the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A Status in JSON: since v4.
    Json,
    /// A text, and nothing for success.
    Text,
}

impl Form {
    /// The bytes; none: there is nothing to say.
    pub fn encode(self, status: &Status) -> Option<bytes::Bytes> {
        match self {
            Self::Json => Some(proto::json::to_vec(status).into()),
            Self::Text if status.status == "Success" => None,
            Self::Text => Some(status.message.clone().into_bytes().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_told_where_kubectl_looks_for_it() {
        let bytes = Form::Json.encode(&exited(7)).expect("a failure");
        let status: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0]["reason"], "ExitCode");
        assert_eq!(status["details"]["causes"][0]["message"], "7");
        let bytes = Form::Json.encode(&exited(0)).expect("a success");
        let status: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(status["status"], "Success");
        assert_eq!(Form::Text.encode(&exited(0)), None);
        assert!(Form::Text.encode(&exited(7)).is_some_and(|text| text.ends_with(b"exit code 7")));
    }

    #[test]
    fn a_kubelets_words_reach_the_client() {
        let refused = refused(&tonic::Status::failed_precondition("container not found (\"c\")"));
        assert_eq!(refused.message, "Internal error occurred: container not found (\"c\")");
        assert_eq!(failure(&tonic::Status::failed_precondition("it waits")).code(), 400);
        assert_eq!(failure(&tonic::Status::not_found("no such pod")).code(), 404);
    }
}
