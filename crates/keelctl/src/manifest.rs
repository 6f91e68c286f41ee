//! Manifests: from files, directories or standard input to objects that know where they were written.
//!
//! `source` finds and reads the files, `yaml` turns parser events into a tree of [`Node`]s with positions, [`scalar`]
//! holds the YAML 1.1 rules for plain words, `check` compares the tree with the schema of its kind, `write` writes
//! YAML that reads back as the same value under YAML 1.1 and 1.2. JSON is read by the same way: it is YAML.

pub mod check;
pub mod node;
pub mod source;
pub mod write;
pub mod yaml;

pub use api::yaml::scalar;
pub use node::{Entry, Mark, Node, Tree};
pub use source::{Document, Options, read};

/// What is wrong with a manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    pub mark: Mark,
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.mark.line, self.mark.column, self.message)
    }
}

/// Everything wrong with the manifests of one command.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);
