//! The border to the kernel's packet filter: what the proxy asks of it.

use async_trait::async_trait;

use crate::diff::Found;
use crate::render::NodePortAddresses;
use crate::table::Transaction;

/// Why the tables could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("cannot start {program}")]
    Start { program: String, source: std::io::Error },
    #[error("cannot talk to {program}")]
    Talk { program: String, source: std::io::Error },
    /// `nft` ended badly; `command` is the first one it does not take, where that could be found.
    #[error("{program} {status} at `{command}`: {message}")]
    Refused { program: String, status: String, command: String, message: String },
    #[error("cannot read the listing of {program}: {detail}")]
    Listing { program: String, detail: String },
    /// The fake refuses what the kernel would refuse.
    #[error("step `{step}`: {detail}")]
    Step { step: String, detail: String },
}

/// The service tables of a network namespace.
#[async_trait]
pub trait Kernel: Send + Sync {
    /// Makes all steps, or none of them.
    async fn apply(&self, steps: &Transaction) -> Result<(), KernelError>;

    /// What is there now.
    async fn read(&self) -> Result<Found, KernelError>;

    /// Node ports are served on these addresses from the next [`crate::table::Op::Base`] on; true: that is a change.
    fn set_node_ports(&mut self, addresses: NodePortAddresses) -> bool;
}
