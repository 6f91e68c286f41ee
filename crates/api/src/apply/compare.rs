//! What changed between two objects of a kind, as sets of fields.
//!
//! Works on the messages themselves, as their JSON would show them: what JSON leaves out is absent, and what it writes as
//! null is there without content. Nothing is allocated for what did not change.

use std::borrow::Cow;

use proto::CustomObject;
use proto::dynamic::DynObject;
use proto::json::{is_left_out, is_written_null};
use proto::reflect::{List, Map, Ref, Reflect};
use proto::schema::{FieldInfo, MessageInfo};
use serde_json::Value;

use super::custom;
use super::element::Element;
use super::equal::equal;
use super::keys::{Item, Keys, scalar};
use super::set::Set;
use super::shape::{Fields, Inner, Shape};
use super::tree;
use crate::structural::Schema;

/// What changed from one object to the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Leaves out a path of fields and everything below it.
    pub fn drop_below(&mut self, path: &[&str]) {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            set.drop_below(path);
        }
    }

    /// What the new object has that the old one had not, or had otherwise; and what it has no more.
    pub fn split(self) -> (Set, Set) {
        let mut set = self.modified;
        set.add(self.added);
        (set, self.removed)
    }

    pub(super) fn push(&mut self, element: impl FnOnce() -> Element, own: Own, below: Changes) {
        if own == Own::Same && below.is_empty() {
            return;
        }
        let element = element();
        let Changes { added, modified, removed } = below;
        self.added.push(element.clone(), own == Own::Added, added);
        self.modified.push(element.clone(), own == Own::Modified, modified);
        self.removed.push(element, own == Own::Removed, removed);
    }

    pub(super) fn settle(&mut self) {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            set.settle();
        }
    }
}

/// What happened to a value itself, beside what happened below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Same,
    Added,
    Modified,
    Removed,
}

impl Own {
    pub(super) fn of<T>(old: Option<T>, new: Option<T>) -> Self {
        match (old.is_some(), new.is_some()) {
            (false, true) => Self::Added,
            (true, false) => Self::Removed,
            _ => Self::Same,
        }
    }
}

/// What changed from one object to another of its kind; custom resources have a schema.
pub fn changes(old: &dyn DynObject, new: &dyn DynObject, schema: Option<&Schema>) -> Changes {
    let mut changes = Changes::default();
    fields(old.as_reflect().message(), Some(old.as_reflect()), Some(new.as_reflect()), &mut changes);
    let custom = |object: &dyn DynObject| object.as_any().downcast_ref::<CustomObject>().map(CustomObject::to_tree);
    if let (Some(Value::Object(old)), Some(Value::Object(new)), Some(schema)) = (custom(old), custom(new), schema) {
        tree::entries(custom::of_schema(schema), Some(&old), Some(&new), &mut changes);
    }
    changes.settle();
    changes
}

/// A value as JSON shows it.
#[derive(Clone, Copy)]
struct Shown<'a> {
    value: Ref<'a>,
    /// Written as null: there, without content.
    null: bool,
}

impl<'a> Shown<'a> {
    /// An item of a list or a map, which is never left out.
    fn item(value: Ref<'a>) -> Self {
        Self { value, null: false }
    }
}

fn shown<'a>(message: Option<&'a dyn Reflect>, index: usize, field: &FieldInfo) -> Option<Shown<'a>> {
    let value = message?.get(index);
    if field.not_served || is_left_out(field, value) {
        return None;
    }
    Some(Shown { value, null: is_written_null(field, value) })
}

fn fields(info: &'static MessageInfo, old: Option<&dyn Reflect>, new: Option<&dyn Reflect>, changes: &mut Changes) {
    for (index, field) in info.fields.iter().enumerate() {
        if field.inline {
            if let Some(inner) = field.message() {
                fields(inner, inlined(old, index), inlined(new, index), changes);
            }
            continue;
        }
        // The record of owners has none itself.
        if field.name == "managedFields" {
            continue;
        }
        let (old, new) = (shown(old, index, field), shown(new, index, field));
        if old.is_some() || new.is_some() {
            let (own, below) = value(Shape::of(field), old, new);
            changes.push(|| Element::field(field.name), own, below);
        }
    }
}

fn inlined(message: Option<&dyn Reflect>, index: usize) -> Option<&dyn Reflect> {
    match message?.get(index) {
        Ref::Message(inner) => Some(inner),
        _ => None,
    }
}

fn value(shape: Shape<'_>, old: Option<Shown<'_>>, new: Option<Shown<'_>>) -> (Own, Changes) {
    let own = Own::of(old, new);
    let mut below = Changes::default();
    match shape {
        Shape::Scalar(_) | Shape::Atomic(_) => return (leaf(own, old, new), below),
        Shape::Struct(Fields::Message(info)) => {
            let (left, right) = (message(old), message(new));
            if empty_message(left) && empty_message(right) {
                return (leaf(own, old, new), below);
            }
            fields(info, left, right, &mut below);
        }
        Shape::Map(Inner::Field(field)) => {
            let (left, right) = (map(old), map(new));
            if left.is_none() && right.is_none() {
                return (leaf(own, old, new), below);
            }
            entries(field, left, right, &mut below);
        }
        Shape::Set(_) | Shape::Keyed(_) => {
            let (left, right) = (list(old), list(new));
            if left.is_none() && right.is_none() {
                return (leaf(own, old, new), below);
            }
            if let (Some(left), Some(right)) = (left, right)
                && equal(Ref::List(left), Ref::List(right))
            {
                return (own, below);
            }
            match shape {
                Shape::Keyed(Inner::Field(field)) => keyed(field, left, right, &mut below),
                _ => values(left, right, &mut below),
            }
        }
        // Messages have no other shapes.
        Shape::Struct(Fields::Custom(_)) | Shape::Map(_) | Shape::Deduced => return (leaf(own, old, new), below),
    }
    below.settle();
    (own, below)
}

/// A value that has no parts, or none in both objects.
fn leaf(own: Own, old: Option<Shown<'_>>, new: Option<Shown<'_>>) -> Own {
    match (old, new) {
        (Some(old), Some(new)) if old.null != new.null || !equal(old.value, new.value) => Own::Modified,
        _ => own,
    }
}

fn message(value: Option<Shown<'_>>) -> Option<&dyn Reflect> {
    match value?.value {
        Ref::Message(message) => Some(message),
        _ => None,
    }
}

/// Whether a message shows nothing in JSON.
fn empty_message(message: Option<&dyn Reflect>) -> bool {
    let Some(message) = message else { return true };
    message.message().fields.iter().enumerate().all(|(index, field)| match message.get(index) {
        Ref::Message(inner) if field.inline => empty_message(Some(inner)),
        value => field.not_served || is_left_out(field, value),
    })
}

fn map(value: Option<Shown<'_>>) -> Option<&dyn Map> {
    match value?.value {
        Ref::Map(map) if !map.is_empty() => Some(map),
        _ => None,
    }
}

fn list(value: Option<Shown<'_>>) -> Option<&dyn List> {
    match value?.value {
        Ref::List(list) if !list.is_empty() => Some(list),
        _ => None,
    }
}

fn entries(field: &'static FieldInfo, old: Option<&dyn Map>, new: Option<&dyn Map>, changes: &mut Changes) {
    let shape = Shape::of_item(field);
    if let Some(new) = new {
        new.visit(&mut |key, found| {
            let before = old.and_then(|old| old.entry(key)).map(Shown::item);
            let (own, below) = value(shape, before, Some(Shown::item(found)));
            changes.push(|| Element::Field(Cow::Owned(key.to_owned())), own, below);
        });
    }
    if let Some(old) = old {
        old.visit(&mut |key, found| {
            if new.is_none_or(|new| new.entry(key).is_none()) {
                let (own, below) = value(shape, Some(Shown::item(found)), None);
                changes.push(|| Element::Field(Cow::Owned(key.to_owned())), own, below);
            }
        });
    }
}

/// The values of a set.
fn values(old: Option<&dyn List>, new: Option<&dyn List>, changes: &mut Changes) {
    let all = |list: Option<&dyn List>| {
        let mut set = Set::default();
        for index in 0..list.map_or(0, List::len) {
            let item = list.map_or(Ref::Unset, |list| list.item(index));
            set.push(Element::Value(scalar(item)), true, Set::default());
        }
        set.settle();
        set
    };
    let (old, new) = (all(old), all(new));
    changes.added = new.minus(&old);
    changes.removed = old.minus(&new);
}

/// The items of a map-like list.
fn keyed(field: &'static FieldInfo, old: Option<&dyn List>, new: Option<&dyn List>, changes: &mut Changes) {
    let Some(info) = field.message() else { return };
    let keys = Keys::new(field, info);
    let (old, new) = (keys.items(old), keys.items(new));
    let (mut old, mut new) = (old.as_slice(), new.as_slice());
    let shape = Shape::of_item(field);
    loop {
        let element = match (old.first(), new.first()) {
            (None, None) => return,
            (Some(old), None) => &old.element,
            (None, Some(new)) => &new.element,
            (Some(old), Some(new)) => (&old.element).min(&new.element),
        };
        let (before, rest) = split(old, element);
        old = rest;
        let (after, rest) = split(new, element);
        new = rest;
        let (own, below) = match (before.len(), after.len()) {
            (0 | 1, 0 | 1) => value(shape, shown_item(before), shown_item(after)),
            _ => (duplicates(before, after), Changes::default()),
        };
        changes.push(|| element.clone(), own, below);
    }
}

/// Items that share their keys with others are judged as a whole.
fn duplicates(before: &[Item<'_>], after: &[Item<'_>]) -> Own {
    let same = || before.iter().zip(after).all(|(before, after)| equal(before.value, after.value));
    match Own::of(before.first(), after.first()) {
        Own::Same if before.len() != after.len() || !same() => Own::Modified,
        own => own,
    }
}

fn shown_item<'a>(items: &[Item<'a>]) -> Option<Shown<'a>> {
    items.first().map(|item| Shown::item(item.value))
}

/// The items at the beginning that have those keys, and the rest.
fn split<'s, 'a>(items: &'s [Item<'a>], element: &Element) -> (&'s [Item<'a>], &'s [Item<'a>]) {
    items.split_at(items.iter().take_while(|item| item.element == *element).count())
}
