//! Clusters of real processes for people (`cargo xtask up`) and for tests, and the OCI image they run.
//!
//! Enter at [`cluster::Cluster`]: it starts, stops and inspects the daemons that [`settings::Settings`] describes.
//! What a daemon is started with is decided in [`flags`], where files live in [`layout`], who they are in [`pki`].
//! Nothing here links a daemon or the generated schema: a cluster is driven from outside, as its users drive it.

pub mod claim;
pub mod cluster;
pub mod containerd;
pub mod fetch;
pub mod flags;
pub mod fuzz;
pub mod host;
pub mod http;
pub mod image;
pub mod keelctl;
pub mod kubeconfig;
pub mod layout;
pub mod leftovers;
pub mod namespace;
pub mod npm;
pub mod packages;
pub mod pki;
pub mod process;
pub mod pypi;
pub mod routes;
pub mod rust;
pub mod say;
pub mod settings;
pub mod terminal;
pub mod wait;
