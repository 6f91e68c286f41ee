//! `keelson.api.v1.Resources`.

use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use proto::keelson::api::v1::patch_request::Type as PatchKind;
use proto::keelson::api::v1::resources_server::Resources;
use proto::keelson::api::v1::{
    CreateRequest, DeleteCollectionRequest, DeleteCollectionResponse, DeleteOptions as WireDeleteOptions,
    DeleteRequest, DeleteResponse, GetRequest, ListChunk, ListRequest, Object, PatchRequest, UpdateRequest, WatchChunk,
    WatchRequest, WriteOptions as WireWriteOptions,
};
use tonic::{Request, Response, Status};

use super::shared::RawChunk;
use super::{Admitted, Grpc, Selection, encode, list_stream, status, watch_stream};
use crate::passage::Held;
use crate::status::{Failure, Result};
use crate::verbs::list::ListOptions;
use crate::verbs::options::{self, DeleteOptions, FieldValidation, Propagation, WriteOptions};
use crate::verbs::patch::PatchType;
use crate::verbs::watch::WatchOptions;
use crate::verbs::{create, delete, delete_collection, get, list, patch, update, watch};

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl Resources for Grpc {
    async fn get(&self, request: Request<GetRequest>) -> Answer<Object> {
        let seen = self.seen("GET", request.get_ref().r#ref.as_ref(), false);
        let run = async {
            let Admitted { target, seat: _seat, .. } =
                self.admit("get", &request, request.get_ref().r#ref.as_ref()).await?;
            let object = get::get(&self.server, &target, &request.get_ref().resource_version).await?;
            Ok(encode::answer(&object, Vec::new()))
        };
        respond(seen.end(run.await))
    }

    type ListStream = BoxStream<'static, std::result::Result<ListChunk, Status>>;

    async fn list(&self, request: Request<ListRequest>) -> Answer<Self::ListStream> {
        let seen = self.seen("LIST", request.get_ref().r#ref.as_ref(), false);
        let run = async {
            let asked = request.get_ref();
            let selection = Selection { selectors: asked.selectors.as_ref(), limit: asked.limit };
            let Admitted { user, target, seat, passage } =
                self.admit_selected("list", &request, asked.r#ref.as_ref(), selection).await?;
            let asked = request.into_inner();
            let (labels, fields) = super::selectors(asked.selectors);
            let options = ListOptions {
                labels,
                fields,
                limit: asked.limit,
                token: asked.r#continue,
                resource_version: asked.resource_version,
                version_match: asked.resource_version_match,
            };
            let listed = list::list(&self.server, &target, &options).await?;
            let answers = &self.server.answers;
            let buffers = answers.take(&user, list_stream::BUFFER_BYTES, passage.until()).await?;
            let content = answers.take(&user, list_stream::held_bytes(&listed), passage.until()).await?;
            passage.hold(|held| *held = Held { seat, content: Some(content), buffers: Some(buffers) });
            Ok(list_stream::chunks(target.resource.kind, listed).boxed())
        };
        respond(seen.end(run.await))
    }

    type WatchStream = BoxStream<'static, std::result::Result<WatchChunk, Status>>;

    /// Answered by [`super::shared`] before it comes here; the same chunks, decoded again.
    async fn watch(&self, request: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        let decoded = |chunk: RawChunk| {
            WatchChunk::decode(chunk.parts.concat().as_slice()).map_err(|error| Status::internal(error.to_string()))
        };
        let chunks = self.watch_raw(request).await?;
        Ok(Response::new(chunks.map(move |chunk| chunk.and_then(decoded)).boxed()))
    }

    async fn create(&self, request: Request<CreateRequest>) -> Answer<Object> {
        let seen = self.seen(
            "POST",
            request.get_ref().r#ref.as_ref(),
            request.get_ref().options.as_ref().is_some_and(|it| it.dry_run),
        );
        let run = async {
            let named = request.get_ref().r#ref.as_ref();
            let Admitted { user, target, seat: _seat, .. } = self.admit("create", &request, named).await?;
            let agent = user_agent(&request);
            let asked = request.into_inner();
            let (mut json, mut warnings) = (Vec::new(), Vec::new());
            let body = encode::body(asked.object.as_ref(), &mut json)?;
            let options = write_options("CreateOptions", asked.options, &agent, None, false)?;
            let object = create::create(&self.server, &user, &target, body, &options, &mut warnings).await?;
            Ok(encode::answer(&object, warnings))
        };
        respond(seen.end(run.await))
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Answer<Object> {
        let seen = self.seen(
            "PUT",
            request.get_ref().r#ref.as_ref(),
            request.get_ref().options.as_ref().is_some_and(|it| it.dry_run),
        );
        let run = async {
            let named = request.get_ref().r#ref.as_ref();
            let Admitted { user, target, seat: _seat, .. } = self.admit("update", &request, named).await?;
            let agent = user_agent(&request);
            let asked = request.into_inner();
            let (mut json, mut warnings) = (Vec::new(), Vec::new());
            let body = encode::body(asked.object.as_ref(), &mut json)?;
            let options = write_options("UpdateOptions", asked.options, &agent, None, false)?;
            let version = asked.resource_version;
            let made = update::update(&self.server, &user, &target, body, version, &options, &mut warnings).await?;
            Ok(encode::answer(&made.object, warnings))
        };
        respond(seen.end(run.await))
    }

    async fn patch(&self, request: Request<PatchRequest>) -> Answer<Object> {
        let seen = self.seen(
            "PATCH",
            request.get_ref().r#ref.as_ref(),
            request.get_ref().options.as_ref().is_some_and(|it| it.dry_run),
        );
        let run = async {
            let named = request.get_ref().r#ref.as_ref();
            let Admitted { user, target, seat: _seat, .. } = self.admit("patch", &request, named).await?;
            let kind = patch_type(request.get_ref().r#type())?;
            let agent = user_agent(&request);
            let asked = request.into_inner();
            let mut warnings = Vec::new();
            let (force, apply) = (asked.force.then_some(true), kind == PatchType::Apply);
            let options = write_options("PatchOptions", asked.options, &agent, force, apply)?;
            let made = patch::patch(&self.server, &user, &target, kind, &asked.patch, &options, &mut warnings).await?;
            Ok(encode::answer(&made.object, warnings))
        };
        respond(seen.end(run.await))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Answer<DeleteResponse> {
        let seen = self.seen(
            "DELETE",
            request.get_ref().r#ref.as_ref(),
            request.get_ref().options.as_ref().is_some_and(|it| it.dry_run),
        );
        let run = async {
            let named = request.get_ref().r#ref.as_ref();
            let Admitted { user, target, seat: _seat, .. } = self.admit("delete", &request, named).await?;
            let options = delete_options(request.into_inner().options)?;
            let mut warnings = Vec::new();
            let outcome = delete::delete(&self.server, &user, &target, &options, &mut warnings).await?;
            Ok(DeleteResponse { object: Some(encode::answer(&outcome.object, warnings)), deleted: outcome.removed })
        };
        respond(seen.end(run.await))
    }

    async fn delete_collection(&self, request: Request<DeleteCollectionRequest>) -> Answer<DeleteCollectionResponse> {
        let seen = self.seen(
            "DELETECOLLECTION",
            request.get_ref().r#ref.as_ref(),
            request.get_ref().options.as_ref().is_some_and(|it| it.dry_run),
        );
        let run = async {
            let asked = request.get_ref();
            let selection = Selection { selectors: asked.selectors.as_ref(), limit: 0 };
            let Admitted { user, target, seat: _seat, .. } =
                self.admit_selected("deletecollection", &request, asked.r#ref.as_ref(), selection).await?;
            let asked = request.into_inner();
            let (labels, fields) = super::selectors(asked.selectors);
            let options = delete_options(asked.options)?;
            let selection = ListOptions { labels, fields, ..Default::default() };
            let (server, mut unread) = (&*self.server, Vec::new());
            let deleted =
                delete_collection::delete_collection(server, &user, &target, &selection, &options, &mut unread).await?;
            Ok(DeleteCollectionResponse { count: deleted.entries.len() as i64 })
        };
        respond(seen.end(run.await))
    }
}

impl Grpc {
    /// Begins a watch; its events come encoded.
    pub(super) async fn watch_raw(
        &self,
        request: Request<WatchRequest>,
    ) -> std::result::Result<BoxStream<'static, std::result::Result<RawChunk, Status>>, Status> {
        let seen = self.seen("WATCH", request.get_ref().r#ref.as_ref(), false);
        let run = async {
            let asked = request.get_ref();
            let selection = Selection { selectors: asked.selectors.as_ref(), limit: 0 };
            let Admitted { user, target, mut seat, passage } =
                self.admit_selected("watch", &request, asked.r#ref.as_ref(), selection).await?;
            let asked = request.into_inner();
            let (labels, fields) = super::selectors(asked.selectors);
            let options = WatchOptions {
                labels,
                fields,
                resource_version: asked.resource_version,
                bookmarks: asked.allow_bookmarks,
                initial_events: asked.send_initial_events,
                timeout_s: asked.timeout_seconds,
            };
            let mut watching = watch::watch(&self.server, &target, &options).await?;
            watching.begin(&self.server, &user, &mut seat, passage.until()).await?;
            let running = seen.runs();
            let chunks = watch_stream::chunks(target.resource.kind, watching);
            Ok(chunks.inspect(move |_| _ = &running).boxed())
        };
        seen.end(run.await).map_err(status::of)
    }
}

fn respond<T>(outcome: Result<T>) -> Answer<T> {
    outcome.map(Response::new).map_err(status::of)
}

/// Who sends the request, as it says.
fn user_agent<T>(request: &Request<T>) -> String {
    request.metadata().get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned()
}

fn write_options(
    kind: &str,
    options: Option<WireWriteOptions>,
    user_agent: &str,
    force: Option<bool>,
    apply: bool,
) -> Result<WriteOptions> {
    let options = options.unwrap_or_default();
    options::check_manager(kind, &options.field_manager, force, apply)?;
    Ok(WriteOptions {
        dry_run: options.dry_run,
        field_validation: FieldValidation::parse(&options.field_validation)?,
        field_manager: options::manager(&options.field_manager, user_agent),
        force: force.unwrap_or(false),
    })
}

fn delete_options(options: Option<WireDeleteOptions>) -> Result<DeleteOptions> {
    let options = options.unwrap_or_default();
    Ok(DeleteOptions {
        grace_period_s: options.grace_period_seconds,
        propagation: Propagation::parse(&options.propagation_policy)?,
        uid: options.precondition_uid,
        resource_version: options.precondition_resource_version,
        dry_run: options.dry_run,
    })
}

fn patch_type(kind: PatchKind) -> Result<PatchType> {
    match kind {
        PatchKind::Json => Ok(PatchType::Json),
        PatchKind::Merge => Ok(PatchType::Merge),
        PatchKind::StrategicMerge => Ok(PatchType::StrategicMerge),
        PatchKind::Unspecified => Err(Failure::bad_request("the type of the patch must be given")),
        PatchKind::Apply => Ok(PatchType::Apply),
    }
}
