//! openraft bound to the store: types, their forms on disk and on the wire, log storage, state machine.

pub mod codec;
pub mod log_store;
pub mod machine;
pub mod types;

pub use types::{LogId, Peer, Raft, TypeConfig};
