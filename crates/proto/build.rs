//! Generates the crate from the proto folder at the workspace root.

use std::env;
use std::path::PathBuf;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let services = env::var_os("CARGO_FEATURE_RPC").is_some();
    codegen::generate(&root.join("../../proto"), &out, services)
}
