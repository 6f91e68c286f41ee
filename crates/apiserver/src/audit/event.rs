//! An event of `audit.k8s.io/v1` in JSON.

use std::sync::Arc;

use jiff::Timestamp;
use proto::meta::v1::Status;
use serde_json::{Map, Value, json};

use super::policy::{Level, Stage, Told};
use super::{Audit, Origin};
use crate::authenticate::User;
use crate::authorize::Attributes;

/// What is told of a request so far.
#[derive(Debug)]
pub struct Draft {
    audit: Arc<Audit>,
    told: Told,
    event: Map<String, Value>,
}

impl Draft {
    pub(super) fn new(audit: Arc<Audit>, told: Told, origin: Origin, user: &User, asked: &Attributes<'_>) -> Self {
        let mut event = Map::new();
        let mut set = |name: &str, value: Value| {
            event.insert(name.to_owned(), value);
        };
        set("kind", json!("Event"));
        set("apiVersion", json!("audit.k8s.io/v1"));
        set("level", json!(format!("{:?}", told.level)));
        set("auditID", json!(origin.id));
        set("requestURI", json!(origin.uri));
        set("verb", json!(asked.verb));
        set("user", person(origin.impersonator.as_ref().unwrap_or(user)));
        if origin.impersonator.is_some() {
            set("impersonatedUser", person(user));
        }
        set("sourceIPs", json!(origin.source_ips));
        if !origin.agent.is_empty() {
            set("userAgent", json!(origin.agent));
        }
        if asked.path.is_empty() && !asked.resource.is_empty() {
            set("objectRef", object_ref(asked));
        }
        set("requestReceivedTimestamp", json!(now()));
        Self { audit, told, event }
    }

    /// Whether the answer's object is wanted, too.
    pub fn wants_answer(&self) -> bool {
        self.told.level == Level::RequestResponse
    }

    /// Whether the request's object is wanted.
    fn wants_request(&self) -> bool {
        self.told.level >= Level::Request
    }

    /// The version of the group that is asked for.
    pub fn version(&mut self, version: &str) {
        if let Some(reference) = self.event.get_mut("objectRef").and_then(Value::as_object_mut) {
            reference.insert("apiVersion".to_owned(), json!(version));
        }
    }

    /// How the request was judged.
    pub fn judged(&mut self, allowed: bool, reason: &str) {
        let decision = if allowed { "allow" } else { "forbid" };
        self.event.insert(
            "annotations".to_owned(),
            json!({"authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": reason}),
        );
    }

    /// What was sent; what is no JSON is left out.
    pub fn request(&mut self, body: &[u8]) {
        if self.wants_request() {
            self.object("requestObject", body);
        }
    }

    /// What was answered, in JSON.
    pub fn answer(&mut self, body: &[u8]) {
        if self.wants_answer() {
            self.object("responseObject", body);
        }
    }

    fn object(&mut self, name: &str, body: &[u8]) {
        let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return };
        if self.told.omit_managed_fields {
            without_managed_fields(&mut value);
        }
        self.event.insert(name.to_owned(), value);
    }

    /// Tells that the request came.
    pub fn received(&self) {
        self.write(Stage::RequestReceived, None);
    }

    /// Tells a later stage, with the code and, of a refusal, the Status.
    pub fn stage(&self, stage: Stage, code: u16, refusal: Option<&Status>) {
        let status = match refusal {
            Some(refusal) => {
                let mut json = serde_json::from_slice(&proto::json::to_vec(refusal)).unwrap_or(Value::Null);
                if let Some(object) = json.as_object_mut() {
                    object.remove("kind");
                    object.remove("apiVersion");
                }
                json
            }
            None => json!({"metadata": {}, "code": code}),
        };
        self.write(stage, Some(status));
    }

    fn write(&self, stage: Stage, status: Option<Value>) {
        if self.told.omit_stages.contains(&stage) {
            return;
        }
        let mut event = self.event.clone();
        event.insert("stage".to_owned(), json!(format!("{stage:?}")));
        event.insert("stageTimestamp".to_owned(), json!(now()));
        if let Some(status) = status {
            event.insert("responseStatus".to_owned(), status);
        }
        self.audit.write(&Value::Object(event));
    }
}

fn person(user: &User) -> Value {
    let mut person = Map::new();
    person.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        person.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.groups.is_empty() {
        person.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        person.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(person)
}

fn object_ref(asked: &Attributes<'_>) -> Value {
    let all = [
        ("resource", asked.resource),
        ("namespace", asked.namespace),
        ("name", asked.name),
        ("apiGroup", asked.group),
        ("subresource", asked.subresource),
    ];
    let given = all.into_iter().filter(|(_, value)| !value.is_empty());
    Value::Object(given.map(|(name, value)| (name.to_owned(), json!(value))).collect())
}

/// Of an object, or of the items of a list.
fn without_managed_fields(value: &mut Value) {
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
    for item in value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        without_managed_fields(item);
    }
}

/// With microseconds.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
