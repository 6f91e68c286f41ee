//! What Kubernetes objects mean: metadata, quantities, selectors, defaults, validation, patches, the resource table. No I/O.

pub mod apply;
pub mod convert;
pub mod default;
pub mod definition;
pub mod int_or_string;
pub mod meta;
pub mod name;
pub mod patch;
pub mod prepare;
pub mod print;
pub mod quantity;
pub mod resource;
pub mod scheduling;
pub mod selector;
pub mod status;
pub mod structural;
pub mod time;
pub mod validate;
pub mod warn;
pub mod yaml;
