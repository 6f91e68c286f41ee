//! Reading and writing the fields of a message by index, without knowing its type.
//!
//! [`Reflect`] is generated for every object message: `get` and `get_mut` give the field at an index of
//! [`MessageInfo::fields`] as a [`Ref`] or [`Mut`]. Everything that treats all kinds alike (JSON, patches,
//! canonical forms) is written once against these two enums.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::schema::MessageInfo;

/// What generated code needs in scope.
pub mod prelude {
    pub use crate::schema::{FieldInfo, Form, KindName, Label, ListType, MessageInfo, ValueType};
}

/// A message whose fields can be reached by index.
pub trait Reflect: Any + Debug + Send + Sync {
    /// The message's schema table.
    fn message(&self) -> &'static MessageInfo;
    /// The field at an index of the table. Panics when there is none.
    fn get(&self, index: usize) -> Ref<'_>;
    /// The field at an index of the table. Panics when there is none.
    fn get_mut(&mut self, index: usize) -> Mut<'_>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    fn as_reflect(&self) -> &dyn Reflect;
    fn as_reflect_mut(&mut self) -> &mut dyn Reflect;
}

/// A value to read.
#[derive(Clone, Copy)]
pub enum Ref<'a> {
    /// A pointer that is not set.
    Unset,
    Bool(bool),
    Int32(i32),
    Int64(i64),
    Double(f64),
    String(&'a str),
    Bytes(&'a [u8]),
    Message(&'a dyn Reflect),
    List(&'a dyn List),
    Map(&'a dyn Map),
}

/// A value to write.
pub enum Mut<'a> {
    /// A field of presence pointer.
    Pointer(&'a mut dyn Pointer),
    Bool(&'a mut bool),
    Int32(&'a mut i32),
    Int64(&'a mut i64),
    Double(&'a mut f64),
    String(&'a mut String),
    Bytes(&'a mut Vec<u8>),
    Message(&'a mut dyn Reflect),
    List(&'a mut dyn List),
    Map(&'a mut dyn Map),
}

/// Anything a field, an item or a map value can be.
pub trait Value {
    fn get(&self) -> Ref<'_>;
    fn get_mut(&mut self) -> Mut<'_>;
}

/// A field that can be unset.
pub trait Pointer {
    fn is_set(&self) -> bool;
    fn unset(&mut self);
    /// The value, made when there is none. Never [`Mut::Pointer`].
    fn set(&mut self) -> Mut<'_>;
}

/// A repeated field.
pub trait List {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Panics when there is no such item.
    fn item(&self, index: usize) -> Ref<'_>;
    /// Panics when there is no such item.
    fn item_mut(&mut self, index: usize) -> Mut<'_>;
    /// Appends an empty item.
    fn push(&mut self) -> Mut<'_>;
    fn clear(&mut self);
}

/// A map field; its keys are strings, in sorted order.
pub trait Map {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn visit(&self, visitor: &mut dyn FnMut(&str, Ref<'_>));
    fn visit_mut(&mut self, visitor: &mut dyn FnMut(&str, Mut<'_>));
    fn entry(&self, key: &str) -> Option<Ref<'_>>;
    /// The value of the key, made when there is none.
    fn entry_mut(&mut self, key: String) -> Mut<'_>;
    fn clear(&mut self);
}

impl Mut<'_> {
    /// Sets the value to its zero; a pointer becomes unset.
    pub fn clear(self) {
        match self {
            Mut::Pointer(pointer) => pointer.unset(),
            Mut::Bool(value) => *value = false,
            Mut::Int32(value) => *value = 0,
            Mut::Int64(value) => *value = 0,
            Mut::Double(value) => *value = 0.0,
            Mut::String(value) => value.clear(),
            Mut::Bytes(value) => value.clear(),
            Mut::List(list) => list.clear(),
            Mut::Map(map) => map.clear(),
            Mut::Message(message) => {
                for index in 0..message.message().fields.len() {
                    message.get_mut(index).clear();
                }
            }
        }
    }
}

/// Shows every message in a message to the visitor, itself first, parents before their children.
pub fn walk_mut(message: &mut dyn Reflect, visitor: &mut dyn FnMut(&mut dyn Reflect)) {
    visitor(message);
    for (index, field) in message.message().fields.iter().enumerate() {
        // Most fields hold no messages, and to be asked for costs more than to be passed over.
        if field.message().is_some() {
            walk_value(message.get_mut(index), visitor);
        }
    }
}

fn walk_value(value: Mut<'_>, visitor: &mut dyn FnMut(&mut dyn Reflect)) {
    match value {
        Mut::Message(message) => walk_mut(message, visitor),
        Mut::Pointer(pointer) if pointer.is_set() => walk_value(pointer.set(), visitor),
        Mut::List(list) => {
            for index in 0..list.len() {
                walk_value(list.item_mut(index), visitor);
            }
        }
        Mut::Map(map) => map.visit_mut(&mut |_, value| walk_value(value, visitor)),
        _ => {}
    }
}

macro_rules! scalar {
    ($type:ty, $variant:ident, $self:ident => $read:expr) => {
        impl Value for $type {
            fn get(&self) -> Ref<'_> {
                let $self = self;
                Ref::$variant($read)
            }
            fn get_mut(&mut self) -> Mut<'_> {
                Mut::$variant(self)
            }
        }
    };
}

scalar!(bool, Bool, value => *value);
scalar!(i32, Int32, value => *value);
scalar!(i64, Int64, value => *value);
scalar!(f64, Double, value => *value);
scalar!(String, String, value => value);
scalar!(Vec<u8>, Bytes, value => value);

impl<T: Value> Value for Box<T> {
    fn get(&self) -> Ref<'_> {
        (**self).get()
    }
    fn get_mut(&mut self) -> Mut<'_> {
        (**self).get_mut()
    }
}

impl<T: Value + Default> Value for Option<T> {
    fn get(&self) -> Ref<'_> {
        self.as_ref().map_or(Ref::Unset, Value::get)
    }
    fn get_mut(&mut self) -> Mut<'_> {
        Mut::Pointer(self)
    }
}

impl<T: Value + Default> Pointer for Option<T> {
    fn is_set(&self) -> bool {
        self.is_some()
    }
    fn unset(&mut self) {
        *self = None;
    }
    fn set(&mut self) -> Mut<'_> {
        self.get_or_insert_with(T::default).get_mut()
    }
}

/// What a list can hold: anything but a byte, since a list of bytes is one value.
pub trait Item: Value + Default {}

impl Item for bool {}
impl Item for i32 {}
impl Item for i64 {}
impl Item for String {}

impl<T: Item> Value for Vec<T> {
    fn get(&self) -> Ref<'_> {
        Ref::List(self)
    }
    fn get_mut(&mut self) -> Mut<'_> {
        Mut::List(self)
    }
}

impl<T: Item> List for Vec<T> {
    fn len(&self) -> usize {
        self.len()
    }
    fn item(&self, index: usize) -> Ref<'_> {
        self[index].get()
    }
    fn item_mut(&mut self, index: usize) -> Mut<'_> {
        self[index].get_mut()
    }
    fn push(&mut self) -> Mut<'_> {
        let index = self.len();
        self.push(T::default());
        self[index].get_mut()
    }
    fn clear(&mut self) {
        self.clear();
    }
}

impl<T: Value + Default> Value for BTreeMap<String, T> {
    fn get(&self) -> Ref<'_> {
        Ref::Map(self)
    }
    fn get_mut(&mut self) -> Mut<'_> {
        Mut::Map(self)
    }
}

impl<T: Value + Default> Map for BTreeMap<String, T> {
    fn len(&self) -> usize {
        self.len()
    }
    fn visit(&self, visitor: &mut dyn FnMut(&str, Ref<'_>)) {
        for (key, value) in self {
            visitor(key, value.get());
        }
    }
    fn visit_mut(&mut self, visitor: &mut dyn FnMut(&str, Mut<'_>)) {
        for (key, value) in self {
            visitor(key, value.get_mut());
        }
    }
    fn entry(&self, key: &str) -> Option<Ref<'_>> {
        BTreeMap::get(self, key).map(Value::get)
    }
    fn entry_mut(&mut self, key: String) -> Mut<'_> {
        BTreeMap::entry(self, key).or_default().get_mut()
    }
    fn clear(&mut self) {
        self.clear();
    }
}

/// Called by generated code for an index outside the table.
#[cold]
pub fn no_field(message: &'static MessageInfo, index: usize) -> ! {
    panic!("{} has {} fields, none at {index}", message.name, message.fields.len())
}

/// Implements field access: `reflect!(Type, INFO, 0 first_field, 1 second_field)`.
#[macro_export]
#[doc(hidden)]
macro_rules! reflect {
    ($type:ident, $info:path $(, $index:literal $field:ident)*) => {
        impl $crate::reflect::Reflect for $type {
            fn message(&self) -> &'static $crate::schema::MessageInfo {
                &$info
            }
            #[allow(deprecated)]
            fn get(&self, index: usize) -> $crate::reflect::Ref<'_> {
                match index {
                    $($index => $crate::reflect::Value::get(&self.$field),)*
                    _ => $crate::reflect::no_field(&$info, index),
                }
            }
            #[allow(deprecated)]
            fn get_mut(&mut self, index: usize) -> $crate::reflect::Mut<'_> {
                match index {
                    $($index => $crate::reflect::Value::get_mut(&mut self.$field),)*
                    _ => $crate::reflect::no_field(&$info, index),
                }
            }
            fn as_any(&self) -> &dyn ::std::any::Any {
                self
            }
            fn as_any_mut(&mut self) -> &mut dyn ::std::any::Any {
                self
            }
            fn into_any(self: Box<Self>) -> Box<dyn ::std::any::Any> {
                self
            }
            fn as_reflect(&self) -> &dyn $crate::reflect::Reflect {
                self
            }
            fn as_reflect_mut(&mut self) -> &mut dyn $crate::reflect::Reflect {
                self
            }
        }
        impl $crate::reflect::Value for $type {
            fn get(&self) -> $crate::reflect::Ref<'_> {
                $crate::reflect::Ref::Message(self)
            }
            fn get_mut(&mut self) -> $crate::reflect::Mut<'_> {
                $crate::reflect::Mut::Message(self)
            }
        }
        impl $crate::reflect::Item for $type {}
    };
}
