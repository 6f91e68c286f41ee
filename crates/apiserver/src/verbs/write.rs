//! The one loop in which a change of an existing object is decided and stored.
//!
//! A [`Mutation`] decides from the current object what to store. The write is conditional on the version it was
//! decided from; where somebody else was faster, it is decided again. The cache's copy is tried first: a decision that
//! was made from an old copy and fails, or changes nothing, is made again from the store's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::dynamic::DynObject;

use super::{Target, owners};
use crate::admit;
use crate::registry::{Resource, Versioned};
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::storage::{Record, StorageError, Written};

/// Largest stored object, as etcd's default has it.
pub const OBJECT_BYTES_MAX: usize = 1_572_864;
/// After so many lost races the caller is told to try again.
const ATTEMPTS_MAX: u32 = 64;

/// What to do with an object.
#[derive(Debug)]
pub enum Decision {
    /// Leave it as it is.
    Keep,
    /// Store it so.
    Write(Box<dyn DynObject>),
    /// Remove it; the answer shows it so.
    Remove(Box<dyn DynObject>),
}

/// Decides about an object; asked again after a lost race.
#[async_trait::async_trait]
pub trait Mutation: Send {
    /// What to do with the object, which is at version `rev`.
    async fn decide(&mut self, current: Box<dyn DynObject>, rev: i64) -> Result<Decision>;
}

/// What a write made.
#[derive(Debug)]
pub struct Made {
    pub object: Versioned,
    /// The object did not exist before.
    pub created: bool,
}

/// How a change ended.
#[derive(Debug)]
pub struct Outcome {
    /// The object as stored, or as it was removed.
    pub object: Versioned,
    /// True where it is gone from the store.
    pub removed: bool,
}

/// The object that a decision is made from.
struct Current {
    rev: i64,
    bytes: Bytes,
    /// Straight from the store.
    fresh: bool,
}

/// Changes the target by `mutation`.
pub async fn change(server: &Server, target: &Target, dry_run: bool, mutation: &mut dyn Mutation) -> Result<Outcome> {
    target.require_name()?;
    let resource = &target.resource;
    admit::look_first(server, resource).await?;
    let mut current = match resource.cache.get(&resource.key(&target.namespace, &target.name)) {
        Some(entry) => Current { rev: entry.rev, bytes: entry.bytes.clone(), fresh: false },
        None => read(server, target).await?,
    };
    for attempt in 0..ATTEMPTS_MAX {
        let old = resource.decode(&current.bytes)?;
        let decision = match mutation.decide(old.clone(), current.rev).await {
            Err(_) if !current.fresh => {
                current = read(server, target).await?;
                continue;
            }
            decision => decision?,
        };
        let (written, object) = match decision {
            Decision::Keep if current.fresh => return Ok(kept(resource, current)),
            Decision::Keep => {
                current = read(server, target).await?;
                continue;
            }
            Decision::Write(mut new) => {
                owners::keep_times(old.as_ref(), new.as_mut());
                let unchanged = new.encode_to_vec() == current.bytes;
                match (unchanged, current.fresh) {
                    (true, true) => return Ok(kept(resource, current)),
                    (true, false) => {
                        current = read(server, target).await?;
                        continue;
                    }
                    _ => store(server, target, dry_run, &current, old.as_ref(), new).await?,
                }
            }
            Decision::Remove(last) => remove(server, target, dry_run, &current, last).await?,
        };
        match written {
            Written::Done(rev) => {
                let removed = matches!(object.1, Kind::Removed);
                let rev = if dry_run { current.rev } else { rev };
                return Ok(Outcome { object: Versioned { kind: resource.kind, rev, bytes: object.0 }, removed });
            }
            Written::Conflict(None) => return Err(target.not_found()),
            Written::Conflict(Some(record)) => current = opened(resource, &record)?,
        }
        if attempt > 2 {
            tokio::time::sleep(Duration::from_millis(rand::random_range(1..10))).await;
        }
    }
    Err(resource.modified(&target.name))
}

enum Kind {
    Stored,
    Removed,
}

fn kept(resource: &Arc<Resource>, current: Current) -> Outcome {
    Outcome { object: Versioned { kind: resource.kind, rev: current.rev, bytes: current.bytes }, removed: false }
}

async fn read(server: &Server, target: &Target) -> Result<Current> {
    let (record, _) = server.store.get(&target.store_key()).await?;
    let record = record.ok_or_else(|| target.not_found())?;
    opened(&target.resource, &record)
}

fn opened(resource: &Resource, record: &Record) -> Result<Current> {
    Ok(Current { rev: record.rev, bytes: resource.open(record)?, fresh: true })
}

async fn store(
    server: &Server,
    target: &Target,
    dry_run: bool,
    current: &Current,
    old: &dyn DynObject,
    mut new: Box<dyn DynObject>,
) -> Result<(Written, (Bytes, Kind))> {
    let resource = &target.resource;
    let reserved = server.services.reserve(server, Some(old), new.as_mut(), dry_run).await?;
    let bytes = match encode(resource, new.as_ref(), &target.name) {
        Ok(bytes) => bytes,
        Err(failure) => {
            server.services.give_back(server, reserved).await;
            return Err(failure);
        }
    };
    if dry_run {
        return Ok((Written::Done(current.rev), (bytes, Kind::Stored)));
    }
    let value = resource.seal(&bytes);
    let written = server.store.replace(&target.store_key(), current.rev, value).await;
    match &written {
        Ok(Written::Done(_)) => server.services.commit(server, reserved).await,
        // An answer that was lost may have been a success: what it reserved stays until the next repair.
        Err(StorageError::Unknown { .. }) => {}
        _ => server.services.give_back(server, reserved).await,
    }
    Ok((written.map_err(|error| refused(resource, &target.name, error))?, (bytes, Kind::Stored)))
}

async fn remove(
    server: &Server,
    target: &Target,
    dry_run: bool,
    current: &Current,
    last: Box<dyn DynObject>,
) -> Result<(Written, (Bytes, Kind))> {
    let bytes = Bytes::from(last.encode_to_vec());
    if dry_run {
        return Ok((Written::Done(current.rev), (bytes, Kind::Removed)));
    }
    let written = server.store.remove(&target.store_key(), current.rev).await?;
    if matches!(written, Written::Done(_)) {
        server.services.release(server, last.as_ref()).await;
    }
    Ok((written, (bytes, Kind::Removed)))
}

/// Adds warnings, each once: an object may be judged again after a lost race.
pub fn tell(warnings: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }
}

/// An object's bytes, without the version that travels beside them.
pub fn encode(resource: &Resource, object: &dyn DynObject, name: &str) -> Result<Bytes> {
    debug_assert!(object.metadata().resource_version.is_empty(), "the version travels beside the bytes");
    let bytes = object.encode_to_vec();
    if bytes.len() > OBJECT_BYTES_MAX {
        return Err(too_large(resource, name, bytes.len(), &format!("the limit is {OBJECT_BYTES_MAX}")));
    }
    Ok(bytes.into())
}

/// What the store refused, told about the object.
pub fn refused(resource: &Resource, name: &str, error: StorageError) -> Failure {
    match error {
        StorageError::TooLarge { bytes } => {
            let limit = "more than the store takes in one request (its flag --max-request-bytes, 1572864 by default)";
            too_large(resource, name, bytes, limit)
        }
        error => error.into(),
    }
}

fn too_large(resource: &Resource, name: &str, size: usize, limit: &str) -> Failure {
    let kind = resource.row.kind;
    Failure::too_large(&format!("{kind} \"{name}\" has {size} bytes, {limit}; split it or make it smaller"))
}
