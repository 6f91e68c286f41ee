//! PodLogOptions of a query, validated as upstream validates them.

use proto::keelson::api::v1::{LogsRequest, PodRef};
use proto::meta::v1::{StatusCause, Time};

use crate::rest::query::Query;
use crate::status::{Failure, Result, cause};

/// Reads `GET pods/NAME/log`.
///
/// # Errors
/// 400 where a value is not of its type, 422 (PodLogOptions is invalid) where it makes no sense. `stream` is refused, as
/// upstream refuses it without the feature gate PodLogsQuerySplitStreams. `insecureSkipTLSVerifyBackend` has no effect.
pub fn parse(pod: PodRef, query: &str) -> Result<LogsRequest> {
    let query = Query::parse(query);
    let request = LogsRequest {
        container: query.text("container").to_owned(),
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        since_seconds: query.number("sinceSeconds")?,
        since_time: since_time(query.given("sinceTime").unwrap_or_default())?,
        timestamps: query.flag("timestamps"),
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        pod: Some(pod),
    };
    let causes = causes(&request, query.given("stream").is_some());
    let name = request.pod.as_ref().map(|pod| pod.name.as_str()).unwrap_or_default();
    if causes.is_empty() { Ok(request) } else { Err(Failure::invalid("", "PodLogOptions", name, causes)) }
}

/// The empty text and `null` are no time.
fn since_time(text: &str) -> Result<String> {
    match text {
        "" | "null" => Ok(String::new()),
        text if Time::parse(text).is_some() => Ok(text.to_owned()),
        text => Err(Failure::bad_request(format!("sinceTime: \"{text}\" is no time as 2006-01-02T15:04:05Z07:00"))),
    }
}

fn causes(request: &LogsRequest, stream: bool) -> Vec<StatusCause> {
    let mut causes = Vec::new();
    let invalid = |field: &str, value: i64, why: &str| {
        cause("FieldValueInvalid", field, format!("Invalid value: {value}: {why}"))
    };
    if let Some(lines) = request.tail_lines.filter(|lines| *lines < 0) {
        causes.push(invalid("tailLines", lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = request.limit_bytes.filter(|bytes| *bytes < 1) {
        causes.push(invalid("limitBytes", bytes, "must be greater than 0"));
    }
    match request.since_seconds {
        Some(_) if !request.since_time.is_empty() => {
            let why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
            causes.push(cause("FieldValueForbidden", "[]", why));
        }
        Some(seconds) if seconds < 1 => causes.push(invalid("sinceSeconds", seconds, "must be greater than 0")),
        _ => {}
    }
    if stream {
        causes.push(cause("FieldValueForbidden", "stream", "Forbidden: may not be specified"));
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<LogsRequest> {
        parse(PodRef { name: "p".into(), namespace: "default".into(), ..Default::default() }, query)
    }

    #[test]
    fn every_option_is_passed_on() {
        let query = "container=c&follow=true&previous=1&sinceSeconds=5&timestamps=&tailLines=0&limitBytes=7\
                     &insecureSkipTLSVerifyBackend=true";
        let request = read(query).expect("good options");
        let expect = LogsRequest {
            pod: Some(PodRef { name: "p".into(), namespace: "default".into(), ..Default::default() }),
            container: "c".into(),
            follow: true,
            previous: true,
            since_seconds: Some(5),
            since_time: String::new(),
            timestamps: true,
            tail_lines: Some(0),
            limit_bytes: Some(7),
        };
        assert_eq!(request, expect);
        let since = read("sinceTime=2020-01-01T00:00:00%2B02:00").expect("a time");
        assert_eq!(since.since_time, "2020-01-01T00:00:00+02:00");
        assert_eq!(read("sinceTime=null").expect("none").since_time, "");
    }

    #[test]
    fn values_that_make_no_sense_are_told_together() {
        let failure = read("tailLines=-1&limitBytes=0&sinceSeconds=0&stream=Stdout").expect_err("nonsense");
        assert_eq!((failure.code(), failure.reason()), (422, "Invalid"));
        let details = failure.0.details.expect("details");
        let fields: Vec<&str> = details.causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(fields, ["tailLines", "limitBytes", "sinceSeconds", "stream"]);
        assert_eq!((details.kind.as_str(), details.name.as_str()), ("PodLogOptions", "p"));
        assert_eq!(details.causes[0].message, "Invalid value: -1: must be greater than or equal to 0");
        let both = read("sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z").expect_err("both").to_string();
        assert!(both.contains("at most one of `sinceTime` or `sinceSeconds`"), "{both}");
    }

    #[test]
    fn values_of_another_type_are_a_bad_request() {
        for query in ["tailLines=all", "limitBytes=1k", "sinceSeconds=", "sinceTime=yesterday"] {
            assert_eq!(read(query).expect_err(query).code(), 400, "{query}");
        }
    }
}
