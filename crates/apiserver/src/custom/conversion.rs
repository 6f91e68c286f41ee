//! Conversion of custom objects by a webhook (ConversionReview v1): what is asked, and what an answer may have changed.
//!
//! A webhook converts what stands beside the metadata; of the metadata it may change labels and annotations only.

use std::time::Duration;

use api::name;
use proto::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use crate::outbound::Outbound;
use crate::webhook::{ServiceName, Webhook};

const API_VERSION: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "ConversionReview";
/// As upstream.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The webhook that converts the objects of a definition.
#[derive(Debug)]
pub struct Converter {
    /// The error says what the definition lacks.
    place: Result<Webhook, String>,
    /// Whether it reads the review's version that is spoken here.
    knows_v1: bool,
}

impl Converter {
    /// The definition's webhook; none where objects are converted without one.
    pub fn of(definition: &CustomResourceDefinition) -> Option<Self> {
        let conversion = definition.spec.conversion.as_ref()?;
        if conversion.strategy != "Webhook" {
            return None;
        }
        let webhook = conversion.webhook.clone().unwrap_or_default();
        let client = webhook.client_config.unwrap_or_default();
        let service = client.service.as_ref().map(|service| ServiceName {
            namespace: &service.namespace,
            name: &service.name,
            path: service.path.as_deref().unwrap_or_default(),
            port: service.port,
        });
        Some(Self {
            place: Webhook::new(client.url.as_deref(), service, &client.ca_bundle),
            knows_v1: webhook.conversion_review_versions.iter().any(|version| version == "v1"),
        })
    }

    /// The objects in that apiVersion, in their order; those that are in it already are not sent. The error names the
    /// kind and says what went wrong.
    pub async fn convert(
        &self,
        outbound: &Outbound,
        objects: Vec<Value>,
        api_version: &str,
    ) -> Result<Vec<Value>, String> {
        let (places, sent): (Vec<usize>, Vec<Value>) =
            objects.iter().cloned().enumerate().filter(|(_, object)| object["apiVersion"] != *api_version).unzip();
        let Some(first) = sent.first() else { return Ok(objects) };
        let kind = described(first);
        let failed = |why: String| format!("conversion webhook for {kind} failed: {why}");
        if !self.knows_v1 {
            return Err(failed("it does not accept ConversionReview v1".to_owned()));
        }
        let place = self.place.as_ref().map_err(|why| failed(why.clone()))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let body = request(&uid, api_version, &sent).to_string().into_bytes();
        let bytes = place.call(outbound, body, TIMEOUT).await.map_err(failed)?;
        let answered = answer(&uid, &bytes).map_err(failed)?;
        let converted = checked(&kind, &sent, answered, api_version)?;
        let mut objects = objects;
        for (place, object) in places.into_iter().zip(converted) {
            objects[place] = object;
        }
        Ok(objects)
    }
}

/// `example.com/v1, Kind=Thing`.
fn described(object: &Value) -> String {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

fn request(uid: &str, api_version: &str, objects: &[Value]) -> Value {
    json!({"kind": KIND, "apiVersion": API_VERSION,
        "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects}})
}

/// The objects of an answer to the question `uid`.
fn answer(uid: &str, bytes: &[u8]) -> Result<Vec<Value>, String> {
    let mut review: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&review["apiVersion"]), text(&review["kind"]));
    if version != API_VERSION || kind != KIND {
        return Err(format!("expected webhook response of {API_VERSION}, Kind={KIND}, got {version}, Kind={kind}"));
    }
    let response = &mut review["response"];
    if !response.is_object() {
        return Err("no response provided".to_owned());
    }
    let found = text(&response["uid"]);
    if found != uid {
        return Err(format!("expected response.uid={uid:?}, got {found:?}"));
    }
    let status = text(&response["result"]["status"]);
    if status != "Success" {
        let message = text(&response["result"]["message"]);
        return Err(match message.is_empty() {
            true => format!("response.result.status was '{status}', not 'Success'"),
            false => message,
        });
    }
    match response["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// The converted objects with the metadata that they had, where they are the ones that were sent.
fn checked(kind: &str, sent: &[Value], converted: Vec<Value>, api_version: &str) -> Result<Vec<Value>, String> {
    if converted.len() != sent.len() {
        let (found, expect) = (converted.len(), sent.len());
        return Err(format!("conversion webhook for {kind} returned {found} objects, expected {expect}"));
    }
    let pairs = sent.iter().zip(converted).enumerate();
    let one = |(index, (before, after))| {
        same(before, after, api_version).map_err(|why| {
            format!("conversion webhook for {kind} returned invalid converted object at index {index}: {why}")
        })
    };
    pairs.map(one).collect()
}

/// The object `after`, if it is `before` in another version.
fn same(before: &Value, mut after: Value, api_version: &str) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = text(&after["apiVersion"]);
    if found != api_version {
        return Err(format!("invalid groupVersion (expected {api_version}, received {found})"));
    }
    let fields = [("kind", &before["kind"], &after["kind"])].into_iter();
    let meta = ["name", "namespace", "uid"].map(|field| (field, &before["metadata"][field], &after["metadata"][field]));
    for (field, expect, found) in fields.chain(meta) {
        if text(expect) != text(found) {
            let field = if field == "uid" { "UID" } else { field };
            return Err(format!("must have the same {field}: {} != {}", text(expect), text(found)));
        }
    }
    let meta = restored(&before["metadata"], &after["metadata"])?;
    after["metadata"] = Value::Object(meta);
    Ok(after)
}

/// The metadata that there was, with the labels and annotations that there are.
fn restored(before: &Value, after: &Value) -> Result<Map<String, Value>, String> {
    let Some(before) = before.as_object() else { return Err("invalid metadata in input object".to_owned()) };
    let Some(after) = after.as_object() else { return Err("missing metadata in converted object".to_owned()) };
    let mut meta = before.clone();
    for field in ["labels", "annotations"] {
        meta.remove(field);
        let Some(found) = after.get(field).filter(|found| !found.is_null()) else { continue };
        let Some(map) = found.as_object() else {
            return Err(format!("invalid metadata.{field}: it is no map"));
        };
        for (key, value) in map {
            let wrong = match (field, value.as_str()) {
                (_, None) => vec!["its value is no string".to_owned()],
                ("labels", Some(value)) => [name::qualified_name(key), name::label_value(value)].concat(),
                _ => name::qualified_name(&key.to_lowercase()),
            };
            if let Some(why) = wrong.first() {
                return Err(format!("invalid metadata.{field}: {key:?}: {why}"));
            }
        }
        if !map.is_empty() {
            meta.insert(field.to_owned(), found.clone());
        }
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str, more: Value) -> Value {
        json!({"apiVersion": format!("example.com/{version}"), "kind": "Thing",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"old": "1"}, "generation": 3},
            "spec": more})
    }

    fn check(after: Value) -> Result<Value, String> {
        let all = checked("example.com/v1, Kind=Thing", &[object("v1", json!({}))], vec![after], "example.com/v2");
        all.map(|mut all| all.remove(0))
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Value), expect: &str) {
        let mut after = object("v2", json!({}));
        change(&mut after);
        let why = check(after).expect_err("refused");
        let begin = "conversion webhook for example.com/v1, Kind=Thing returned invalid converted object at index 0: ";
        assert_eq!(why.strip_prefix(begin), Some(expect));
    }

    #[test]
    fn only_labels_and_annotations_of_the_metadata_change() {
        let mut after = object("v2", json!({"size": 1}));
        after["metadata"]["labels"] = json!({"new": "2"});
        after["metadata"]["annotations"] = json!({"Note": "x"});
        after["metadata"]["generation"] = json!(9);
        let converted = check(after).expect("the same object");
        assert_eq!(converted["spec"], json!({"size": 1}));
        let meta = json!({"name": "a", "namespace": "n", "uid": "u", "generation": 3, "labels": {"new": "2"},
            "annotations": {"Note": "x"}});
        assert_eq!(converted["metadata"], meta);
    }

    #[test]
    fn another_object_is_none() {
        refused(
            |it| it["apiVersion"] = json!("example.com/v3"),
            "invalid groupVersion (expected example.com/v2, received example.com/v3)",
        );
        refused(|it| it["kind"] = json!("Other"), "must have the same kind: Thing != Other");
        refused(|it| it["metadata"]["name"] = json!("b"), "must have the same name: a != b");
        refused(|it| it["metadata"]["namespace"] = json!("m"), "must have the same namespace: n != m");
        refused(|it| it["metadata"]["uid"] = json!("v"), "must have the same UID: u != v");
        let why = checked("k", &[object("v1", json!({}))], Vec::new(), "example.com/v2").expect_err("too few");
        assert_eq!(why, "conversion webhook for k returned 0 objects, expected 1");
        let mut odd = object("v2", json!({}));
        odd["metadata"]["labels"] = json!({"a": "not a label!"});
        assert!(check(odd).is_err_and(|why| why.contains("invalid metadata.labels: \"a\"")));
    }

    #[test]
    fn an_answer_must_be_to_the_question() {
        let review = |response: Value| {
            let review = json!({"kind": KIND, "apiVersion": API_VERSION, "response": response});
            answer("u", review.to_string().as_bytes())
        };
        let good = json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [1]});
        assert_eq!(review(good), Ok(vec![json!(1)]));
        for (response, expect) in [
            (Value::Null, "no response provided"),
            (json!({"uid": "v"}), "expected response.uid=\"u\", got \"v\""),
            (json!({"uid": "u"}), "response.result.status was '', not 'Success'"),
            (json!({"uid": "u", "result": {"status": "Failed", "message": "no"}}), "no"),
        ] {
            assert_eq!(review(response), Err(expect.to_owned()));
        }
    }

    #[test]
    fn a_definition_without_a_webhook_has_no_converter() {
        let mut definition = CustomResourceDefinition::default();
        assert!(Converter::of(&definition).is_none());
        let conversion = proto::json::from_value(json!({"strategy": "Webhook", "webhook": {
            "clientConfig": {"url": "https://convert.example"}, "conversionReviewVersions": ["v1beta1", "v1"]}}));
        definition.spec.conversion = Some(conversion.expect("a conversion"));
        let converter = Converter::of(&definition).expect("a webhook");
        assert!(converter.knows_v1 && converter.place.is_ok());
    }
}
