//! Patches: JSON, merge and strategic merge; `apply` does the fourth kind.

use proto::dynamic::DynObject;

use super::Target;
use super::decode::{self, Body};
use super::options::{WriteOptions, parse_version};
use super::owners::Owners;
use super::update::{Writing, replace};
use super::write::{Decision, Made, Mutation, change, tell};
use super::{apply, scale};
use crate::authenticate::User;
use crate::registry::rules;
use crate::server::Server;
use crate::status::{Failure, Result, cause};

/// How to read a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' own: lists merge by key.
    StrategicMerge,
    /// A configuration: its manager's fields, laid over the object.
    Apply,
}

/// Changes the object by a patch; a configuration that is applied creates what does not exist.
pub async fn patch(
    server: &Server,
    user: &User,
    target: &Target,
    kind: PatchType,
    patch: &[u8],
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Made> {
    warnings.extend(target.resource.deprecation());
    if kind == PatchType::StrategicMerge && target.resource.custom.is_some() && target.subresource != "scale" {
        return Err(crate::custom::no_strategic_merge());
    }
    if kind == PatchType::Apply {
        return apply::apply(server, user, target, patch, options, warnings).await;
    }
    let patch: serde_json::Value = serde_json::from_slice(patch)
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    if target.subresource == "scale" {
        let object = scale::patch(server, user, target, kind, &patch, options, warnings).await?;
        return Ok(Made { object, created: false });
    }
    let mut mutation = Patch { server, user, target, kind, patch: &patch, options, warnings: Vec::new() };
    let changed = change(server, target, options.dry_run, &mut mutation).await;
    tell(warnings, mutation.warnings);
    Ok(Made { object: changed?.object, created: false })
}

struct Patch<'a> {
    server: &'a Server,
    user: &'a User,
    target: &'a Target,
    kind: PatchType,
    patch: &'a serde_json::Value,
    options: &'a WriteOptions,
    warnings: Vec<String>,
}

#[async_trait::async_trait]
impl Mutation for Patch<'_> {
    async fn decide(&mut self, current: Box<dyn DynObject>, rev: i64) -> Result<Decision> {
        self.warnings.clear();
        let resource = &self.target.resource;
        let patched = changed(self.kind, self.patch, current.as_ref(), rev)?;
        let bytes = serde_json::to_vec(&patched).map_err(Failure::internal)?;
        let validation = self.options.field_validation;
        let mut new =
            decode::object_of(resource, Body::Json(&bytes), validation, &mut self.warnings).map_err(misfit)?;
        let said = std::mem::take(&mut new.metadata_mut().resource_version);
        if parse_version(&said)?.is_some_and(|version| version != 0 && version != rev) {
            return Err(resource.modified(&self.target.name));
        }
        decode::place(self.target, new.as_mut())?;
        let Self { server, user, target, options, .. } = *self;
        let writing = Writing { server, user, target, options, read_as: "PatchOptions", owners: Owners::Of(options) };
        replace(writing, new, current, rev, &mut self.warnings).await
    }
}

/// A patch whose outcome is no object of the kind.
fn misfit(failure: Failure) -> Failure {
    let causes = vec![cause("FieldValueInvalid", "patch", format!("Invalid value: {failure}"))];
    Failure::invalid("", "", "", causes)
}

/// The object's JSON with the patch applied. `rev` is shown to the patch as metadata.resourceVersion.
pub fn changed(
    kind: PatchType,
    patch: &serde_json::Value,
    object: &dyn DynObject,
    rev: i64,
) -> Result<serde_json::Value> {
    let mut json = proto::json::dyn_to_value(object.as_reflect());
    if let Some(meta) = json.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        meta.insert("resourceVersion".to_owned(), rev.to_string().into());
    }
    rules::patch(kind, json, patch, object.info())
}
