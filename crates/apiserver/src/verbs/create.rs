//! Creating objects.

use bytes::Bytes;
use proto::dynamic::DynObject;

use super::decode::{Body, object_of, place};
use super::options::WriteOptions;
use super::owners::{self, Owners};
use super::{Target, binding, eviction, review, token, write};
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::admit::plugins::Plugin;
use crate::admit::{self, node_restriction};
use crate::authenticate::User;
use crate::authorize::grant;
use crate::registry::{Versioned, rules, strategy};
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::storage::{StorageError, Written};

/// Names tried for one generateName.
const NAMES_MAX: u32 = 8;
/// Admissions of one object, while its namespace changes.
const ADMISSIONS_MAX: u32 = 16;

/// Creates the object in `body`, or does what creating the subresource means.
pub async fn create(
    server: &Server,
    user: &User,
    target: &Target,
    body: Body<'_>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    if server.runs(Plugin::NodeRestriction) {
        node_restriction::on_subresource(user, target)?;
    }
    match target.subresource.as_str() {
        "" if target.resource.row.storage.is_none() => {
            return review::create(server, user, target, body, options, warnings).await;
        }
        "" => {}
        "binding" => return binding::bind(server, user, target, body, options, warnings).await,
        "eviction" => return eviction::evict(server, user, target, body, options, warnings).await,
        "token" => return token::request(server, user, target, body, options, warnings).await,
        other => {
            let row = target.resource.row;
            return Err(Failure::method_not_supported(row.group, row.plural, &format!("create of {other}")));
        }
    }
    warnings.extend(target.resource.deprecation());
    let object = object_of(&target.resource, body, options.field_validation, warnings)?;
    create_object(server, user, target, object, options, Owners::Of(options), warnings).await
}

/// Creates an object, and says in `warnings` what its sender should know. Admission and what prepares it own nothing,
/// as upstream.
pub async fn create_object(
    server: &Server,
    user: &User,
    target: &Target,
    mut object: Box<dyn DynObject>,
    options: &WriteOptions,
    owners: Owners<'_>,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    if target.resource.custom.is_some() && !target.resource.row.allows("create") {
        return Err(target.resource.not_allowed("create"));
    }
    place(target, object.as_mut())?;
    if !matches!(object.metadata().resource_version.as_str(), "" | "0") {
        return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
    }
    fill_metadata(server, object.as_mut());
    warnings.extend(api::warn::repeated_owners(object.metadata_mut()));
    rules::default(&target.resource, object.as_mut());
    owners::track(target, None, object.as_mut(), owners, server.now());
    if object.metadata().name.is_empty() && !object.metadata().generate_name.is_empty() {
        return create_named(server, user, target, object, options, warnings).await;
    }
    create_once(server, user, target, object, options, warnings).await
}

/// Tries names until one is free.
async fn create_named(
    server: &Server,
    user: &User,
    target: &Target,
    object: Box<dyn DynObject>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    let mut attempts = NAMES_MAX;
    loop {
        attempts -= 1;
        match create_once(server, user, target, object.clone(), options, warnings).await {
            Err(failure) if failure.is_already_exists() && attempts > 0 => {}
            outcome => return outcome,
        }
    }
}

async fn create_once(
    server: &Server,
    user: &User,
    target: &Target,
    object: Box<dyn DynObject>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    let said = Options::Write("CreateOptions", options);
    let asking = Asking { server, user, target, operation: Operation::Create, options: said };
    for _ in 0..ADMISSIONS_MAX {
        let guard = guard(server, target);
        let mut told = Vec::new();
        let admitted = admit::on_create(&asking, object.clone(), &mut told).await;
        write::tell(warnings, told);
        let mut admitted = admitted?;
        name(admitted.metadata_mut());
        grant::check(&server.access, user, &target.resource, admitted.as_ref(), None)?;
        if target.resource.row.namespaced && guard.is_none() {
            // The namespace came into sight only now.
            continue;
        }
        match create_admitted(&asking, admitted, options, guard, warnings).await {
            Err(StoreFailure::Judged) => admit::catch_up(server).await?,
            Err(StoreFailure::Lost(failure) | StoreFailure::Refused(failure)) => return Err(failure),
            Ok(created) => return Ok(created),
        }
    }
    Err(Failure::unavailable(format!("namespace {} changes all the time", target.namespace)))
}

/// The namespace's key and the version that admission judges: the object is stored only while it is at that version,
/// so that nothing is left behind in a namespace that ends meanwhile.
fn guard(server: &Server, target: &Target) -> Option<(String, i64)> {
    if !target.resource.row.namespaced {
        return None;
    }
    let namespaces = server.registry.core("namespaces").ok()?;
    let entry = namespaces.cache.get(&target.namespace)?;
    Some((namespaces.store_key("", &target.namespace), entry.rev))
}

/// Makes a name where one is asked for. Plugins and webhooks that change objects see none yet, as upstream.
fn name(meta: &mut proto::meta::v1::ObjectMeta) {
    if meta.name.is_empty() && !meta.generate_name.is_empty() {
        meta.name = api::name::generated(&meta.generate_name, rand::random());
    }
}

async fn create_admitted(
    asking: &Asking<'_>,
    object: Box<dyn DynObject>,
    options: &WriteOptions,
    guard: Option<(String, i64)>,
    warnings: &mut Vec<String>,
) -> std::result::Result<Versioned, StoreFailure> {
    let Asking { server, target, .. } = *asking;
    let resource = &target.resource;
    let refused = StoreFailure::Refused;
    let mut object = strategy::prepare_for_create(resource.strategy, resource.has_subresource("status"), object);
    rules::check_create(resource, object.as_ref()).map_err(refused)?;
    write::tell(warnings, api::warn::on_create(object.as_ref()));
    write::tell(warnings, admit::warnings(server, object.as_ref()));
    admit::validate(asking, object.as_ref(), warnings).await.map_err(refused)?;
    let reserved = server.services.reserve(server, None, object.as_mut(), options.dry_run).await.map_err(refused)?;
    let stored = store(server, target, object.as_ref(), options.dry_run, guard).await;
    match &stored {
        Ok(_) => server.services.commit(server, reserved).await,
        Err(StoreFailure::Lost(_)) => {}
        Err(StoreFailure::Refused(_) | StoreFailure::Judged) => server.services.give_back(server, reserved).await,
    }
    stored
}

/// Why an object was not created.
enum StoreFailure {
    /// It may have been, after all.
    Lost(Failure),
    Refused(Failure),
    /// The namespace is not as admission saw it.
    Judged,
}

async fn store(
    server: &Server,
    target: &Target,
    object: &dyn DynObject,
    dry_run: bool,
    guard: Option<(String, i64)>,
) -> std::result::Result<Versioned, StoreFailure> {
    let resource = &target.resource;
    let name = &object.metadata().name;
    let bytes: Bytes = write::encode(resource, object, name).map_err(StoreFailure::Refused)?;
    let key = resource.store_key(&object.metadata().namespace, name);
    if dry_run {
        let (found, _) = server.store.get(&key).await.map_err(|error| StoreFailure::Refused(error.into()))?;
        return match found {
            Some(_) => Err(StoreFailure::Refused(resource.already_exists(name))),
            None => Ok(Versioned { kind: resource.kind, rev: 0, bytes }),
        };
    }
    let value = resource.seal(&bytes);
    let written = match &guard {
        Some((guard, rev)) => server.store.create_beside(&key, value, (guard, *rev)).await,
        None => server.store.create(&key, value).await,
    };
    match written {
        Ok(Written::Done(rev)) => Ok(Versioned { kind: resource.kind, rev, bytes }),
        Ok(Written::Conflict(None)) if guard.is_some() => Err(StoreFailure::Judged),
        Ok(Written::Conflict(_)) => Err(StoreFailure::Refused(resource.already_exists(name))),
        Err(error @ StorageError::Unknown { .. }) => Err(StoreFailure::Lost(error.into())),
        Err(error) => Err(StoreFailure::Refused(write::refused(resource, name, error))),
    }
}

/// The metadata that only the server sets.
fn fill_metadata(server: &Server, object: &mut dyn DynObject) {
    let now = server.now();
    let meta = object.metadata_mut();
    meta.uid = uuid::Uuid::new_v4().to_string();
    meta.creation_timestamp = now;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.resource_version.clear();
    clear_self_link(meta);
}

/// The link was given up long ago; what clients still send is dropped.
#[allow(deprecated)]
pub(super) fn clear_self_link(meta: &mut proto::meta::v1::ObjectMeta) {
    meta.self_link.clear();
}
