//! Packages of the Python registry.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::fetch;

const MEND: &str =
    "install python3 and pip (apt-get install python3 python3-pip); pip has to reach PyPI or a mirror of it";

/// Packages and all that they need, fetched once below `folder`; the result is what `PYTHONPATH` must name.
pub fn packages(folder: &Path, name: &str, packages: &[&str]) -> Result<PathBuf> {
    // Into a folder of their own: a system's own packages are not touched, and Debian's pip refuses anything else.
    let command = format!(
        "python3 -m pip install --quiet --no-input --root-user-action=ignore --target . {}",
        packages.join(" ")
    );
    fetch::once(folder, name, &command, MEND)
}
