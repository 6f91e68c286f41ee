//! The functions of CEL and of Kubernetes 1.36: one file a library, each a table of [`Row`]s.

mod authorizer;
mod compare;
mod convert;
mod format;
mod lists;
pub(crate) mod named;
mod net;
mod operators;
mod optional;
mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
mod sets;
mod sorted;
mod strings;
pub(crate) mod time;
mod times;
pub(crate) mod url;

use crate::functions::Row;
use crate::types::Type;

/// All functions of all libraries.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    [
        operators::ROWS,
        compare::ROWS,
        convert::ROWS,
        times::ROWS,
        strings::ROWS,
        lists::ROWS,
        sorted::ROWS,
        sets::ROWS,
        optional::ROWS,
        regex::ROWS,
        url::ROWS,
        net::ROWS,
        quantity::ROWS,
        semver::ROWS,
        named::ROWS,
        authorizer::ROWS,
    ]
    .into_iter()
    .flatten()
}

/// Types of libraries, by the names that their tables give them.
pub(crate) fn opaque(name: &str) -> Option<Type> {
    let full = match name {
        "Url" => "kubernetes.URL",
        "Ip" => "net.IP",
        "Cidr" => "net.CIDR",
        "Quantity" => "kubernetes.Quantity",
        "Semver" => "kubernetes.Semver",
        "NamedFormat" => "kubernetes.NamedFormat",
        "Authorizer" => "kubernetes.authorization.Authorizer",
        "PathCheck" => "kubernetes.authorization.PathCheck",
        "GroupCheck" => "kubernetes.authorization.GroupCheck",
        "ResourceCheck" => "kubernetes.authorization.ResourceCheck",
        "Decision" => "kubernetes.authorization.Decision",
        _ => return None,
    };
    Some(Type::Opaque(full))
}

/// A table's row.
macro_rules! row {
    ($name:literal, $forms:expr, $cost:ident, $call:expr) => {
        $crate::functions::Row { name: $name, forms: $forms, cost: $crate::cost::Cost::$cost, call: $call }
    };
}
pub(crate) use row;

/// What functions of libraries begin with.
mod prelude {
    pub(crate) use super::row;
    pub use crate::error::Error;
    pub(crate) use crate::eval::{Outcome, Vm};
    pub use crate::functions::Row;
    pub use crate::value::{Host, Value};
}
