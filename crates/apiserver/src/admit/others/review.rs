//! AdmissionReview: what a webhook is asked, and what its answer means.

use std::collections::BTreeMap;

use base64::Engine;
use proto::meta::v1::Status;
use serde_json::{Value, json};

use super::attributes::{Attributes, KindName, Named};
use super::select::Objects;
use crate::authenticate::User;

const GROUP: &str = "admission.k8s.io";
const KIND: &str = "AdmissionReview";

/// A version of the review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V1Beta1,
}

impl Version {
    /// The first of a webhook's versions that is spoken here.
    pub fn of(versions: &[String]) -> Option<Self> {
        versions.iter().find_map(|version| match version.as_str() {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        })
    }

    fn api_version(self) -> String {
        format!("{GROUP}/{}", if self == Self::V1 { "v1" } else { "v1beta1" })
    }
}

/// What a webhook is asked about beside the request itself: the resource and kind that its rules know.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub resource: Named<'a>,
    pub kind: KindName<'a>,
}

/// The document that a webhook is sent.
pub fn request(version: Version, uid: &str, asked: &Attributes<'_>, seen: Seen<'_>, objects: &Objects) -> Value {
    let mut request = fields(asked, seen);
    request["uid"] = uid.into();
    request["object"] = objects.new.clone().unwrap_or_default();
    request["oldObject"] = objects.old.clone().unwrap_or_default();
    json!({"kind": KIND, "apiVersion": version.api_version(), "request": request})
}

/// What is asked beside the objects.
pub fn fields(asked: &Attributes<'_>, seen: Seen<'_>) -> Value {
    let mut request = json!({
        "kind": seen.kind.to_json(),
        "resource": seen.resource.to_json(),
        "requestKind": asked.kind.to_json(),
        "requestResource": asked.resource.to_json(),
        "operation": asked.operation.name(),
        "userInfo": user_info(asked.user),
        "dryRun": asked.options.dry_run(),
        "options": asked.options.to_json(),
    });
    let texts = [
        ("subResource", asked.subresource),
        ("requestSubResource", asked.subresource),
        ("name", &asked.name),
        ("namespace", &asked.namespace),
    ];
    for (field, text) in texts {
        if !text.is_empty() {
            request[field] = text.into();
        }
    }
    request
}

/// Who asks, as reviews and expressions show it.
pub fn user_info(user: &User) -> Value {
    let mut info = json!({});
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info[field] = text.clone().into();
        }
    }
    if !user.groups.is_empty() {
        info["groups"] = user.groups.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// What a webhook said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub allowed: bool,
    /// Why not.
    pub status: Option<Status>,
    /// Operations of a JSON patch, as they came; none where nothing is to be changed.
    pub patch: Option<Vec<u8>>,
    /// What the patch is said to be.
    pub patch_type: String,
    pub audit_annotations: BTreeMap<String, String>,
    pub warnings: Vec<String>,
}

/// Reads the answer to the question `uid`; the error says what is wrong with it. `mutating`: the webhook may change the
/// object.
pub fn answer(version: Version, uid: &str, mutating: bool, bytes: &[u8]) -> Result<Answer, Wrong> {
    let json: Value = serde_json::from_slice(bytes).map_err(|error| Wrong::Unreadable(error.to_string()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // An answer of another version is none of this conversation.
    let (api_version, kind) = (text(&json["apiVersion"]), text(&json["kind"]));
    if version == Version::V1Beta1 && api_version.is_empty() && kind.is_empty() {
        // As upstream: the older version was never checked.
    } else if kind != KIND || api_version != version.api_version() {
        let expect = version.api_version();
        return Err(Wrong::Invalid(format!(
            "expected webhook response of {expect}, Kind={KIND}, got {api_version}, Kind={kind}"
        )));
    }
    let Some(response) = json.get("response").filter(|response| response.is_object()) else {
        return Err(Wrong::Invalid("webhook response was absent".to_owned()));
    };
    let found = text(&response["uid"]);
    if version == Version::V1 && found != uid {
        return Err(Wrong::Invalid(format!("expected response.uid={uid:?}, got {found:?}")));
    }
    let (patch, patch_type) = patch(version, mutating, response)?;
    let status = match response.get("status").filter(|status| !status.is_null()) {
        None => None,
        Some(status) => {
            let read = proto::json::from_value(status.clone());
            Some(read.map_err(|error| Wrong::Unreadable(error.to_string()))?)
        }
    };
    let annotations = response.get("auditAnnotations").and_then(Value::as_object);
    let warnings = response.get("warnings").and_then(Value::as_array);
    Ok(Answer {
        allowed: response["allowed"].as_bool().unwrap_or(false),
        status,
        patch,
        patch_type,
        audit_annotations: annotations.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect(),
        warnings: warnings.into_iter().flatten().map(text).collect(),
    })
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is no document of that kind.
    #[error("{0}")]
    Unreadable(String),
    /// It breaks rules.
    #[error("{0}")]
    Invalid(String),
}

fn patch(version: Version, mutating: bool, response: &Value) -> Result<(Option<Vec<u8>>, String), Wrong> {
    let invalid = |why: &str| Err(Wrong::Invalid(why.to_owned()));
    let given = response.get("patch").and_then(Value::as_str).unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(given)
        .map_err(|error| Wrong::Unreadable(format!("response.patch is no base64: {error}")))?;
    let patch = Some(bytes).filter(|bytes| !bytes.is_empty());
    let kind = response.get("patchType").and_then(Value::as_str);
    if version == Version::V1Beta1 {
        return Ok((patch.filter(|_| mutating), "JSONPatch".to_owned()));
    }
    match (mutating, &patch, kind) {
        (false, Some(_), _) => invalid("validating webhook may not return response.patch"),
        (false, None, Some(_)) => invalid("validating webhook may not return response.patchType"),
        (true, Some(_), None) => invalid("webhook returned response.patch but not response.patchType"),
        (true, None, Some(_)) => invalid("webhook returned response.patchType but not response.patch"),
        (true, _, Some("")) => invalid("webhook returned invalid response.patchType of \"\""),
        _ => Ok((patch, kind.unwrap_or_default().to_owned())),
    }
}

/// The refusal that a webhook's answer means: at least 400, and it says who refused.
pub fn refusal(name: &str, status: Option<Status>) -> Status {
    let mut status = status.unwrap_or_default();
    status.code = status.code.max(400);
    if matches!(status.status.as_str(), "" | "Success") {
        status.status = "Failure".to_owned();
    }
    let denied = format!("admission webhook \"{name}\" denied the request");
    status.message = match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("{denied} without explanation"),
        ("", why) | (why, _) => format!("{denied}: {why}"),
    };
    status
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Operation;
    use super::super::attributes::tests::asked;
    use super::*;

    #[test]
    fn a_request_says_who_wants_what() {
        let user = User { name: "alice".into(), groups: vec!["devs".into()], ..User::default() };
        let asked = asked(&user, Operation::Update, "apps/v1/deployments/default/d/scale");
        let kind = KindName { group: "autoscaling", version: "v1", kind: "Scale" };
        let resource = Named { version: "v1beta1", ..asked.resource };
        let objects = Objects { new: Some(json!({"a": 1})), old: None };
        let made = request(Version::V1, "u1", &asked, Seen { resource, kind }, &objects);
        let expect = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "u1",
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "resource": {"group": "apps", "version": "v1beta1", "resource": "deployments"},
            "subResource": "scale",
            "requestKind": {"group": "apps", "version": "v1", "kind": "Kind"},
            "requestResource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "requestSubResource": "scale",
            "name": "d", "namespace": "default", "operation": "UPDATE",
            "userInfo": {"username": "alice", "groups": ["devs"]},
            "object": {"a": 1}, "oldObject": null, "dryRun": false, "options": null,
        }});
        assert_eq!(made, expect);
    }

    #[track_caller]
    fn refused(mutating: bool, response: Value, expect: &str) {
        let review = json!({"kind": KIND, "apiVersion": "admission.k8s.io/v1", "response": response});
        let wrong = answer(Version::V1, "u", mutating, review.to_string().as_bytes()).expect_err("refused");
        assert_eq!(wrong.to_string(), expect);
    }

    #[test]
    fn an_answer_must_be_to_the_question() {
        refused(true, Value::Null, "webhook response was absent");
        refused(true, json!({"uid": "v"}), "expected response.uid=\"u\", got \"v\"");
        refused(false, json!({"uid": "u", "patch": "W10="}), "validating webhook may not return response.patch");
        refused(
            false,
            json!({"uid": "u", "patchType": "JSONPatch"}),
            "validating webhook may not return response.patchType",
        );
        let missing = "webhook returned response.patch but not response.patchType";
        refused(true, json!({"uid": "u", "patch": "W10="}), missing);
        let missing = "webhook returned response.patchType but not response.patch";
        refused(true, json!({"uid": "u", "patchType": "JSONPatch"}), missing);
        let other = json!({"kind": KIND, "apiVersion": "admission.k8s.io/v1beta1", "response": {"uid": "u"}});
        let wrong = answer(Version::V1, "u", true, other.to_string().as_bytes()).expect_err("another version");
        let expect = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1beta1, Kind=AdmissionReview";
        assert_eq!(wrong.to_string(), expect);
        assert!(matches!(answer(Version::V1, "u", true, b"<html>"), Err(Wrong::Unreadable(_))));
    }

    #[test]
    fn an_answer_carries_a_patch_warnings_and_notes() {
        let review = json!({"kind": KIND, "apiVersion": "admission.k8s.io/v1", "response": {
            "uid": "u", "allowed": true, "patch": "W10=", "patchType": "JSONPatch",
            "auditAnnotations": {"k": "v"}, "warnings": ["w"], "status": {"code": 200}}});
        let read = answer(Version::V1, "u", true, review.to_string().as_bytes()).expect("good");
        assert!(read.allowed);
        assert_eq!((read.patch.as_deref(), read.patch_type.as_str()), (Some(&b"[]"[..]), "JSONPatch"));
        assert_eq!((read.warnings, read.audit_annotations["k"].as_str()), (vec!["w".to_owned()], "v"));
        let older = json!({"response": {"allowed": true, "patch": "W10="}});
        let read = answer(Version::V1Beta1, "u", true, older.to_string().as_bytes()).expect("good");
        assert_eq!(read.patch_type, "JSONPatch");
    }

    #[test]
    fn a_refusal_names_the_webhook() {
        let status = |code, message: &str, reason: &str| Status {
            code,
            message: message.into(),
            reason: reason.into(),
            ..Status::default()
        };
        for (status, code, message) in [
            (None, 400, "admission webhook \"w\" denied the request without explanation"),
            (Some(status(200, "", "Odd")), 400, "admission webhook \"w\" denied the request: Odd"),
            (Some(status(409, "no", "Odd")), 409, "admission webhook \"w\" denied the request: no"),
        ] {
            let refusal = refusal("w", status);
            assert_eq!((refusal.code, refusal.message.as_str(), refusal.status.as_str()), (code, message, "Failure"));
        }
    }
}
