//! How the values of custom resources have owners, as their schema says.

use std::borrow::Cow;

use proto::meta::v1::ObjectMeta_INFO;
use serde_json::Value;

use super::shape::{Fields, Inner, Plain, Shape, Whole};
use crate::structural::Schema;
use crate::structural::node::{Additional, Kind, Merge, Node};

/// A place of a custom resource.
#[derive(Debug, Clone, Copy)]
pub struct Custom<'s> {
    node: &'s Node,
    /// Something around it keeps unknown fields, and so does this.
    free: bool,
    /// It is an object of its own, with apiVersion, kind and metadata.
    whole: bool,
}

/// The shape of a whole custom resource.
pub fn of_schema(schema: &Schema) -> Shape<'_> {
    Shape::Struct(Fields::Custom(Custom { node: schema.root(), free: schema.root().preserve, whole: true }))
}

impl<'s> Custom<'s> {
    fn of(node: &'s Node, free: bool) -> Self {
        Self { node, free: free || node.preserve, whole: node.embedded }
    }

    fn shape(self) -> Shape<'s> {
        match self.node.kind {
            _ if self.node.int_or_string => Shape::Scalar(Plain::Any),
            Kind::Object if self.node.merge == Merge::Atomic => Shape::Atomic(Whole::Custom(self)),
            Kind::Object => Shape::Struct(Fields::Custom(self)),
            Kind::Array => match self.node.merge {
                Merge::Set => Shape::Set(Inner::Custom(self)),
                Merge::Keyed => Shape::Keyed(Inner::Custom(self)),
                _ => Shape::Atomic(Whole::Custom(self)),
            },
            Kind::String => Shape::Scalar(Plain::Text),
            Kind::Integer | Kind::Number => Shape::Scalar(Plain::Number),
            Kind::Boolean => Shape::Scalar(Plain::Bool),
            Kind::Any => Shape::Deduced,
        }
    }

    /// True for a value that is a list.
    pub fn is_list(self) -> bool {
        self.node.kind == Kind::Array
    }

    /// An item of this list.
    pub fn item(self) -> Shape<'s> {
        self.node.items.as_deref().map_or(Shape::Deduced, |items| Self::of(items, self.free).shape())
    }

    /// The names of the fields that tell this list's items apart, sorted.
    pub fn keys(self) -> Vec<Cow<'static, str>> {
        let mut keys: Vec<Cow<'static, str>> =
            self.node.keys.iter().map(|key| Cow::Owned((**key).to_owned())).collect();
        keys.sort();
        keys
    }

    /// What a key is that an item of this list leaves out.
    pub fn key_default(self, key: &str) -> Option<Value> {
        self.node.items.as_ref()?.property(key)?.default.as_deref().cloned()
    }

    /// True for a field that the schema names.
    pub fn names(self, key: &str) -> bool {
        self.node.property(key).is_some() || (self.whole && matches!(key, "apiVersion" | "kind" | "metadata"))
    }

    /// A field of this object; none where there may be no such field.
    pub fn field(self, key: &str) -> Option<Shape<'s>> {
        match key {
            "apiVersion" | "kind" if self.whole => return Some(Shape::Scalar(Plain::Text)),
            "metadata" if self.whole => return Some(Shape::of_message(&ObjectMeta_INFO)),
            _ => {}
        }
        if let Some(property) = self.node.property(key) {
            return Some(Self::of(property, self.free).shape());
        }
        match &self.node.additional {
            Additional::Of(node) => Some(Self::of(node, self.free).shape()),
            Additional::Any => Some(Shape::Deduced),
            Additional::Nothing => None,
            // An object of which no field is named may have any.
            Additional::Unsaid => {
                (self.free || (self.node.properties.is_empty() && !self.whole)).then_some(Shape::Deduced)
            }
        }
    }
}
