//! The companion command line: kubectl's commands, over gRPC, with errors that point at the place and the mend.
//!
//! `cli` declares the commands, `command/` holds one file for each, `manifest/` reads what users write, `remote` is the
//! API server as JSON objects, `output/` prints. Pure parts (manifest, merge, jsonpath, describe texts) do no I/O.

pub mod cli;
pub mod command;
pub mod describe;
pub mod duration;
pub mod error;
#[cfg(test)]
mod fuzz;
pub mod kubeconfig;
pub mod manifest;
pub mod merge;
pub mod output;
pub mod remote;
pub mod resource;
pub mod suggest;
pub mod terminal;
