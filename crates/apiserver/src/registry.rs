//! Every resource that is served: a row of `api::resource`, its strategy, its watch cache.
//!
//! Adding a resource is adding a row there; a strategy only where its objects need preparing. Custom resources come and
//! go while the server runs: [`Registry::replace_custom`] is called by `custom::follow`, whoever holds a resource keeps it.

pub mod api_service;
mod attributes;
pub mod certificate;
mod convert;
mod definition;
pub mod deletion;
pub mod namespace;
pub mod persistent_volume;
pub mod pod;
pub mod reset;
pub mod rules;
pub mod scale;
pub mod service;
pub mod splice;
pub mod strategy;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use prost::Message;
use proto::dynamic::{DynObject, KindInfo};
use proto::meta::v1::PartialObjectMetadata;

use crate::custom::Version;
use crate::status::{Failure, Result};
use crate::storage::{Record, StorageError, codec};
use crate::watch_cache::{Entry, WatchCache};
use convert::Conversion;
use strategy::Strategy;

/// The groups of reviews.
const REVIEWS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

type Labels = BTreeMap<String, String>;
/// What field selectors can ask for, beyond name and namespace.
type Fields = Vec<(&'static str, String)>;

/// One resource.
#[derive(Debug)]
pub struct Resource {
    /// Names, scope, verbs.
    pub row: &'static api::resource::Resource,
    /// The kind of its objects.
    pub kind: &'static KindInfo,
    /// What its keys in the store begin with; ends with a slash. Empty where nothing is stored.
    pub prefix: String,
    /// The apiVersion that stored objects say.
    stored_api_version: &'static str,
    /// Whether it is stored as JSON.
    json: bool,
    /// How its objects are stored, where that is as another kind.
    conversion: Option<Conversion>,
    /// What is done to its objects around a write.
    pub strategy: &'static dyn Strategy,
    /// What its definition says of its objects, where it is a custom resource.
    pub custom: Option<Arc<Version>>,
    /// Its objects.
    pub cache: Arc<WatchCache>,
}

impl Resource {
    fn new(row: &'static api::resource::Resource) -> Option<Self> {
        let kind = row.kind_info()?;
        let conversion = match row.storage {
            // Without a conversion between the two versions the row is not served.
            Some(storage) if !convert::is_stored_as_served(kind, &storage) => {
                Some(Conversion::between(kind, storage.api_version)?)
            }
            _ => None,
        };
        Some(Self {
            row,
            kind,
            prefix: row.storage.map_or_else(String::new, |storage| format!("{}/", storage.prefix)),
            stored_api_version: row.storage.map_or("", |storage| storage.api_version),
            json: row.storage.is_some_and(|storage| storage.codec == api::resource::Codec::Json),
            conversion,
            strategy: strategy::of(row.group, row.plural),
            custom: None,
            cache: Arc::default(),
        })
    }

    /// A version of a custom resource. The cache may be that of the same version under another row.
    pub fn of_custom(row: &'static api::resource::Resource, version: Arc<Version>, cache: Arc<WatchCache>) -> Self {
        Self {
            row,
            kind: proto::custom::kind(row.group, row.version, row.kind),
            prefix: row.storage.map_or_else(String::new, |storage| format!("{}/", storage.prefix)),
            stored_api_version: row.storage.map_or("", |storage| storage.api_version),
            json: true,
            conversion: None,
            strategy: strategy::of_custom(),
            custom: Some(version),
            cache,
        }
    }

    /// What every request for a deprecated API is told.
    pub fn deprecation(&self) -> Option<String> {
        match &self.custom {
            Some(version) => version.deprecation.clone(),
            None => api::warn::deprecated_api(self.kind),
        }
    }

    /// `deployments.apps`.
    pub fn name(&self) -> String {
        crate::status::qualified(self.row.group, self.row.plural)
    }

    /// Whether it has that subresource.
    pub fn has_subresource(&self, name: &str) -> bool {
        self.row.subresource(name).is_some()
    }

    /// It has no such subresource; as upstream, custom resources say so of the object.
    pub fn no_subresource(&self, name: &str) -> Failure {
        if self.custom.is_some() { self.not_found(name) } else { Failure::no_resource() }
    }

    /// The verb is not there; a custom resource that ends says why.
    pub fn not_allowed(&self, verb: &str) -> Failure {
        if self.custom.is_none() || self.row.allows("create") {
            return Failure::method_not_allowed();
        }
        let mut failure = Failure::method_not_supported(self.row.group, self.row.plural, verb);
        failure.0.message = format!("{verb} not allowed while custom resource definition is terminating");
        failure
    }

    /// The key below the prefix.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.row.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    /// The key in the store.
    pub fn store_key(&self, namespace: &str, name: &str) -> String {
        format!("{}{}", self.prefix, self.key(namespace, name))
    }

    /// The object's protobuf bytes in a stored value.
    pub fn open(&self, record: &Record) -> std::result::Result<Bytes, StorageError> {
        if let Some(version) = &self.custom {
            return version.open(self.kind, record);
        }
        let Some(conversion) = &self.conversion else { return codec::open(self.kind, record) };
        let stored = codec::open(conversion.stored, record)?;
        conversion
            .open(&stored)
            .map_err(|reason| StorageError::Corrupt { key: String::from_utf8_lossy(&record.key).into_owned(), reason })
    }

    /// The value to store for an object's protobuf bytes.
    pub fn seal(&self, bytes: &Bytes) -> Bytes {
        let version = self.stored_api_version;
        if self.custom.is_some() {
            return crate::custom::seal(self.kind, version, bytes);
        }
        let Some(conversion) = &self.conversion else { return codec::seal(self.kind, version, self.json, bytes) };
        // Our own encoder's bytes cannot be malformed.
        let stored = conversion.seal(bytes).unwrap_or_default();
        codec::seal(conversion.stored, version, self.json, &stored)
    }

    /// Reads a stored object for the cache.
    pub fn entry(&self, record: &Record) -> std::result::Result<Entry, StorageError> {
        let corrupt =
            |reason: String| StorageError::Corrupt { key: String::from_utf8_lossy(&record.key).into_owned(), reason };
        // A part of an answer of the store would keep all of it in memory, as long as this object stays as it is.
        let bytes = Bytes::copy_from_slice(&self.open(record)?);
        let key = std::str::from_utf8(&record.key).map_err(|error| corrupt(error.to_string()))?;
        let key = key.strip_prefix(&self.prefix).unwrap_or(key);
        let (labels, fields) = self.attributes(&bytes).map_err(|error| corrupt(error.to_string()))?;
        Ok(Entry::new(key, record.rev, bytes, labels, fields))
    }

    fn attributes(&self, bytes: &[u8]) -> std::result::Result<(Labels, Fields), prost::DecodeError> {
        let beyond: Vec<&'static str> =
            self.row.selectable_fields.iter().copied().filter(|field| !field.starts_with("metadata.")).collect();
        if beyond.is_empty() {
            return Ok((PartialObjectMetadata::decode(bytes)?.metadata.labels, Vec::new()));
        }
        let mut object = self.kind.decode(bytes)?;
        let fields = match &self.custom {
            Some(version) => version.fields(object.as_ref(), &beyond),
            None => attributes::of(object.as_ref(), &beyond),
        };
        Ok((std::mem::take(&mut object.metadata_mut().labels), fields))
    }

    /// Reads an object's bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<Box<dyn DynObject>> {
        self.kind
            .decode(bytes)
            .map_err(|error| Failure::internal(format!("a stored {} is malformed: {error}", self.row.kind)))
    }

    /// Refuses a version of a custom resource whose objects only a webhook could convert from the one they are stored in.
    pub fn may_be_read(&self) -> Result<()> {
        let stored = self.custom.as_ref().and_then(|version| version.stored_only.as_deref());
        match stored.filter(|stored| *stored != self.kind.api_version) {
            None => Ok(()),
            Some(stored) => Err(Failure::internal(format!(
                "conversion webhook for {stored}, Kind={} failed: this server does not ask conversion webhooks yet; ask for {stored}, \
                 in which objects are stored",
                self.row.kind
            ))),
        }
    }

    /// The object does not exist.
    pub fn not_found(&self, name: &str) -> Failure {
        Failure::not_found(self.row.group, self.row.plural, name)
    }

    /// The object exists.
    pub fn already_exists(&self, name: &str) -> Failure {
        Failure::already_exists(self.row.group, self.row.plural, name)
    }

    /// The object was changed by somebody else.
    pub fn modified(&self, name: &str) -> Failure {
        Failure::modified(self.row.group, self.row.plural, name)
    }

    /// The object is not in the state that the request supposes.
    pub fn conflict(&self, name: &str, why: &str) -> Failure {
        Failure::conflict(self.row.group, self.row.plural, name, why)
    }

    /// The request is forbidden.
    pub fn forbidden(&self, name: &str, why: &str) -> Failure {
        Failure::forbidden(self.row.group, self.row.plural, name, why)
    }

    /// The object breaks rules.
    pub fn invalid(&self, name: &str, causes: Vec<proto::meta::v1::StatusCause>) -> Failure {
        // As upstream: such a refusal speaks of the kind that is stored.
        let group = self.conversion.as_ref().map_or(self.row.group, |conversion| conversion.stored.group);
        Failure::invalid(group, self.row.kind, name, causes)
    }
}

/// An object as verbs hand it out.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// Its kind.
    pub kind: &'static KindInfo,
    /// metadata.resourceVersion; 0 for what is not stored.
    pub rev: i64,
    /// Protobuf, without envelope and without the version.
    pub bytes: Bytes,
}

impl Versioned {
    /// An object that is not stored, or as it will be.
    pub fn of(object: &dyn DynObject, rev: i64) -> Self {
        Self { kind: object.info(), rev, bytes: object.encode_to_vec().into() }
    }

    /// Reads it as a kind known beforehand.
    pub fn read<T: proto::Object>(&self) -> Result<T> {
        T::decode(self.bytes.clone()).map_err(|error| Failure::internal(format!("{} is malformed: {error}", T::KIND)))
    }
}

/// Every resource.
#[derive(Debug)]
pub struct Registry {
    resources: Vec<Arc<Resource>>,
    /// What is answered and never stored: reviews of access and of tokens, the state of components.
    answered: Vec<Arc<Resource>>,
    /// What definitions add while the server runs; in order of names.
    custom: ArcSwap<Vec<Arc<Resource>>>,
}

impl Registry {
    /// The rows of `api::resource` whose objects are stored, and the reviews.
    pub fn new() -> Self {
        let made = |wanted: fn(&api::resource::Resource) -> bool| {
            let rows = api::resource::all().iter().filter(|row| wanted(row));
            rows.filter_map(Resource::new).map(Arc::new).collect()
        };
        let is_answered = |row: &api::resource::Resource| {
            row.storage.is_none() && (REVIEWS.contains(&row.group) || row.kind == "ComponentStatus")
        };
        let (resources, answered) = (made(|row| row.storage.is_some()), made(is_answered));
        Self { resources, answered, custom: ArcSwap::default() }
    }

    /// The built-in resource of that name.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Result<&Arc<Resource>> {
        let named =
            |row: &api::resource::Resource| row.plural == plural && row.group == group && row.version == version;
        let mut all = self.resources.iter().chain(&self.answered);
        all.find(|resource| named(resource.row)).ok_or_else(Failure::no_resource)
    }

    /// A resource that every server has.
    pub fn core(&self, plural: &str) -> Result<&Arc<Resource>> {
        self.find("", "v1", plural)
    }

    /// The resource of that name, built-in or custom.
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Result<Arc<Resource>> {
        if let Ok(resource) = self.find(group, version, plural) {
            return Ok(Arc::clone(resource));
        }
        let custom = self.custom.load();
        let found = custom.binary_search_by(|resource| place(resource.row).cmp(&(group, version, plural)));
        found.map(|index| Arc::clone(&custom[index])).map_err(|_| Failure::no_resource())
    }

    /// Whether any resource of that group is served.
    pub fn has_group(&self, group: &str) -> bool {
        let custom = self.custom.load();
        let begin = custom.partition_point(|resource| resource.row.group < group);
        custom.get(begin).is_some_and(|resource| resource.row.group == group) || self.is_built_in(group)
    }

    /// Whether that is a group of built-in resources.
    pub fn is_built_in(&self, group: &str) -> bool {
        api::resource::all().iter().any(|row| row.group == group)
    }

    /// Whether a built-in resource has that name: a definition of it must neither hide nor empty it.
    pub fn is_built_in_resource(&self, group: &str, plural: &str) -> bool {
        api::resource::all().iter().any(|row| row.group == group && row.plural == plural)
    }

    /// The built-in resources whose objects are stored.
    pub fn all(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// The custom resources, as they are now.
    pub fn custom(&self) -> Arc<Vec<Arc<Resource>>> {
        self.custom.load_full()
    }

    /// Serves these custom resources from now on.
    pub fn replace_custom(&self, mut resources: Vec<Arc<Resource>>) {
        resources.sort_by_key(|resource| place(resource.row));
        self.custom.store(Arc::new(resources));
    }
}

fn place(row: &api::resource::Resource) -> (&str, &str, &str) {
    (row.group, row.version, row.plural)
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}
