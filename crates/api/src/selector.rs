//! Selectors: which objects of a list or watch are meant.
//!
//! [`labels`] reads `-l` texts and LabelSelectors, [`fields`] reads `--field-selector` texts.

pub mod fields;
pub mod labels;

/// Why a selector could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unable to parse requirement: {0}")]
    Malformed(String),
    #[error("{key:?} is not a valid selector operator")]
    Operator { key: String },
    #[error("{what}: Invalid value: {value:?}: {why}")]
    Invalid { what: &'static str, value: String, why: String },
    #[error("values: Invalid value: {0}")]
    Values(&'static str),
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Field(String, String),
}
