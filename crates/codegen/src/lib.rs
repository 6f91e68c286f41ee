//! Descriptors to Rust: prost structs, Kubernetes JSON and schema tables; build dependency of `proto`.
//!
//! [`generate`] compiles every file below `proto/` with protox (no protoc), gives the Kubernetes objects
//! their presence rules ([`presence`]) and writes Rust into `OUT_DIR`.

mod presence;
mod reflect;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use prost_reflect::DescriptorPool;

/// Package prefix of the Kubernetes object schemas.
const OBJECTS: &str = "k8s.";

/// Compiles `proto_dir` into `out_dir`. `services` also generates the gRPC clients and servers.
///
/// Prints the `rerun-if-changed` lines a build script needs.
pub fn generate(proto_dir: &Path, out_dir: &Path, services: bool) -> Result<()> {
    println!("cargo::rerun-if-changed={}", proto_dir.display());
    let files = proto_files(proto_dir)?;
    let pool = compile(proto_dir, &files)?;

    let mut descriptors = prost_types::FileDescriptorSet::default();
    for file in pool.files() {
        descriptors.file.push(file.file_descriptor_proto().clone());
    }
    std::fs::write(out_dir.join("descriptors.bin"), pool.encode_to_vec())?;
    presence::apply(&pool, &mut descriptors)?;
    descriptors.file.retain(|file| {
        let package = file.package();
        package.starts_with(OBJECTS) || (services && package != "keelson.schema.v1")
    });

    let mut config = prost_build::Config::new();
    config.out_dir(out_dir).btree_map(["."]).bytes([".keelson", ".etcdserverpb", ".mvccpb"]).include_file("modules.rs");
    if services {
        config.service_generator(tonic_prost_build::configure().service_generator());
    }
    for (name, path) in reflect::HAND_WRITTEN {
        config.extern_path(format!(".k8s.io.apimachinery.pkg.apis.meta.v1.{name}"), *path);
    }
    config.compile_fds(descriptors).context("generating Rust from proto/")?;
    finish_objects(&pool, out_dir)
}

/// Adds tables and field access to the generated objects. Empty bytes are absent, as in upstream's encoder.
fn finish_objects(pool: &DescriptorPool, out_dir: &Path) -> Result<()> {
    for file in pool.files().filter(|file| file.package_name().starts_with(OBJECTS)) {
        let path = out_dir.join(format!("{}.rs", file.package_name()));
        let structs = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let structs = structs.replace("#[prost(bytes = \"vec\", required, ", "#[prost(bytes = \"vec\", ");
        let text = structs + &reflect::package_text(&file)?;
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    std::fs::write(out_dir.join("kinds.rs"), reflect::kinds_text(pool)?)?;
    Ok(())
}

fn compile(root: &Path, files: &[PathBuf]) -> Result<DescriptorPool> {
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_source_info(true).include_imports(true);
    for file in files {
        compiler.open_file(file).with_context(|| format!("compiling {}", file.display()))?;
    }
    Ok(compiler.descriptor_pool())
}

/// Every .proto file below `root`, relative to it, sorted.
fn proto_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
