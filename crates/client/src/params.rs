//! What verbs take beside objects.

use proto::keelson::api::v1::{DeleteOptions, Selectors, WriteOptions, patch_request};

/// Which objects a list gives.
#[derive(Clone, Debug, Default)]
pub struct ListParams {
    /// Empty: all namespaces.
    pub namespace: String,
    /// As `kubectl -l` writes it.
    pub labels: String,
    /// As `kubectl --field-selector` writes it.
    pub fields: String,
    /// At most so many; 0: all.
    pub limit: i64,
    /// The token of the answer before.
    pub continue_token: String,
    /// Empty: consistent. "0": any. N: not older than N.
    pub resource_version: String,
}

impl ListParams {
    /// Everything in one namespace.
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), ..Self::default() }
    }

    /// Only objects with these labels.
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.labels = selector.into();
        self
    }

    /// Only objects with these fields.
    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.fields = selector.into();
        self
    }

    pub(crate) fn selectors(&self) -> Option<Selectors> {
        Some(Selectors { labels: self.labels.clone(), fields: self.fields.clone() })
    }
}

/// What a watch tells.
#[derive(Clone, Debug, Default)]
pub struct WatchParams {
    /// Empty: all namespaces.
    pub namespace: String,
    /// As `kubectl -l` writes it.
    pub labels: String,
    /// As `kubectl --field-selector` writes it.
    pub fields: String,
    /// Events after this revision; empty or "0": begins with the objects that exist, as ADDED.
    pub resource_version: String,
    /// Also tell how far the server is.
    pub bookmarks: bool,
    /// Begin with the objects that exist, closed by a bookmark.
    pub send_initial_events: bool,
    /// End after so many seconds; 0: the server's choice.
    pub timeout_s: i64,
}

/// How a write is made.
#[derive(Clone, Debug, Default)]
pub struct WriteParams {
    /// Run everything but the write itself.
    pub dry_run: bool,
    /// Who owns the fields; empty: from the user agent.
    pub field_manager: String,
    /// "Strict", "Warn" or "Ignore"; empty: the server's default.
    pub field_validation: String,
}

impl WriteParams {
    pub(crate) fn options(&self) -> Option<WriteOptions> {
        Some(WriteOptions {
            dry_run: self.dry_run,
            field_manager: self.field_manager.clone(),
            field_validation: self.field_validation.clone(),
        })
    }
}

/// How something is deleted.
#[derive(Clone, Debug, Default)]
pub struct DeleteParams {
    /// Seconds; none: the object's own.
    pub grace_period_s: Option<i64>,
    /// "Orphan", "Background" or "Foreground"; empty: the kind's own.
    pub propagation: String,
    /// Only the object with this uid.
    pub uid: String,
    /// Only the object at this version.
    pub resource_version: String,
    /// Change nothing.
    pub dry_run: bool,
}

impl DeleteParams {
    /// Only the object with this uid.
    pub fn with_uid(uid: impl Into<String>) -> Self {
        Self { uid: uid.into(), ..Self::default() }
    }

    pub(crate) fn options(&self) -> Option<DeleteOptions> {
        Some(DeleteOptions {
            grace_period_seconds: self.grace_period_s,
            propagation_policy: self.propagation.clone(),
            precondition_uid: self.uid.clone(),
            precondition_resource_version: self.resource_version.clone(),
            dry_run: self.dry_run,
        })
    }
}

/// A change to an object.
#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 6902.
    Json(Vec<u8>),
    /// RFC 7386.
    Merge(Vec<u8>),
    /// Kubernetes' own, by merge keys.
    Strategic(Vec<u8>),
    /// Server-side apply: JSON or YAML.
    Apply {
        /// The fields that the manager wants.
        body: Vec<u8>,
        /// Take fields over from other managers.
        force: bool,
    },
}

impl Patch {
    /// A merge patch from a tree.
    pub fn merge(value: &serde_json::Value) -> Self {
        Self::Merge(value.to_string().into_bytes())
    }

    /// A strategic merge patch from a tree.
    pub fn strategic(value: &serde_json::Value) -> Self {
        Self::Strategic(value.to_string().into_bytes())
    }

    /// A JSON patch from a tree.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::Json(value.to_string().into_bytes())
    }

    pub(crate) fn parts(self) -> (patch_request::Type, Vec<u8>, bool) {
        match self {
            Self::Json(body) => (patch_request::Type::Json, body, false),
            Self::Merge(body) => (patch_request::Type::Merge, body, false),
            Self::Strategic(body) => (patch_request::Type::StrategicMerge, body, false),
            Self::Apply { body, force } => (patch_request::Type::Apply, body, force),
        }
    }
}
