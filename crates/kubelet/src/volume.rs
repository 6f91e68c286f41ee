//! Volumes: what each is made of, and where containers find it.

pub mod content;
pub mod files;
pub mod owner;
pub mod prepare;
pub mod subpath;
