//! CEL, the expression language of Kubernetes' rules and policies, as Kubernetes 1.36 has it.
//!
//! A text becomes a tree (`parse`: macros written out, depth and size bounded), the tree gets types (`check`), and a [`Program`] is
//! evaluated for the values of a [`Scope`] (`eval`: costs counted as upstream counts them, up to a limit). What an
//! expression would cost at most can be estimated before (`estimate`). Functions are in `library`, one file a library.
//!
//! **Invariant:** whatever the text and the values are, nothing here panics, recurses without bound or takes memory
//! without bound; no I/O, no clock, no randomness.

mod ast;
mod check;
pub mod cost;
mod env;
mod error;
pub mod escape;
mod estimate;
mod eval;
mod functions;
mod issue;
mod library;
mod parse;
mod program;
pub mod request;
pub mod types;
mod value;

pub use env::Env;
pub use error::Error;
pub use eval::{Evaluation, Scope, Variables};
pub use issue::{Issue, Issues};
pub use parse::{is_identifier, is_reserved};
pub use program::Program;
pub use types::{Decl, Type};
pub use value::{
    Access, Authorizer, Builder, Cidr, Decision, Host, Key, List, Map, Text, Value, equal, of_json, order,
};

#[cfg(test)]
mod tests;
