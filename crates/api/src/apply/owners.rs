//! `metadata.managedFields`: each manager's entry with its set of fields.

use proto::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};

use super::fields_v1;
use super::set::Set;

const FIELDS_TYPE: &str = "FieldsV1";

/// How a manager came to own fields. In the order in which entries are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    /// A create, an update, or a patch of another kind.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// A manager of fields and what it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub manager: String,
    pub operation: Operation,
    /// Empty: the object itself.
    pub subresource: String,
    /// The version whose fields the set names.
    pub api_version: String,
    /// When it last took fields; none where it has only shared others' values so far.
    pub time: Option<Time>,
    set: Set,
    /// The set as it was read, until it changes.
    written: Option<Vec<u8>>,
}

impl Owner {
    /// An owner of nothing yet.
    pub fn new(manager: &str, operation: Operation, subresource: &str, api_version: &str) -> Self {
        Self {
            manager: manager.to_owned(),
            operation,
            subresource: subresource.to_owned(),
            api_version: api_version.to_owned(),
            time: None,
            set: Set::default(),
            written: None,
        }
    }

    pub fn set(&self) -> &Set {
        &self.set
    }

    /// Gives it these fields, and no others.
    pub fn replace(&mut self, set: Set) {
        if self.set != set {
            self.written = None;
            self.set = set;
        }
    }

    /// Gives it these fields too.
    pub fn add(&mut self, set: Set) {
        self.written = None;
        self.set.add(set);
    }

    /// Takes these fields from it; says which it had.
    pub fn take(&mut self, set: &Set) -> Set {
        let had = self.set.common(set);
        if !had.is_empty() {
            self.written = None;
            self.set.subtract(set);
        }
        had
    }

    /// Whether both are entries of one manager: an applier has one in all versions, an updater one in each.
    pub fn is_same(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn order(&self) -> (Operation, i64, &str, &str, &str) {
        let seconds = self.time.as_ref().map_or(0, |time| time.seconds);
        (self.operation, seconds, &self.manager, &self.api_version, &self.subresource)
    }

    fn encode(&self) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: self.manager.clone(),
            operation: self.operation.name().to_owned(),
            api_version: self.api_version.clone(),
            time: self.time,
            fields_type: FIELDS_TYPE.to_owned(),
            fields_v1: Some(fields(self.written.clone().unwrap_or_else(|| fields_v1::encode(&self.set)))),
            subresource: self.subresource.clone(),
        }
    }

    fn decode(entry: &ManagedFieldsEntry) -> Result<Self, Error> {
        let operation = match entry.operation.as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            other => return Err(Error::Operation(other.to_owned())),
        };
        if entry.fields_type != FIELDS_TYPE {
            return Err(Error::FieldsType(entry.fields_type.clone()));
        }
        let written = entry.fields_v1.as_ref().map(raw).unwrap_or_default();
        let set = if written.is_empty() { Set::default() } else { fields_v1::decode(written)? };
        Ok(Self {
            manager: entry.manager.clone(),
            operation,
            subresource: entry.subresource.clone(),
            api_version: entry.api_version.clone(),
            time: entry.time,
            set,
            written: Some(written.to_vec()),
        })
    }
}

#[allow(deprecated, reason = "clients are to treat the bytes as opaque; the server makes them")]
fn fields(raw: Vec<u8>) -> FieldsV1 {
    FieldsV1 { raw }
}

#[allow(deprecated, reason = "clients are to treat the bytes as opaque; the server reads them")]
fn raw(fields: &FieldsV1) -> &[u8] {
    &fields.raw
}

/// Why entries could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("operation is {0:?}, must be Apply or Update")]
    Operation(String),
    #[error("fieldsType is {0:?}, must be FieldsV1")]
    FieldsType(String),
    #[error(transparent)]
    Fields(#[from] fields_v1::Error),
}

/// Every manager of an object's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    pub(super) all: Vec<Owner>,
}

impl Owners {
    /// Reads entries; of two of one manager the later counts, as upstream has it.
    pub fn decode(entries: &[ManagedFieldsEntry]) -> Result<Self, Error> {
        let mut owners = Self::default();
        for entry in entries {
            owners.insert(Owner::decode(entry)?);
        }
        Ok(owners)
    }

    /// The entries in upstream's order, those without fields left out.
    pub fn encode(&self) -> Vec<ManagedFieldsEntry> {
        let mut all: Vec<&Owner> = self.all.iter().filter(|owner| !owner.set.is_empty()).collect();
        all.sort_by(|left, right| left.order().cmp(&right.order()));
        all.into_iter().map(Owner::encode).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds an owner, or replaces the one of that manager.
    pub fn insert(&mut self, owner: Owner) {
        match self.find(&owner) {
            Some(index) => self.all[index] = owner,
            None => self.all.push(owner),
        }
    }

    /// Where the entry of that manager is.
    pub(super) fn find(&self, owner: &Owner) -> Option<usize> {
        self.all.iter().position(|other| other.is_same(owner))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Owner> {
        self.all.iter()
    }

    pub(super) fn drop_empty(&mut self) {
        self.all.retain(|owner| !owner.set.is_empty());
    }
}
