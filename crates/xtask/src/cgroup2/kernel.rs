//! Debian's kernel: downloaded and unpacked, not installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use testkit::image::find_busybox;

use super::run_in;

/// Depends on the newest kernel for virtual machines; needs no firmware, and its modules are few.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// An unpacked kernel.
pub struct Kernel {
    /// What qemu boots.
    pub image: PathBuf,
    /// Its release, as `uname -r` says it.
    pub release: String,
    /// The folder named after the release, with modules and their index.
    pub modules: PathBuf,
}

/// Fetches the package into `cache`, unless it is there, and unpacks it below `work`.
pub fn fetch(cache: &Path, work: &Path) -> Result<Kernel> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "this machine runs Debian's kernel for x86_64, and the programs here are built for {}",
            std::env::consts::ARCH
        );
    }
    let package = newest(cache)?;
    let archive = match cached(cache, &package) {
        Some(archive) => archive,
        None => {
            run_in(cache, "apt-get", &["-q", "download", &package])?;
            cached(cache, &package).with_context(|| format!("apt-get wrote no file for {package}"))?
        }
    };
    let folder = work.join("kernel");
    let path = |path: &Path| path.display().to_string();
    run_in(work, "dpkg-deb", &["-x", &path(&archive), &path(&folder)])?;
    let image = only_file(&folder.join("boot"), "vmlinuz-")?;
    let release = image.file_name().unwrap_or_default().to_string_lossy().trim_start_matches("vmlinuz-").to_owned();
    // The index is made when a package is installed, so it is not in the package.
    let busybox = find_busybox().context("no static busybox is here: install the package busybox-static")?;
    run_in(work, &path(&busybox), &["depmod", "-b", &path(&folder), &release])?;
    let modules = folder.join("lib/modules").join(&release);
    Ok(Kernel { image, release, modules })
}

/// The package that the meta package stands for today; lists that are missing are fetched.
fn newest(cache: &Path) -> Result<String> {
    let ask = || run_in(cache, "apt-cache", &["depends", META_PACKAGE]);
    if let Some(package) = ask().ok().as_deref().and_then(depends) {
        return Ok(package);
    }
    run_in(cache, "apt-get", &["-q", "update"])?;
    depends(&ask()?).with_context(|| format!("apt knows no kernel that {META_PACKAGE} depends on"))
}

/// The first package that `apt-cache depends` names.
fn depends(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned)
}

fn cached(cache: &Path, package: &str) -> Option<PathBuf> {
    only_file(cache, &format!("{package}_")).ok()
}

/// The last file, by name, whose name begins so.
fn only_file(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = files.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    named.max().with_context(|| format!("{} holds no {prefix}*", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meta_package_names_a_kernel() {
        let text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-50-cloud-amd64\n  Recommends: x\n";
        assert_eq!(depends(text).as_deref(), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(depends("linux-image-cloud-amd64\n"), None);
    }
}
