//! The options of a request in its query.

use std::borrow::Cow;

use crate::status::{Failure, Result, cause};
use crate::verbs::list::ListOptions;
use crate::verbs::options::{self, DeleteOptions, FieldValidation, Propagation, WriteOptions};
use crate::verbs::watch::WatchOptions;

/// A query, read once. Of a name that is given twice the first value counts, as upstream.
#[derive(Debug, Default)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads what follows the question mark.
    pub fn parse(text: &'a str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).collect())
    }

    /// The first value of that name; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The first value of that name.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// All values of that name, in order.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// A boolean as upstream reads it: given is true, but for "false" and "0".
    pub fn flag(&self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// The same, `None` where it is not given.
    pub fn optional_flag(&self, name: &str) -> Option<bool> {
        self.given(name).map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A whole number. Refused as upstream refuses it: a value that is none, also an empty one.
    pub fn number(&self, name: &str) -> Result<Option<i64>> {
        let Some(text) = self.given(name) else { return Ok(None) };
        let refuse = |why: &str| Failure::bad_request(format!("strconv.ParseInt: parsing \"{text}\": {why}"));
        text.parse().map(Some).map_err(|error: std::num::ParseIntError| match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => refuse("value out of range"),
            _ => refuse("invalid syntax"),
        })
    }

    /// Options of a list.
    pub fn list_options(&self) -> Result<ListOptions> {
        self.number("timeoutSeconds")?;
        if self.given("sendInitialEvents").is_some_and(|value| !value.is_empty()) {
            let message = "Forbidden: sendInitialEvents is forbidden for list";
            return Err(invalid("ListOptions", "FieldValueForbidden", "sendInitialEvents", message));
        }
        Ok(ListOptions {
            labels: self.text("labelSelector").to_owned(),
            fields: self.text("fieldSelector").to_owned(),
            limit: self.number("limit")?.unwrap_or(0),
            token: self.text("continue").to_owned(),
            resource_version: self.text("resourceVersion").to_owned(),
            version_match: self.text("resourceVersionMatch").to_owned(),
        })
    }

    /// Options of a watch.
    pub fn watch_options(&self) -> Result<WatchOptions> {
        self.number("limit")?;
        let initial_events = self.optional_flag("sendInitialEvents");
        let version_match = self.text("resourceVersionMatch");
        match (initial_events, version_match) {
            (None, "") | (Some(_), "NotOlderThan") => {}
            (None, _) => {
                let message =
                    "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                return Err(invalid("ListOptions", "FieldValueForbidden", "resourceVersionMatch", message));
            }
            (Some(_), _) => {
                let message =
                    "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan".to_owned();
                return Err(invalid("ListOptions", "FieldValueForbidden", "resourceVersionMatch", &message));
            }
        }
        Ok(WatchOptions {
            labels: self.text("labelSelector").to_owned(),
            fields: self.text("fieldSelector").to_owned(),
            resource_version: self.text("resourceVersion").to_owned(),
            bookmarks: self.flag("allowWatchBookmarks"),
            initial_events: initial_events.unwrap_or(false),
            timeout_s: self.number("timeoutSeconds")?.unwrap_or(0),
        })
    }

    /// Options of a write by `user_agent`; `kind` is that of the options, for refusals: `CreateOptions`; `apply`: it applies
    /// a configuration.
    pub fn write_options(&self, kind: &str, user_agent: &str, apply: bool) -> Result<WriteOptions> {
        let field_manager = self.text("fieldManager");
        let force = self.optional_flag("force").filter(|_| kind == "PatchOptions");
        options::check_manager(kind, field_manager, force, apply)?;
        let field_validation = match self.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            other => {
                let message =
                    format!("Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\"");
                return Err(invalid(kind, "FieldValueNotSupported", "fieldValidation", &message));
            }
        };
        Ok(WriteOptions {
            dry_run: dry_run(self.all("dryRun"), kind)?,
            field_validation,
            field_manager: options::manager(field_manager, user_agent),
            force: force.unwrap_or(false),
        })
    }

    /// Options of a deletion, where no body has them.
    pub fn delete_options(&self) -> Result<DeleteOptions> {
        let mut options = DeleteOptions {
            grace_period_s: self.number("gracePeriodSeconds")?,
            propagation: None,
            uid: String::new(),
            resource_version: String::new(),
            dry_run: dry_run(self.all("dryRun"), "DeleteOptions")?,
        };
        options.propagation = propagation(self.given("propagationPolicy"), self.optional_flag("orphanDependents"))?;
        Ok(options)
    }
}

/// The old way to say whether dependents stay, and the new one.
pub fn propagation(policy: Option<&str>, orphan: Option<bool>) -> Result<Option<Propagation>> {
    match (policy.filter(|policy| !policy.is_empty()), orphan) {
        (Some(_), Some(_)) => {
            let message = "Invalid value: orphanDependents and deletionPropagation cannot be both set";
            Err(invalid("DeleteOptions", "FieldValueInvalid", "propagationPolicy", message))
        }
        (Some(policy), None) => Propagation::parse(policy),
        (None, Some(true)) => Ok(Some(Propagation::Orphan)),
        (None, Some(false)) => Ok(Some(Propagation::Background)),
        (None, None) => Ok(None),
    }
}

/// `All` is the only value there is.
pub fn dry_run<'a>(values: impl Iterator<Item = &'a str>, kind: &str) -> Result<bool> {
    let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
    if values.iter().all(|value| *value == "All") {
        return Ok(!values.is_empty());
    }
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    let message = format!("Unsupported value: [{}]: supported values: \"All\"", quoted.join(","));
    Err(invalid(kind, "FieldValueNotSupported", "dryRun", &message))
}

fn invalid(kind: &str, reason: &str, field: &str, message: &str) -> Failure {
    Failure::invalid("meta.k8s.io", kind, "", vec![cause(reason, field, message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_true_when_they_are_given() {
        for (text, expect) in [
            ("watch", true),
            ("watch=1", true),
            ("watch=maybe", true),
            ("watch=False", false),
            ("watch=0", false),
            ("", false),
        ] {
            assert_eq!(Query::parse(text).flag("watch"), expect, "{text}");
        }
    }

    #[test]
    fn numbers_are_refused_as_upstream_does() {
        let query = Query::parse("limit=ten&timeoutSeconds=99999999999999999999&n=-1");
        assert_eq!(query.number("limit").unwrap_err().0.message, "strconv.ParseInt: parsing \"ten\": invalid syntax");
        assert!(query.number("timeoutSeconds").unwrap_err().0.message.ends_with("value out of range"));
        assert_eq!(query.number("n").unwrap(), Some(-1));
        assert_eq!(query.number("none").unwrap(), None);
    }

    #[test]
    fn only_all_is_a_dry_run() {
        assert!(Query::parse("dryRun=All").write_options("CreateOptions", "test/1", false).unwrap().dry_run);
        assert!(!Query::parse("dryRun=").write_options("CreateOptions", "test/1", false).unwrap().dry_run);
        let failure = Query::parse("dryRun=None").write_options("CreateOptions", "test/1", false).unwrap_err();
        assert_eq!((failure.code(), failure.reason()), (422, "Invalid"));
    }

    #[test]
    fn dependents_are_told_about_once() {
        assert_eq!(propagation(None, Some(true)).unwrap(), Some(Propagation::Orphan));
        assert_eq!(propagation(Some("Foreground"), None).unwrap(), Some(Propagation::Foreground));
        assert!(propagation(Some("Foreground"), Some(false)).is_err());
    }
}
