//! Reading one object.

use super::Target;
use super::options::parse_version;
use crate::components;
use crate::registry::Versioned;
use crate::server::Server;
use crate::status::{Failure, Result};

/// The object. An empty version reads the store; any other reads the cache, not older than that.
pub async fn get(server: &Server, target: &Target, resource_version: &str) -> Result<Versioned> {
    target.require_name()?;
    if components::are(target) {
        return components::get(server, target).await;
    }
    // As upstream: a malformed version is answered without a reason.
    let version =
        parse_version(resource_version).map_err(|failure| Failure::new(500, "", failure.0.message.clone()))?;
    let object = match version {
        Some(version) if server.reach(&target.resource, version).await? => cached(target)?,
        _ => newest(server, target).await?,
    };
    match target.subresource.as_str() {
        "" | "status" | "ephemeralcontainers" | "resize" | "approval" => Ok(object),
        "scale" => super::scale::read(target, &object),
        other => Err(Failure::method_not_supported(
            target.resource.row.group,
            target.resource.row.plural,
            &format!("get of {other}"),
        )),
    }
}

/// The object as the store holds it now.
pub async fn newest(server: &Server, target: &Target) -> Result<Versioned> {
    let (record, _) = server.store.get(&target.store_key()).await?;
    let record = record.ok_or_else(|| target.not_found())?;
    let bytes = target.resource.open(&record)?;
    Ok(Versioned { kind: target.resource.kind, rev: record.rev, bytes })
}

fn cached(target: &Target) -> Result<Versioned> {
    let resource = &target.resource;
    let entry = resource.cache.get(&resource.key(&target.namespace, &target.name)).ok_or_else(|| target.not_found())?;
    Ok(Versioned { kind: resource.kind, rev: entry.rev, bytes: entry.bytes.clone() })
}
