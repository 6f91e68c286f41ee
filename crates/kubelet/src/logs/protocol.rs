//! What the kubelet says to a pod's log writer over its socket: one JSON line each way per call.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::file::Limits;

/// A call; the writer answers each with a [`Reply`] line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Reads the named pipes from now on and writes what comes to the log.
    Open(Open),
    /// Answers once both streams of that run have ended and are written.
    Drained { run: String },
    /// After the answer, frames of what the run writes follow until it ends: stream (1 or 2), length as four bytes
    /// (big endian), bytes.
    Attach { run: String },
    /// Ends the writer.
    Stop,
}

/// One run of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The container's id.
    pub run: String,
    pub log: PathBuf,
    pub stdout: PathBuf,
    /// None with a terminal, where both streams are one.
    pub stderr: Option<PathBuf>,
    pub limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub error: Option<String>,
}
