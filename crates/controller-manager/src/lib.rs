//! Level-triggered controllers, one file each, as pure plans.
//!
//! [`run`] connects one set of informers ([`view::View`]) to a work queue per controller; a worker takes a key, asks the
//! controller's `plan(&View, &Key, now)` what to write, and [`execute`] writes it. Nothing else does I/O, but for the
//! two controllers that must ask the server what exists: namespace deletion and garbage collection.

pub mod controllers;
pub mod execute;
pub mod flags;
pub mod pods;
pub mod run;
pub mod view;
pub mod write;

#[cfg(test)]
mod sim;
