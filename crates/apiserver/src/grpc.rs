//! The gRPC front door: `keelson.api.v1`, translated to `verbs`.

mod auth;
mod counted;
mod discovery;
mod encode;
mod limited;
mod list_stream;
mod resources;
mod shared;
pub mod status;
mod streams;
mod watch_stream;

use std::sync::Arc;

use proto::keelson::api::v1::auth_server::AuthServer;
use proto::keelson::api::v1::discovery_server::DiscoveryServer;
use proto::keelson::api::v1::streams_server::StreamsServer;
use proto::keelson::api::v1::{ResourceRef, Selectors};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;

use crate::authenticate::impersonate::impersonate;
use crate::authenticate::{User, authenticate};
use crate::authorize::{self, Attributes};
use crate::fairness::{Seat, Work};
use crate::metrics::Request as Seen;
use crate::passage::Passage;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::Target;
use limited::Limited;

/// The services, for reflection.
pub const SERVICES: &[&str] =
    &["keelson.api.v1.Resources", "keelson.api.v1.Streams", "keelson.api.v1.Auth", "keelson.api.v1.Discovery"];

/// The door.
#[derive(Debug, Clone)]
pub struct Grpc {
    server: Arc<Server>,
}

impl Grpc {
    /// Every service, ready to be mounted.
    pub fn routes(server: Arc<Server>) -> Routes {
        let max = server.request_bytes_max;
        let door = Self { server: Arc::clone(&server) };
        let streams = StreamsServer::new(door.clone()).max_decoding_message_size(max);
        let auth = AuthServer::new(door.clone()).max_decoding_message_size(max);
        let discovery = DiscoveryServer::new(door.clone()).max_decoding_message_size(max);
        Routes::new(Limited::new(shared::SharedResources::new(door, max), &server))
            .add_service(Limited::new(streams, &server))
            .add_service(Limited::new(auth, &server))
            .add_service(Limited::new(discovery, &server))
    }

    /// Begins to count a request.
    fn seen(&self, verb: &'static str, named: Option<&ResourceRef>, dry_run: bool) -> Seen {
        self.server.metrics.begin(&self.server.registry, verb, named, dry_run)
    }

    /// Begins to count a stream to a pod.
    fn seen_stream(&self, verb: &'static str, subresource: &str) -> Seen {
        let (version, resource) = ("v1".to_owned(), "pods".to_owned());
        let (name, subresource) = ("*".to_owned(), subresource.to_owned());
        self.seen(verb, Some(&ResourceRef { version, resource, name, subresource, ..Default::default() }), false)
    }

    async fn user(&self, metadata: &MetadataMap, extensions: &tonic::Extensions) -> Result<User> {
        let authorization = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let user = authenticate(&self.server, extensions, metadata.as_ref(), authorization).await?;
        if self.server.audit.is_some() && metadata.contains_key("impersonate-user") {
            passage(extensions, &self.server).impersonated_by(user.clone());
        }
        impersonate(&self.server, user, metadata.as_ref())
    }

    /// Authenticates the caller, resolves what it means, and judges whether it may.
    async fn admit<T>(&self, verb: &str, request: &tonic::Request<T>, named: Option<&ResourceRef>) -> Result<Admitted> {
        self.admit_selected(verb, request, named, Selection::default()).await
    }

    /// The same for a list, a watch or a deletion of many: what the selector says counts.
    async fn admit_selected<T>(
        &self,
        verb: &str,
        request: &tonic::Request<T>,
        named: Option<&ResourceRef>,
        selection: Selection<'_>,
    ) -> Result<Admitted> {
        let user = self.user(request.metadata(), request.extensions()).await?;
        let Some(named) = named else { return Err(Failure::bad_request("ref must be given")) };
        let fields = selection.selectors.map_or("", |selectors| selectors.fields.as_str());
        let selected = authorize::name_in(fields);
        let name = match named.name.as_str() {
            "" => &selected,
            // As in upstream's paths, a new object has no name yet.
            _ if verb == "create" && named.subresource.is_empty() => "",
            name => name,
        };
        let attributes = Attributes {
            verb,
            group: &named.group,
            resource: &named.resource,
            subresource: &named.subresource,
            namespace: &named.namespace,
            name,
            fields,
            path: "",
        };
        let resource = self.server.registry.served(&named.group, &named.version, &named.resource).ok();
        let work = Work::of(verb, resource.as_deref(), &named.namespace, name, selection.limit);
        let passage = passage(request.extensions(), &self.server);
        let seat = passage.enter(&self.server, &user, &attributes, work).await?;
        authorize::check(&self.server, &user, &attributes)?;
        let row = (named.group.as_str(), named.version.as_str(), named.resource.as_str());
        self.server.know(row).await?;
        let target = Target::resolve(&self.server.registry, row, &named.namespace, &named.name, &named.subresource)?;
        let allowed = match named.subresource.as_str() {
            "" => target.resource.row.allows(verb),
            subresource => target.resource.row.subresource(subresource).is_some_and(|row| row.verbs.contains(&verb)),
        };
        if !allowed {
            return Err(target.resource.not_allowed(verb));
        }
        Ok(Admitted { user, target, seat: Some(seat), passage })
    }
}

/// What a list, a watch or a deletion of many selects.
#[derive(Debug, Clone, Copy, Default)]
struct Selection<'a> {
    selectors: Option<&'a Selectors>,
    /// 0: all.
    limit: i64,
}

/// A request that may go on.
#[derive(Debug)]
struct Admitted {
    user: User,
    target: Target,
    /// Occupied until the request is answered.
    seat: Option<Seat>,
    passage: Passage,
}

/// The passage that `limited` gave a call.
fn passage(extensions: &tonic::Extensions, server: &Server) -> Passage {
    extensions.get::<Passage>().cloned().unwrap_or_else(|| Passage::lasting(server.request_timeout))
}

fn selectors(selectors: Option<Selectors>) -> (String, String) {
    selectors.map(|selectors| (selectors.labels, selectors.fields)).unwrap_or_default()
}
