//! Who owns what after a create, an update, or a patch of another kind than apply.

use std::borrow::Cow;

use proto::dynamic::DynObject;
use proto::meta::v1::ManagedFieldsEntry;

use super::cap::cap;
use super::compare::{Changes, changes};
use super::owners::{Operation, Owner, Owners};
use super::set::Set;
use super::{Writer, owned};

/// What a client said of the owners of the object that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// Nothing, or entries as the object has them.
    Entries,
    /// An empty list: forget who owns what.
    Reset,
}

impl Given {
    /// What an object's entries mean: a single empty one is the empty list that survives protobuf.
    fn of(entries: &[ManagedFieldsEntry]) -> Self {
        match entries {
            [one] if *one == ManagedFieldsEntry::default() => Self::Reset,
            _ => Self::Entries,
        }
    }
}

/// Writes into `new` who owns its fields, now that `writer` has made it from `live` (none: it creates the object).
///
/// As upstream: fields that changed go to the writer, fields that are gone belong to nobody, and an object whose owners
/// are unknown stays so until somebody applies to it.
/// The entries in `new` are what the client sends: readable ones count, a single empty one means to forget all of them.
pub fn updated(live: Option<&dyn DynObject>, new: &mut dyn DynObject, writer: &Writer<'_>) {
    let said = std::mem::take(&mut new.metadata_mut().managed_fields);
    let kept = live.map_or(&[] as &[_], |live| live.metadata().managed_fields.as_slice());
    let base = base(kept, &said, writer);
    if base.is_empty() && live.is_some() {
        return;
    }
    let schema = writer.schema(new.info().api_version);
    let mut changes = match live {
        Some(live) => changes(live, new, schema),
        None => changes(new.info().new_object().as_ref(), new, schema),
    };
    reset(&mut changes, writer);
    if changes.is_empty() && *base == *kept {
        new.metadata_mut().managed_fields = base.into_owned();
        return;
    }
    // What cannot be read (a client may write anything) is forgotten, as upstream does.
    let mut owners = Owners::decode(&base).unwrap_or_default();
    let mut versions = Versions::new(changes, writer);
    owners.all.retain_mut(|owner| {
        let Some(change) = versions.at(&owner.api_version, live, new) else { return false };
        owner.take(&change.set);
        owner.take(&change.removed);
        !owner.set().is_empty()
    });
    let taken = owned(versions.into_set());
    if !taken.is_empty() {
        take(&mut owners, taken, writer);
    }
    cap(&mut owners);
    new.metadata_mut().managed_fields = owners.encode();
}

/// The entries to begin with: those of the client where it sends any that can be read, else the object's.
fn base<'a>(
    kept: &'a [ManagedFieldsEntry],
    said: &'a [ManagedFieldsEntry],
    writer: &Writer<'_>,
) -> Cow<'a, [ManagedFieldsEntry]> {
    match Given::of(said) {
        // A write of a subresource cannot change them.
        _ if !writer.subresource.is_empty() => Cow::Borrowed(kept),
        Given::Reset => Cow::Borrowed(&[]),
        Given::Entries if said.is_empty() || Owners::decode(said).is_err() => Cow::Borrowed(kept),
        Given::Entries => Cow::Borrowed(said),
    }
}

/// Leaves out what this kind of write cannot change.
pub(super) fn reset(changes: &mut Changes, writer: &Writer<'_>) {
    for path in writer.reset {
        changes.drop_below(path);
    }
}

fn take(owners: &mut Owners, taken: Set, writer: &Writer<'_>) {
    let mut owner = Owner::new(writer.manager, Operation::Update, writer.subresource, writer.api_version);
    owner.time = Some(writer.now);
    owner.replace(taken);
    match owners.find(&owner) {
        Some(index) => {
            let before = &mut owners.all[index];
            before.time = owner.time;
            before.add(owner.set().clone());
        }
        None => owners.all.push(owner),
    }
}

/// What a write set and removed, in the fields of one version.
#[derive(Default)]
pub(super) struct Change {
    pub(super) set: Set,
    pub(super) removed: Set,
}

impl From<Changes> for Change {
    fn from(changes: Changes) -> Self {
        let (set, removed) = changes.split();
        Self { set, removed }
    }
}

/// One change, in the fields of each version that owners speak of.
pub(super) struct Versions<'a> {
    writer: &'a Writer<'a>,
    /// In the request's version.
    own: Change,
    /// In others; none: that version is not known any more.
    others: Vec<(String, Option<Change>)>,
}

impl<'a> Versions<'a> {
    pub(super) fn new(changes: Changes, writer: &'a Writer<'a>) -> Self {
        Self { writer, own: changes.into(), others: Vec::new() }
    }

    /// What was set, in the request's version.
    fn into_set(self) -> Set {
        self.own.set
    }

    /// The change in that version's fields; none where the objects have no form in it.
    pub(super) fn at(
        &mut self,
        api_version: &str,
        live: Option<&dyn DynObject>,
        new: &dyn DynObject,
    ) -> Option<&Change> {
        if api_version == self.writer.api_version {
            return Some(&self.own);
        }
        let place = match self.others.iter().position(|(version, _)| version == api_version) {
            Some(place) => place,
            None => {
                let changes = self.convert(api_version, live, new).map(Change::from);
                self.others.push((api_version.to_owned(), changes));
                self.others.len() - 1
            }
        };
        self.others[place].1.as_ref()
    }

    fn convert(&self, api_version: &str, live: Option<&dyn DynObject>, new: &dyn DynObject) -> Option<Changes> {
        let new = self.writer.convert(new, api_version)?;
        let live = match live {
            Some(live) => self.writer.convert(live, api_version)?,
            None => new.info().new_object(),
        };
        let mut changes = changes(live.as_ref(), new.as_ref(), self.writer.schema(api_version));
        reset(&mut changes, self.writer);
        Some(changes)
    }
}

/// Whether two lists of entries differ in nothing but their times: then the write that made the later one changed nothing.
pub fn same_but_times(old: &[ManagedFieldsEntry], new: &[ManagedFieldsEntry]) -> bool {
    let same = |(old, new): (&ManagedFieldsEntry, &ManagedFieldsEntry)| {
        old.manager == new.manager
            && old.operation == new.operation
            && old.subresource == new.subresource
            && old.api_version == new.api_version
            && old.fields_v1 == new.fields_v1
    };
    old.len() == new.len() && old.iter().zip(new).all(same)
}
