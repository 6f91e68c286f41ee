//! The commands, one a file; each has its `Args` and a `run`.

pub mod api_resources;
pub mod apply;
pub mod attach;
pub mod auth;
pub mod completion;
pub mod config;
pub mod cp;
pub mod create;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod drain;
pub mod edit;
pub mod events;
pub mod exec;
pub mod explain;
pub mod get;
pub mod label;
pub mod logs;
pub mod node;
pub mod patch;
pub mod port_forward;
pub mod rollout;
pub mod scale;
pub mod store;
pub mod target;
pub mod top;
pub mod version;
pub mod wait;
pub mod why;

use clap::Args;

use crate::manifest;

/// The manifests of a command.
#[derive(Debug, Clone, Default, Args)]
pub struct Files {
    /// Manifests: files, directories, or - for standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub filenames: Vec<String>,
    /// Read directories within directories too
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

impl Files {
    pub fn read(&self) -> anyhow::Result<Vec<manifest::Document>> {
        manifest::read(&self.filenames, manifest::Options { recursive: self.recursive })
    }
}

/// How far a write goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DryRun {
    /// Write
    #[default]
    None,
    /// Ask the server nothing
    Client,
    /// Let the server do everything but the write
    Server,
}

impl DryRun {
    /// What messages say of it.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}
