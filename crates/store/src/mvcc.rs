//! Keys at revisions: the pure heart of the store. No async, no I/O, no clock.
//!
//! [`Index`] maps each key to its versions; the values lie elsewhere and come through [`Values`]. [`write`] executes
//! commands against both, [`range`] reads, [`check`] refuses what is malformed, and [`event`] is what watchers see.

pub mod check;
pub mod event;
pub mod history;
pub mod index;
pub mod interval;
pub mod range;
pub mod write;

use std::io;

use bytes::Bytes;

pub use event::Event;
pub use history::{Loc, Version};
pub use index::Index;
pub use interval::Interval;

/// Where values are kept. Writes are buffered in order and cannot fail; reads find what was written before.
pub trait Values {
    fn put(&mut self, key: &[u8], version: &Version, value: &[u8]) -> Loc;
    fn tombstone(&mut self, key: &[u8], version: &Version) -> Loc;
    fn read(&self, loc: Loc) -> io::Result<Bytes>;
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;
