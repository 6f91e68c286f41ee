//! A recorded REST request, sent over gRPC.

use client::Client;
use prost::Message as _;
use proto::keelson::api::v1::{
    CreateRequest, DeleteCollectionRequest, DeleteOptions, DeleteRequest, GetRequest, Json, ListRequest, LogsRequest,
    Object, PatchRequest, PodRef, ResourceRef, Selectors, UpdateRequest, WriteOptions, patch_request,
};
use serde_json::Value;
use test_goldens::request::{Target, body, header};

/// What came back: an HTTP-like code and a body.
pub struct Answer {
    pub code: i64,
    pub body: Value,
}

/// Sends a request; an error tells why gRPC cannot say it.
pub async fn send(client: &Client, request: &Value) -> Result<Answer, &'static str> {
    let path = request["path"].as_str().ok_or("a request without a path")?;
    let target = Target::parse(path).ok_or("a path that names no resource")?;
    if target.subresource == "log" && !request["user"].is_null() {
        return Ok(logs(client, &target).await);
    }
    expressible(&target)?;
    let method = request["method"].as_str().unwrap_or_default();
    let reference = ResourceRef {
        group: target.group.clone(),
        version: target.version.clone(),
        resource: target.plural.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        subresource: target.subresource.clone(),
    };
    let mut resources = client.resources();
    let text = body(request);
    let object = Some(prost_types::Any {
        type_url: "type.googleapis.com/keelson.api.v1.Json".to_owned(),
        value: Json { raw: text.clone().into() }.encode_to_vec(),
    });
    let options = Some(write_options(&target));
    let answer = match (method, target.name.is_empty()) {
        ("POST", false) if target.subresource.is_empty() => return Err("an HTTP method"),
        ("POST", _) => {
            let reply = resources.create(CreateRequest { r#ref: Some(reference), object, options }).await;
            reply.map(|reply| made(reply.into_inner(), 201))
        }
        ("PUT", false) => {
            let request = UpdateRequest { r#ref: Some(reference), object, options, resource_version: 0 };
            resources.update(request).await.map(|reply| made(reply.into_inner(), 200))
        }
        ("PATCH", false) => {
            let kind = match header(request, "content-type").split(';').next().unwrap_or_default() {
                "application/json-patch+json" => patch_request::Type::Json,
                "application/merge-patch+json" => patch_request::Type::Merge,
                "application/strategic-merge-patch+json" => patch_request::Type::StrategicMerge,
                "application/apply-patch+yaml" => patch_request::Type::Apply,
                _ => return Err("a content type"),
            };
            let force = target.parameter("force") == "true";
            // Only an applier must say its name.
            let options = match kind {
                patch_request::Type::Apply => options.map(|options| WriteOptions {
                    field_manager: target.parameter("fieldManager").to_owned(),
                    ..options
                }),
                _ => options,
            };
            let request =
                PatchRequest { r#ref: Some(reference), r#type: kind.into(), patch: text.into(), options, force };
            resources.patch(request).await.map(|reply| made(reply.into_inner(), 200))
        }
        ("DELETE", false) => {
            let request = DeleteRequest { r#ref: Some(reference), options: Some(delete_options(&target, &text)?) };
            resources.delete(request).await.map(|reply| {
                let object = reply.into_inner().object.unwrap_or_default();
                made(object, 200)
            })
        }
        ("DELETE", true) => {
            let request = DeleteCollectionRequest {
                r#ref: Some(reference),
                selectors: Some(selectors(&target)),
                options: Some(delete_options(&target, &text)?),
            };
            resources.delete_collection(request).await.map(|_| Answer { code: 200, body: Value::Null })
        }
        ("GET", false) => {
            let resource_version = target.parameter("resourceVersion").to_owned();
            let request = GetRequest { r#ref: Some(reference), resource_version };
            resources.get(request).await.map(|reply| made(reply.into_inner(), 200))
        }
        ("GET", true) => list(client, reference, &target).await,
        _ => return Err("an HTTP method"),
    };
    Ok(answer.unwrap_or_else(|error| refused(&error)))
}

/// Who may not read a log is told so before any kubelet is asked.
async fn logs(client: &Client, target: &Target) -> Answer {
    let pod = Some(PodRef { namespace: target.namespace.clone(), name: target.name.clone(), ..PodRef::default() });
    match client.streams().logs(LogsRequest { pod, ..LogsRequest::default() }).await {
        Ok(_) => Answer { code: 200, body: Value::Null },
        Err(error) => refused(&error),
    }
}

fn refused(error: &tonic::Status) -> Answer {
    let status = proto::rpc_status::from_tonic(error);
    Answer { code: i64::from(status.code), body: proto::json::to_value(&status) }
}

async fn list(client: &Client, reference: ResourceRef, target: &Target) -> Result<Answer, tonic::Status> {
    let request = ListRequest {
        r#ref: Some(reference),
        selectors: Some(selectors(target)),
        limit: target.parameter("limit").parse().unwrap_or(0),
        r#continue: target.parameter("continue").to_owned(),
        resource_version: target.parameter("resourceVersion").to_owned(),
        resource_version_match: target.parameter("resourceVersionMatch").to_owned(),
    };
    let mut chunks = client.resources().list(request).await?.into_inner();
    while chunks.message().await?.is_some() {}
    Ok(Answer { code: 200, body: Value::Null })
}

/// Parameters that gRPC has as numbers and booleans cannot be malformed.
fn expressible(target: &Target) -> Result<(), &'static str> {
    for (name, value) in &target.query {
        let fine = match name.as_str() {
            "limit" => value.parse::<i64>().is_ok(),
            "gracePeriodSeconds" => value.parse::<i64>().is_ok(),
            "dryRun" => value == "All",
            "force" => value.parse::<bool>().is_ok(),
            "resourceVersion"
            | "resourceVersionMatch"
            | "continue"
            | "fieldSelector"
            | "labelSelector"
            | "fieldManager"
            | "fieldValidation"
            | "propagationPolicy" => true,
            _ => false,
        };
        if !fine {
            return Err("a query parameter that gRPC does not have, or has as a number");
        }
    }
    if matches!(target.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy") {
        return Err("a stream to the kubelet");
    }
    Ok(())
}

fn selectors(target: &Target) -> Selectors {
    Selectors {
        labels: target.parameter("labelSelector").to_owned(),
        fields: target.parameter("fieldSelector").to_owned(),
    }
}

/// REST warns where gRPC is strict. The recorder's user agent names the manager where the request does not.
fn write_options(target: &Target) -> WriteOptions {
    let validation = match target.parameter("fieldValidation") {
        "" => "Warn",
        given => given,
    };
    WriteOptions {
        dry_run: target.parameter("dryRun") == "All",
        field_manager: match target.parameter("fieldManager") {
            "" => "api-facts".to_owned(),
            named => named.to_owned(),
        },
        field_validation: validation.to_owned(),
    }
}

fn delete_options(target: &Target, text: &str) -> Result<DeleteOptions, &'static str> {
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let grace = target.parameter("gracePeriodSeconds").parse().ok().or_else(|| body["gracePeriodSeconds"].as_i64());
    let policy = match target.parameter("propagationPolicy") {
        "" => word(&body["propagationPolicy"]),
        given => given.to_owned(),
    };
    Ok(DeleteOptions {
        grace_period_seconds: grace,
        propagation_policy: policy,
        precondition_uid: word(&body["preconditions"]["uid"]),
        precondition_resource_version: word(&body["preconditions"]["resourceVersion"]),
        dry_run: target.parameter("dryRun") == "All",
    })
}

/// An object as REST would answer it.
fn made(object: Object, code: i64) -> Answer {
    let Some(any) = &object.object else { return Answer { code, body: Value::Null } };
    let body = match proto::any::unpack_dyn(any) {
        Ok(mut found) => {
            if object.resource_version != 0 {
                found.metadata_mut().resource_version = object.resource_version.to_string();
            }
            serde_json::from_slice(&found.to_json()).expect("we write valid JSON")
        }
        Err(_) => proto::any::unpack::<proto::meta::v1::Status>(any)
            .map_or(Value::Null, |status| proto::json::to_value(&status)),
    };
    Answer { code, body }
}

/// Makes a namespace with the ServiceAccount that pods need; one that is there already is fine.
pub async fn namespace(client: &Client, name: &str) {
    let space = serde_json::json!({"method": "POST", "path": "/api/v1/namespaces",
        "body": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}});
    let account = serde_json::json!({"method": "POST", "path": format!("/api/v1/namespaces/{name}/serviceaccounts"),
        "body": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}});
    for request in [space, account] {
        let answer = send(client, &request).await.expect("a plain request");
        assert!(matches!(answer.code, 201 | 409), "{name}: {}", answer.body);
    }
}

/// Deletes an object, without mourning one that is gone.
pub async fn delete(client: &Client, path: &str) {
    let request = serde_json::json!({"method": "DELETE", "path": format!("{path}?gracePeriodSeconds=0"), "body": {}});
    let _ = send(client, &request).await;
}
