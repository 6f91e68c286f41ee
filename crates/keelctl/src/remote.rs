//! The API server as keelctl sees it: objects in and out as JSON, over gRPC.
//!
//! Built-in kinds travel as protobuf, others as JSON bytes; either way commands see JSON with its resourceVersion.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use client::connect::Connector;
use futures::{Stream, StreamExt};
use prost::Message;
use proto::keelson::api::v1 as rpc;
use proto::keelson::scheduler::v1::explain_client::ExplainClient;
use proto::keelson::scheduler::v1::{ExplainPodRequest, ExplainPodResponse};
use rpc::auth_client::AuthClient;
use rpc::discovery_client::DiscoveryClient;
use rpc::resources_client::ResourcesClient;
use rpc::streams_client::StreamsClient;
use serde_json::Value;
use tonic::codegen::InterceptedService;
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};

use crate::cli::Global;
use crate::error::{self, Refused, Unreachable};
use crate::kubeconfig::{self, Resolved};
use crate::resource::{Catalog, Resource};

/// Messages of at most this size are read: an object is at most 1.5 MiB, a chunk of a list 1 MiB and one object.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
const JSON_NAME: &str = "keelson.api.v1.Json";
/// How long the scheduler may take to explain.
const EXPLAIN_WAIT: Duration = Duration::from_secs(5);
/// What a stream may have under way; and all of them, so that some which nobody reads stop no other.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Objects a page of a list holds.
const PAGE_MAX: i64 = 500;

/// Puts the bearer token on every call.
#[derive(Clone, Default)]
pub struct Token(Option<tonic::metadata::MetadataValue<tonic::metadata::Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Token>;

#[derive(Clone)]
pub struct Remote {
    service: Service,
    pub server: String,
    /// The namespace commands act in unless they say otherwise.
    pub namespace: String,
    timeout: Option<Duration>,
    resolved: Resolved,
}

/// What a list or watch is about.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub labels: String,
    pub fields: String,
}

#[derive(Debug, Clone, Default)]
pub struct List {
    pub revision: i64,
    pub items: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Added,
    Modified,
    Deleted,
    Bookmark,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub change: Change,
    pub object: Value,
    pub revision: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Write {
    pub dry_run: bool,
    pub field_manager: String,
    pub validation: String,
    /// Patch this part: status, scale; empty: the object itself.
    pub subresource: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    Strategic,
    /// Server-side apply.
    Apply {
        /// Take fields over from other managers.
        force: bool,
    },
}

impl Remote {
    pub fn connect(global: &Global) -> anyhow::Result<Self> {
        let resolved = kubeconfig::resolve(global)?;
        let timeout = match global.request_timeout.as_deref() {
            None | Some("0") => None,
            Some(text) => Some(crate::duration::parse(text).context("--request-timeout")?),
        };
        let token = match &resolved.token {
            Some(token) => {
                Token(Some(format!("Bearer {token}").parse().context("the token holds characters that no header can")?))
            }
            None => Token(None),
        };
        let service = InterceptedService::new(channel(&resolved)?, token);
        Ok(Self { service, server: resolved.server.clone(), namespace: resolved.namespace.clone(), timeout, resolved })
    }

    pub fn resources(&self) -> ResourcesClient<Service> {
        ResourcesClient::new(self.service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub fn streams(&self) -> StreamsClient<Service> {
        StreamsClient::new(self.service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub fn auth(&self) -> AuthClient<Service> {
        AuthClient::new(self.service.clone())
    }

    pub fn discovery(&self) -> DiscoveryClient<Service> {
        DiscoveryClient::new(self.service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }

    /// What the server said went wrong, or why it could not be asked.
    pub fn failed(&self, status: tonic::Status) -> anyhow::Error {
        failed(&self.server, &status)
    }

    pub async fn catalog(&self) -> anyhow::Result<Catalog> {
        let answer = self.discovery().list_resources(self.request(rpc::ListResourcesRequest {})).await;
        Ok(Catalog::new(answer.map_err(|status| self.failed(status))?.into_inner().resources))
    }

    /// Asks the scheduler at an address, as the same user.
    pub async fn explain(&self, address: &str, request: ExplainPodRequest) -> anyhow::Result<ExplainPodResponse> {
        let server = format!("https://{}", address.trim_start_matches("https://"));
        let resolved = Resolved { server: server.clone(), server_name: String::new(), ..self.resolved.clone() };
        let mut client = ExplainClient::new(channel(&resolved)?);
        let answer = tokio::time::timeout(EXPLAIN_WAIT, client.explain_pod(request)).await;
        Ok(answer.context("no answer in time")?.map_err(|status| failed(&server, &status))?.into_inner())
    }

    pub async fn version(&self) -> anyhow::Result<rpc::Version> {
        let answer = self.discovery().get_version(self.request(rpc::GetVersionRequest {})).await;
        Ok(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> anyhow::Result<Value> {
        self.get_subresource(resource, namespace, name, "").await
    }

    pub async fn get_subresource(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
    ) -> anyhow::Result<Value> {
        let request = rpc::GetRequest {
            r#ref: Some(reference(resource, namespace, name, subresource)),
            resource_version: String::new(),
        };
        let answer = self.resources().get(self.request(request)).await;
        from_object(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    /// All objects, page after page; when the pages expire on the way, all at once.
    pub async fn list(&self, resource: &Resource, namespace: &str, query: &Query) -> anyhow::Result<List> {
        let mut all = List::default();
        let mut next = String::new();
        loop {
            let later = !next.is_empty();
            match self.page(resource, namespace, query, PAGE_MAX, next, &mut all).await {
                Ok(more) if more.is_empty() => return Ok(all),
                Ok(more) => next = more,
                Err(problem) if later && error::is_expired(&problem) => {
                    all = List::default();
                    self.page(resource, namespace, query, 0, String::new(), &mut all).await?;
                    return Ok(all);
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// Adds one page; gives the token of the next one. Limit 0: all that is left.
    async fn page(
        &self,
        resource: &Resource,
        namespace: &str,
        query: &Query,
        limit: i64,
        token: String,
        all: &mut List,
    ) -> anyhow::Result<String> {
        let request = rpc::ListRequest {
            r#ref: Some(reference(resource, namespace, "", "")),
            selectors: Some(query.selectors()),
            limit,
            r#continue: token,
            ..rpc::ListRequest::default()
        };
        let answer = self.resources().list(self.request(request)).await;
        let mut chunks = answer.map_err(|status| self.failed(status))?.into_inner();
        let mut next = String::new();
        while let Some(chunk) = chunks.message().await.map_err(|status| self.failed(status))? {
            all.revision = all.revision.max(chunk.resource_version);
            for item in chunk.items {
                all.items.push(from_object(item)?);
            }
            next = chunk.r#continue;
        }
        Ok(next)
    }

    /// Changes after a revision; revision 0 begins with the current objects as added.
    pub async fn watch(
        &self,
        resource: &Resource,
        namespace: &str,
        query: &Query,
        revision: i64,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Event>> + Send + Unpin + use<>> {
        let request = rpc::WatchRequest {
            r#ref: Some(reference(resource, namespace, "", "")),
            selectors: Some(query.selectors()),
            resource_version: if revision > 0 { revision.to_string() } else { String::new() },
            allow_bookmarks: true,
            ..rpc::WatchRequest::default()
        };
        let answer = self.resources().watch(request).await;
        let chunks = answer.map_err(|status| self.failed(status))?.into_inner();
        let server = self.server.clone();
        let events = chunks.flat_map(move |chunk| {
            let events = match chunk {
                Ok(chunk) => chunk.events.into_iter().map(event).collect(),
                Err(status) => vec![Err(failed(&server, &status))],
            };
            futures::stream::iter(events)
        });
        Ok(Box::pin(events))
    }

    pub async fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        object: &Value,
        write: &Write,
    ) -> anyhow::Result<Value> {
        self.create_subresource(resource, namespace, "", "", object, write).await
    }

    pub async fn create_subresource(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &Value,
        write: &Write,
    ) -> anyhow::Result<Value> {
        let request = rpc::CreateRequest {
            r#ref: Some(reference(resource, namespace, name, subresource)),
            object: Some(to_any(object)?),
            options: Some(write.options()),
        };
        let answer = self.resources().create(self.request(request)).await;
        from_write(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    pub async fn update(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        object: &Value,
        write: &Write,
    ) -> anyhow::Result<Value> {
        let revision = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let request = rpc::UpdateRequest {
            r#ref: Some(reference(resource, namespace, name, "")),
            object: Some(to_any(object)?),
            options: Some(write.options()),
            resource_version: revision.parse().unwrap_or_default(),
        };
        let answer = self.resources().update(self.request(request)).await;
        from_write(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    pub async fn patch(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        kind: PatchType,
        patch: &Value,
        write: &Write,
    ) -> anyhow::Result<Value> {
        let force = kind == PatchType::Apply { force: true };
        let kind = match kind {
            PatchType::Json => rpc::patch_request::Type::Json,
            PatchType::Merge => rpc::patch_request::Type::Merge,
            PatchType::Strategic => rpc::patch_request::Type::StrategicMerge,
            PatchType::Apply { .. } => rpc::patch_request::Type::Apply,
        };
        let request = rpc::PatchRequest {
            r#ref: Some(reference(resource, namespace, name, &write.subresource)),
            r#type: kind.into(),
            patch: serde_json::to_vec(patch)?.into(),
            options: Some(write.options()),
            force,
        };
        let answer = self.resources().patch(self.request(request)).await;
        from_write(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    /// The object as it was or is, and whether it is gone.
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: rpc::DeleteOptions,
    ) -> anyhow::Result<(Value, bool)> {
        let request =
            rpc::DeleteRequest { r#ref: Some(reference(resource, namespace, name, "")), options: Some(options) };
        let answer = self.resources().delete(self.request(request)).await;
        let answer = answer.map_err(|status| self.failed(status))?.into_inner();
        let object = answer.object.map(from_object).transpose()?.unwrap_or(Value::Null);
        Ok((object, answer.deleted))
    }
}

impl Query {
    fn selectors(&self) -> rpc::Selectors {
        rpc::Selectors { labels: self.labels.clone(), fields: self.fields.clone() }
    }

    /// One object of that name.
    pub fn name(name: &str) -> Self {
        Self { labels: String::new(), fields: format!("metadata.name={name}") }
    }
}

impl Write {
    fn options(&self) -> rpc::WriteOptions {
        let manager = if self.field_manager.is_empty() { "keelctl" } else { &self.field_manager };
        rpc::WriteOptions {
            dry_run: self.dry_run,
            field_manager: manager.to_owned(),
            field_validation: self.validation.clone(),
        }
    }

    pub fn dry(dry_run: bool) -> Self {
        Self { dry_run, ..Self::default() }
    }
}

/// TLS and dialling are those of the `client` crate.
fn channel(resolved: &Resolved) -> anyhow::Result<Channel> {
    let server =
        if resolved.server.contains("://") { resolved.server.clone() } else { format!("https://{}", resolved.server) };
    let malformed = || format!("the server address {server} is malformed, expected https://HOST:PORT");
    let agent = format!("keelctl/{}", env!("CARGO_PKG_VERSION"));
    let config = client::Config {
        servers: vec![server.clone()],
        ca: resolved.ca.clone(),
        server_name: Some(resolved.server_name.clone()).filter(|name| !name.is_empty()),
        insecure: resolved.insecure,
        credentials: resolved.credentials.clone(),
        namespace: resolved.namespace.clone(),
        user_agent: agent.clone(),
    };
    let connector = Connector::new(Arc::new(config))?;
    // TLS is the connector's; tonic is told plain http, and the true origin for the requests' authority.
    let endpoint = Endpoint::from_shared(server.replacen("https://", "http://", 1))
        .with_context(malformed)?
        .user_agent(agent)?
        .origin(server.parse().with_context(malformed)?)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(connector))
}

pub fn reference(resource: &Resource, namespace: &str, name: &str, subresource: &str) -> rpc::ResourceRef {
    rpc::ResourceRef {
        group: resource.group.clone(),
        version: resource.version.clone(),
        resource: resource.plural.clone(),
        namespace: if resource.namespaced { namespace.to_owned() } else { String::new() },
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    }
}

fn event(event: rpc::WatchEvent) -> anyhow::Result<Event> {
    let kind = event.r#type();
    let object = event.object.unwrap_or_default();
    let revision = object.resource_version;
    let change = match kind {
        rpc::watch_event::Type::Added => Change::Added,
        rpc::watch_event::Type::Modified => Change::Modified,
        rpc::watch_event::Type::Deleted => Change::Deleted,
        rpc::watch_event::Type::Bookmark => {
            return Ok(Event { change: Change::Bookmark, object: Value::Null, revision });
        }
        rpc::watch_event::Type::Error => {
            let status = object.object.as_ref().and_then(|any| proto::any::unpack(any).ok()).unwrap_or_default();
            return Err(Refused(Box::new(status)).into());
        }
        rpc::watch_event::Type::Unspecified => bail!("the server sent an event of an unknown type"),
    };
    Ok(Event { change, object: from_object(object)?, revision })
}

/// An object for the wire: protobuf where the kind is known here, JSON bytes where not.
pub fn to_any(object: &Value) -> anyhow::Result<prost_types::Any> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut bare = object.clone();
    if let Some(metadata) = bare.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    let raw = serde_json::to_vec(&bare)?;
    match proto::dynamic::kind_by_api_version(text("apiVersion"), text("kind")) {
        Some(kind) => Ok(proto::any::pack_dyn(kind.from_json(&raw)?.as_dyn())),
        None => Ok(proto::any::pack_bytes(JSON_NAME, rpc::Json { raw: raw.into() }.encode_to_vec())),
    }
}

fn from_write(object: rpc::Object) -> anyhow::Result<Value> {
    for warning in &object.warnings {
        crate::complain!("Warning: {warning}");
    }
    from_object(object)
}

/// An object from the wire as JSON, its revision filled in.
pub fn from_object(object: rpc::Object) -> anyhow::Result<Value> {
    let any = object.object.unwrap_or_default();
    let mut value: Value = if proto::any::full_name(&any.type_url) == JSON_NAME {
        serde_json::from_slice(&rpc::Json::decode(any.value.as_slice())?.raw)
            .context("the server sent malformed JSON")?
    } else {
        serde_json::from_slice(&proto::any::unpack_dyn(&any)?.to_json())?
    };
    if object.resource_version > 0
        && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("resourceVersion".to_owned(), Value::String(object.resource_version.to_string()));
    }
    Ok(value)
}

fn failed(server: &str, status: &tonic::Status) -> anyhow::Error {
    let answered = !status.details().is_empty()
        || !matches!(
            status.code(),
            tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled | tonic::Code::DeadlineExceeded
        );
    if answered && std::error::Error::source(status).is_none() {
        return Refused(Box::new(proto::rpc_status::from_tonic(status))).into();
    }
    let causes = causes(status);
    let host = server.split("://").last().unwrap_or(server);
    let message = if causes.contains("Connection refused") {
        format!("The connection to the server {host} was refused - did you specify the right host or port?")
    } else if status.code() == tonic::Code::Unavailable || causes.contains("transport error") {
        format!("Unable to connect to the server: {causes}")
    } else if status.code() == tonic::Code::DeadlineExceeded || status.code() == tonic::Code::Cancelled {
        format!("Unable to connect to the server: the request was not answered in time ({causes})")
    } else {
        format!("Error from server ({:?}): {}", status.code(), status.message())
    };
    Unreachable(message).into()
}

/// The status's message and what lies below it.
fn causes(status: &tonic::Status) -> String {
    let mut texts = vec![status.message().to_owned()];
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts.join(": ")
}
