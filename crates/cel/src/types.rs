//! Types of expressions, and declarations of the values that they are about.

use std::fmt;
use std::sync::Arc;

/// The type of a part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Of a part that is wrong: goes with everything, so that one mistake is told once.
    Error,
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Optional(Arc<Type>),
    /// The type of a type: `type(1)`.
    TypeOf(Arc<Type>),
    /// A type of a library, by its name.
    Opaque(&'static str),
    Object(Arc<Object>),
    /// Not known yet.
    Var(u32),
}

/// An object with named fields. Two of the same name are the same.
#[derive(Debug)]
pub struct Object {
    pub name: Arc<str>,
    /// In the order of their names.
    fields: Vec<Field>,
    /// Whether it has fields that are not told, of any type.
    open: bool,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// As expressions write it ([`crate::escape`]).
    pub name: Arc<str>,
    /// As JSON has it.
    pub json: Arc<str>,
    pub decl: Arc<Decl>,
}

impl Object {
    pub fn new(name: impl Into<Arc<str>>, mut fields: Vec<Field>) -> Self {
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Self { name: name.into(), fields, open: false }
    }

    /// An object whose fields are not known.
    pub fn open(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), fields: Vec::new(), open: true }
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        self.fields.get(at)
    }

    /// The type of a field; none where there is no such field.
    pub fn type_of(&self, name: &str) -> Option<Type> {
        match self.field(name) {
            Some(field) => Some(field.decl.ty.clone()),
            None => self.open.then_some(Type::Dyn),
        }
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

/// How the items of a list are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    /// By some of their fields.
    Map(Vec<Arc<str>>),
}

/// A value that is declared: its type, and how large it may be.
#[derive(Debug)]
pub struct Decl {
    pub ty: Type,
    /// The most characters, bytes, items or entries that it can have; zero for values without a size.
    pub max: u64,
    /// The fewest bytes that it takes in a request.
    pub min_bytes: u64,
    pub shape: Shape,
}

/// What stands within a value that is declared.
#[derive(Debug)]
pub enum Shape {
    Scalar,
    List(Arc<Decl>, ListKind),
    Map(Arc<Decl>),
    Object(Arc<Object>),
}

impl Decl {
    pub fn scalar(ty: Type) -> Self {
        let min_bytes = match ty {
            Type::Bool => 4,
            Type::String | Type::Bytes => 2,
            Type::Duration => 3,
            Type::Timestamp => 21,
            _ => 1,
        };
        Self { ty, max: 0, min_bytes, shape: Shape::Scalar }
    }

    /// A text of no more than `max` characters.
    pub fn sized(ty: Type, max: u64) -> Self {
        Self { max, ..Self::scalar(ty) }
    }

    pub fn list(items: Arc<Self>, kind: ListKind, max: u64) -> Self {
        let ty = Type::List(Arc::new(items.ty.clone()));
        Self { ty, max, min_bytes: 2, shape: Shape::List(items, kind) }
    }

    pub fn map(values: Arc<Self>, max: u64) -> Self {
        let ty = Type::Map(Arc::new(Type::String), Arc::new(values.ty.clone()));
        Self { ty, max, min_bytes: 2, shape: Shape::Map(values) }
    }

    pub fn object(object: Object, min_bytes: u64) -> Self {
        let object = Arc::new(object);
        Self { ty: Type::Object(object.clone()), max: 0, min_bytes, shape: Shape::Object(object) }
    }
}

impl Type {
    pub fn list(of: Self) -> Self {
        Self::List(Arc::new(of))
    }

    pub fn map(keys: Self, values: Self) -> Self {
        Self::Map(Arc::new(keys), Arc::new(values))
    }

    pub fn optional(of: Self) -> Self {
        Self::Optional(Arc::new(of))
    }

    pub fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// The name by which `type()` calls it.
    pub fn name(&self) -> String {
        match self {
            Self::List(_) => "list".to_owned(),
            Self::Map(..) => "map".to_owned(),
            Self::Optional(_) => "optional_type".to_owned(),
            Self::TypeOf(_) => "type".to_owned(),
            Self::Null => "null_type".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("!error!"),
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(keys, values) => write!(f, "map({keys}, {values})"),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::TypeOf(of) => write!(f, "type({of})"),
            Self::Opaque(name) => f.write_str(name),
            Self::Object(object) => f.write_str(&object.name),
            Self::Var(number) => write!(f, "_var{number}"),
        }
    }
}
