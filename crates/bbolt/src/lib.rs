//! The file format of bbolt, the database below etcd: [`write`] makes a whole file in one pass over sorted entries,
//! [`read`] walks a file that anybody may have made.
//!
//! A file is pages of one size. Pages 0 and 1 are metas, of which the valid one with the higher transaction counts; it
//! names the root page. The root tree holds buckets by name; a bucket is a tree of its own, or, when small, a page inside
//! its entry. Branch pages hold keys with page numbers, leaf pages keys with values; a page too small for its content
//! goes on in the pages behind it. Numbers are little endian.
//!
//! This crate changes no file in place: etcd does that, we write new ones.

mod format;
#[cfg(test)]
mod fuzz;
pub mod read;
pub mod write;

pub use format::{PAGE_SIZE, page_sizes};
