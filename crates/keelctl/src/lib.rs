//! The companion command line.

pub mod manifest;
