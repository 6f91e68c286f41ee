//! Requests about objects: who may, which verb, and its answer.

use std::sync::Arc;

use bytes::Bytes;
use daemon::serve::Body;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use proto::keelson::api::v1::ResourceRef;
use proto::meta::v1::{DeleteOptions as WireDeleteOptions, Status, StatusDetails};

use super::body::{self, Sent};
use super::documents::takes_gzip;
use super::gzip::ENCODER_BYTES;
use super::list::Style;
use super::negotiate::{self, Accepted, Format, Offer};
use super::path::ResourcePath;
use super::query::{self, Query};
use super::streams::Stream;
use super::table::Include;
use super::verb::Verb;
use super::{Rest, encode, list as lists, proxies, respond, watch as watches};
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::budget::Share;
use crate::fairness::{Seat, Work};
use crate::passage::{Held, Passage};
use crate::registry::{Resource, Versioned, deletion};
use crate::status::{Failure, Result};
use crate::verbs::list::Listed;
use crate::verbs::options::DeleteOptions;
use crate::verbs::patch::PatchType;
use crate::verbs::write::{Made, Outcome};
use crate::verbs::{Target, create, delete, delete_collection, get, list, patch, update, watch};

/// Smaller answers are not counted.
const LARGE_BYTES: u64 = 64 << 10;

/// A request on its way: what every verb needs.
struct Asked<'a> {
    rest: &'a Rest,
    user: User,
    target: Target,
    head: &'a Parts,
    query: Query<'a>,
    sent: Bytes,
    passage: &'a Passage,
}

impl Rest {
    /// Answers a request about a resource.
    pub(super) async fn resource(
        &self,
        user: User,
        path: ResourcePath,
        request: Request<Incoming>,
        passage: &Passage,
    ) -> Result<Response<Body>> {
        if let Some(stream) = Stream::of(&path) {
            return self.stream(&user, stream, path, request, passage).await;
        }
        if let Some(kind) = proxies::of(&path) {
            return self.proxy(&user, kind, path, request, passage).await;
        }
        let (head, mut body) = request.into_parts();
        let answered = self.answered(user, path, &head, &mut body, passage).await;
        body::drain(&head.headers, body).await;
        answered
    }

    async fn answered(
        &self,
        user: User,
        path: ResourcePath,
        head: &Parts,
        body: &mut Incoming,
        passage: &Passage,
    ) -> Result<Response<Body>> {
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let Some(verb) = Verb::of(&head.method, &path, &query) else { return Err(Failure::method_not_allowed()) };
        let named = ResourceRef {
            group: path.group.clone(),
            version: path.version.clone(),
            resource: path.resource.clone(),
            namespace: path.namespace.clone(),
            name: path.name.clone(),
            subresource: path.subresource.clone(),
        };
        let seen = self.server.metrics.begin(
            &self.server.registry,
            verb.counted(),
            Some(&named),
            query.all("dryRun").any(|value| value == "All"),
        );
        let run = async {
            // Before the request has a seat: one whose body does not come keeps nobody from theirs.
            let sent = match verb.changes() {
                true => body::read(body, self.server.request_bytes_max, &self.server.requests, &user).await?,
                false => Bytes::new(),
            };
            let selected = selected(Some(verb), &query);
            let attributes = attributes(Some(verb), &path, &query, &selected);
            let resource = self.server.registry.served(&path.group, &path.version, &path.resource).ok();
            let limit = query.text("limit").parse().unwrap_or(0);
            let Attributes { namespace, name, .. } = attributes;
            let work = Work::of(verb.name(), resource.as_deref(), namespace, name, limit);
            let mut seat = Some(passage.enter(&self.server, &user, &attributes, work).await?);
            passage.add(|draft| {
                draft.version(&path.version);
                draft.request(&sent);
            });
            authorize::check(&self.server, &user, &attributes)?;
            let target = self.target(verb, &path)?;
            // Writes tell it among their own warnings.
            let reads = !matches!(verb, Verb::Create | Verb::Update | Verb::Patch);
            let deprecated = target.resource.deprecation().filter(|_| reads);
            let asked = Asked { rest: self, user, target, head, query, sent, passage };
            let answer = match verb {
                Verb::Get => asked.get().await,
                Verb::List => asked.list(&mut seat).await,
                Verb::Watch => asked.watch(&seen, &mut seat).await,
                Verb::Create => asked.create().await,
                Verb::Update => asked.update().await,
                Verb::Patch => asked.patch().await,
                Verb::Delete => asked.delete().await,
                Verb::DeleteCollection => asked.delete_collection(&mut seat).await,
            };
            answer.map(|mut response| {
                respond::warn(response.headers_mut(), deprecated.as_slice());
                response
            })
        };
        // On the heap: the futures around it would each have a place for it.
        let outcome = passage.in_time(verb.changes(), Box::pin(run)).await;
        seen.ended(outcome.as_ref().map_or_else(Failure::code, |response| i32::from(response.status().as_u16())));
        outcome
    }

    /// What the path names, where the verb is there.
    fn target(&self, verb: Verb, path: &ResourcePath) -> Result<Target> {
        let resource = self.server.registry.served(&path.group, &path.version, &path.resource);
        let row = match &resource {
            Ok(resource) => resource.row,
            // Its method may be wrong before it is known that nothing answers it.
            Err(_) => {
                api::resource::find(&path.group, &path.version, &path.resource).ok_or_else(Failure::no_resource)?
            }
        };
        let custom = resource.ok().filter(|resource| resource.custom.is_some());
        let is_placed = row.namespaced != path.namespace.is_empty();
        // All namespaces at once can be listed and watched only.
        let over_all = row.namespaced && path.name.is_empty() && matches!(verb, Verb::List | Verb::Watch);
        if !is_placed && !over_all {
            let known = row.namespaced && path.name.is_empty() && custom.is_none();
            return Err(if known { Failure::method_not_allowed() } else { Failure::no_resource() });
        }
        let missing =
            |name: &str| custom.as_ref().map_or_else(Failure::no_resource, |custom| custom.no_subresource(name));
        let allows = match path.subresource.as_str() {
            "" => row.allows(verb.name()),
            name => row.subresource(name).ok_or_else(|| missing(&path.name))?.verbs.contains(&verb.name()),
        };
        if !allows || !verb.fits(path) {
            let not_allowed = |custom: &Arc<Resource>| custom.not_allowed(verb.name());
            return Err(custom.as_ref().map_or_else(Failure::method_not_allowed, not_allowed));
        }
        let row = (path.group.as_str(), path.version.as_str(), path.resource.as_str());
        Target::resolve(&self.server.registry, row, &path.namespace, &path.name, &path.subresource)
    }
}

/// The name that a selection of many objects selects.
pub(super) fn selected(verb: Option<Verb>, query: &Query<'_>) -> String {
    authorize::name_in(fields(verb, query))
}

fn fields<'q>(verb: Option<Verb>, query: &'q Query<'_>) -> &'q str {
    match verb {
        Some(Verb::List | Verb::Watch | Verb::DeleteCollection) => query.text("fieldSelector"),
        _ => "",
    }
}

/// What the request is judged by; a method that means no verb is judged as one without a name, which only `*` allows.
pub(super) fn attributes<'a>(
    verb: Option<Verb>,
    path: &'a ResourcePath,
    query: &'a Query<'_>,
    selected: &'a str,
) -> Attributes<'a> {
    // As upstream: a namespace is in itself, and a selection of one name is that name.
    let is_namespace = path.group.is_empty() && path.resource == "namespaces";
    Attributes {
        verb: verb.map_or("", Verb::name),
        group: &path.group,
        resource: &path.resource,
        subresource: &path.subresource,
        namespace: if is_namespace { &path.name } else { &path.namespace },
        name: if path.name.is_empty() { selected } else { &path.name },
        fields: fields(verb, query),
        ..Attributes::default()
    }
}

impl Asked<'_> {
    /// Whether objects go and come as a custom resource's, which have no protobuf form.
    fn is_custom(&self) -> bool {
        self.target.resource.custom.is_some() && self.target.subresource != "scale"
    }

    fn accepted(&self, offer: Offer) -> Result<Accepted> {
        let offer = match offer {
            Offer::Objects if self.is_custom() => Offer::CustomObjects,
            Offer::Events if self.is_custom() => Offer::CustomEvents,
            offer => offer,
        };
        negotiate::choose(&self.head.headers, self.query.optional_flag("pretty"), offer)
    }

    fn user_agent(&self) -> &str {
        self.head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn include(&self) -> Result<Include> {
        Include::parse(self.query.text("includeObject"))
    }

    async fn get(self) -> Result<Response<Body>> {
        let accepted = self.accepted(Offer::Objects)?;
        let object = get::get(&self.rest.server, &self.target, self.query.text("resourceVersion")).await?;
        let response = self.object(StatusCode::OK, &object, accepted, &[])?;
        // A large answer is held for as long as its client takes to read it.
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        if bytes > LARGE_BYTES {
            let share = self.share(bytes).await?;
            self.passage.hold(|held| held.content = Some(share));
        }
        Ok(response)
    }

    /// Bytes of the answers in flight.
    async fn share(&self, bytes: u64) -> Result<Share> {
        self.rest.server.answers.take(&self.user, bytes, self.passage.until()).await
    }

    /// A list, with all that it holds until it is sent.
    async fn listed(&self, style: Style, listed: Listed, seat: &mut Option<Seat>) -> Result<Response<Body>> {
        let gzip = if takes_gzip(&self.head.headers) { ENCODER_BYTES } else { 0 };
        let buffers = self.share(lists::BUFFER_BYTES + gzip).await?;
        let content = self.share(lists::held_bytes(&style, &listed)).await?;
        self.passage.hold(|held| {
            *held = Held { seat: seat.take(), content: Some(content), buffers: Some(buffers) };
        });
        let content_type = style.accepted.format.content_type();
        let body = lists::body(style, listed).await?;
        Ok(respond::compressible(respond::typed(StatusCode::OK, content_type, body)))
    }

    fn object(
        &self,
        code: StatusCode,
        object: &Versioned,
        accepted: Accepted,
        warnings: &[String],
    ) -> Result<Response<Body>> {
        let bytes = encode::object(&self.target.resource, object, accepted, self.include()?)?;
        let mut response = respond::whole(code, accepted.format, bytes);
        respond::warn(response.headers_mut(), warnings);
        Ok(response)
    }

    /// What a write made, or why it made nothing; with warnings either way.
    fn made(&self, made: Result<Made>, accepted: Accepted, warnings: &[String]) -> Result<Response<Body>> {
        let made = match made {
            Ok(made) => made,
            Err(failure) => return Ok(self.refusal(&failure, warnings)),
        };
        let code = if made.created { StatusCode::CREATED } else { StatusCode::OK };
        self.object(code, &made.object, accepted, warnings)
    }

    fn refusal(&self, failure: &Failure, warnings: &[String]) -> Response<Body> {
        let mut response = respond::failure(failure, negotiate::of_failure(&self.head.headers));
        respond::warn(response.headers_mut(), warnings);
        response
    }

    async fn list(self, seat: &mut Option<Seat>) -> Result<Response<Body>> {
        let accepted = self.accepted(Offer::Objects)?;
        let options = self.query.list_options()?;
        let style = Style { resource: Arc::clone(&self.target.resource), accepted, include: self.include()? };
        let listed = list::list(&self.rest.server, &self.target, &options).await?;
        self.listed(style, listed, seat).await
    }

    async fn watch(self, seen: &crate::metrics::Request, seat: &mut Option<Seat>) -> Result<Response<Body>> {
        let accepted = self.accepted(Offer::Events)?;
        let options = self.query.watch_options()?;
        let style = watches::style(&self.target.resource, accepted, self.include()?);
        let body = match watch::watch(&self.rest.server, &self.target, &options).await {
            Ok(mut watching) => {
                watching.begin(&self.rest.server, &self.user, seat, self.passage.until()).await?;
                watches::body(style, watching, seen.runs())
            }
            // As upstream: that history is gone is told as an event.
            Err(failure) if failure.code() == 410 => watches::refusal(&failure, accepted.format),
            Err(failure) => return Err(failure),
        };
        let mut response = respond::typed(StatusCode::OK, watches::content_type(accepted.format), body);
        response.extensions_mut().insert(respond::Streams);
        Ok(response)
    }

    async fn create(self) -> Result<Response<Body>> {
        let accepted = self.accepted(Offer::Objects)?;
        let options = self.query.write_options("CreateOptions", self.user_agent(), false)?;
        let sent = self.sent()?;
        let Self { rest, user, target, .. } = &self;
        let mut warnings = Vec::new();
        let object = create::create(&rest.server, user, target, sent.body(), &options, &mut warnings).await;
        let object = match object {
            Ok(object) => object,
            Err(failure) => return Ok(self.refusal(&failure, &warnings)),
        };
        if matches!(target.subresource.as_str(), "binding" | "eviction") {
            let mut response = respond::whole(StatusCode::CREATED, accepted.format, success(None, accepted));
            respond::warn(response.headers_mut(), &warnings);
            return Ok(response);
        }
        self.object(StatusCode::CREATED, &object, accepted, &warnings)
    }

    async fn update(self) -> Result<Response<Body>> {
        let accepted = self.accepted(Offer::Objects)?;
        let options = self.query.write_options("UpdateOptions", self.user_agent(), false)?;
        let sent = self.sent()?;
        let Self { rest, user, target, .. } = &self;
        let mut warnings = Vec::new();
        let made = update::update(&rest.server, user, target, sent.body(), 0, &options, &mut warnings).await;
        self.made(made, accepted, &warnings)
    }

    async fn patch(self) -> Result<Response<Body>> {
        let kind = match body::media_type(&self.head.headers) {
            "application/json-patch+json" => PatchType::Json,
            "application/merge-patch+json" => PatchType::Merge,
            "application/strategic-merge-patch+json" => PatchType::StrategicMerge,
            "application/apply-patch+yaml" => PatchType::Apply,
            _ => {
                let failure = Failure::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
                return Err(failure.because(Vec::new()));
            }
        };
        let accepted = self.accepted(Offer::Objects)?;
        let options = self.query.write_options("PatchOptions", self.user_agent(), kind == PatchType::Apply)?;
        let mut warnings = Vec::new();
        let Self { rest, user, target, .. } = &self;
        let made = patch::patch(&rest.server, user, target, kind, &self.sent, &options, &mut warnings).await;
        self.made(made, accepted, &warnings)
    }

    async fn delete(self) -> Result<Response<Body>> {
        let accepted = self.accepted(Offer::Objects)?;
        let (options, orphan) = self.delete_options()?;
        let mut warnings = Vec::new();
        let outcome = delete::delete(&self.rest.server, &self.user, &self.target, &options, &mut warnings).await;
        let Outcome { object, removed } = match outcome {
            Ok(outcome) => outcome,
            Err(failure) => return Ok(self.refusal(&failure, &warnings)),
        };
        let row = self.target.resource.row;
        let shown = deletion::is_answered_with_object(row.group, row.kind);
        if removed && !shown {
            let details = StatusDetails {
                name: self.target.name.clone(),
                group: row.group.to_owned(),
                kind: row.plural.to_owned(),
                uid: encode::metadata(0, &object.bytes)?.metadata.uid,
                ..StatusDetails::default()
            };
            let mut response = respond::whole(StatusCode::OK, accepted.format, success(Some(details), accepted));
            respond::warn(response.headers_mut(), &warnings);
            return Ok(response);
        }
        // As upstream: accepted is what will be done later, where the client asked in the old way for dependents to go.
        let later = !removed && orphan == Some(false);
        self.object(if later { StatusCode::ACCEPTED } else { StatusCode::OK }, &object, accepted, &warnings)
    }

    async fn delete_collection(self, seat: &mut Option<Seat>) -> Result<Response<Body>> {
        let accepted = self.accepted(Offer::Objects)?;
        let selection = self.query.list_options()?;
        let (options, _) = self.delete_options()?;
        let style = Style { resource: Arc::clone(&self.target.resource), accepted, include: self.include()? };
        let Self { rest, user, target, .. } = &self;
        let mut warnings = Vec::new();
        let deleted =
            delete_collection::delete_collection(&rest.server, user, target, &selection, &options, &mut warnings).await;
        let deleted = match deleted {
            Ok(deleted) => deleted,
            Err(failure) => return Ok(self.refusal(&failure, &warnings)),
        };
        let mut response = self.listed(style, deleted, seat).await?;
        respond::warn(response.headers_mut(), &warnings);
        Ok(response)
    }

    /// Options of a deletion: the body's, where there is one, else the query's; and whether they said in the old way
    /// that dependents stay.
    fn delete_options(&self) -> Result<(DeleteOptions, Option<bool>)> {
        if self.sent.is_empty() {
            return Ok((self.query.delete_options()?, self.query.optional_flag("orphanDependents")));
        }
        from_wire(body::options(&self.head.headers, self.sent.clone())?)
    }

    fn sent(&self) -> Result<Sent> {
        if self.is_custom() && Format::of_media_type(body::media_type(&self.head.headers)) == Some(Format::Protobuf) {
            return Err(body::unknown_media_type());
        }
        let kind = match self.target.subresource.as_str() {
            "" => self.target.resource.row.kind,
            name => self.target.resource.row.subresource(name).map_or("", |row| row.kind),
        };
        body::object(&self.head.headers, self.sent.clone(), kind)
    }
}

#[expect(deprecated, reason = "clients still say orphanDependents")]
fn from_wire(wire: WireDeleteOptions) -> Result<(DeleteOptions, Option<bool>)> {
    let preconditions = wire.preconditions.unwrap_or_default();
    let options = DeleteOptions {
        grace_period_s: wire.grace_period_seconds,
        propagation: query::propagation(wire.propagation_policy.as_deref(), wire.orphan_dependents)?,
        uid: preconditions.uid.unwrap_or_default(),
        resource_version: preconditions.resource_version.unwrap_or_default(),
        dry_run: query::dry_run(wire.dry_run.iter().map(String::as_str), "DeleteOptions")?,
    };
    Ok((options, wire.orphan_dependents))
}

/// A Status that says that it is done.
fn success(details: Option<StatusDetails>, accepted: Accepted) -> Vec<u8> {
    let code = if details.is_none() { 201 } else { 0 };
    let status = Status { status: "Success".to_owned(), details, code, ..Status::default() };
    encode::status(&status, accepted.format, accepted.pretty && accepted.format == Format::Json)
}
