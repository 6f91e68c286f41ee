//! System packages: finds what is missing, installs it where there is apt, else says what to install.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::image;

/// A program that must be there, and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    program: &'static str,
    package: &'static str,
}

const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// What building the daemons needs.
pub const BUILD: &[Need] = &[need("protoc", "protobuf-compiler"), need("cc", "gcc")];
/// What running a cluster needs.
pub const RUN: &[Need] = &[
    need("containerd", "containerd"),
    need("runc", "runc"),
    need("nft", "nftables"),
    need("ip", "iproute2"),
    need("conntrack", "conntrack"),
    need("busybox", "busybox-static"),
    need("nsenter", "util-linux"),
];
/// What the tests need on top.
pub const TEST: &[Need] = &[
    need("etcdctl", "etcd-client"),
    need("etcd", "etcd-server"),
    need("docker-registry", "docker-registry"),
    need("skopeo", "skopeo"),
    need("systemd-analyze", "systemd"),
    need("curl", "curl"),
];

/// The file that Debian's maintainer scripts ask whether they may start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The first line of our answer, by which a crashed run's file is known.
const POLICY_MARK: &str = "# keelson: holds services back while packages are installed";

/// The packages that are missing, in order, each once.
pub fn missing(needs: &[&[Need]]) -> Vec<&'static str> {
    let mut packages: Vec<&'static str> = Vec::new();
    for need in needs.iter().copied().flatten() {
        if !is_there(need) && !packages.contains(&need.package) {
            packages.push(need.package);
        }
    }
    // protoc's own includes are a package of their own.
    if packages.contains(&"protobuf-compiler")
        || (needs.iter().copied().flatten().any(|need| need.program == "protoc")
            && !Path::new("/usr/include/google/protobuf/any.proto").exists())
    {
        packages.push("libprotobuf-dev");
    }
    packages
}

fn is_there(need: &Need) -> bool {
    match need.program {
        "busybox" => image::is_static(Path::new(image::BUSYBOX)).unwrap_or(false),
        program => find(program).is_some(),
    }
}

/// Looks a program up in `PATH` and in the system's own folders, which a user's `PATH` often leaves out.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Installs packages with apt, holding back the services they would start.
///
/// `say` is told what happens. Without apt, or without root, the error says what to install.
pub fn install(packages: &[&str], say: &mut dyn FnMut(&str)) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if find("apt-get").is_none() {
        bail!("these packages are missing (Debian's names), and there is no apt to install them: {list}");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("these packages are missing: run `sudo apt-get install {list}`");
    }
    say(&format!("installing {list}"));
    let _policy = Policy::hold_services_back()?;
    if apt(&["install", "-y", "--no-install-recommends"], packages).is_err() {
        // The lists may be old or absent: fetch them and try once more.
        apt(&["update"], &[])?;
        apt(&["install", "-y", "--no-install-recommends"], packages)?;
    }
    Ok(())
}

fn apt(verb: &[&str], packages: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(verb)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("running apt-get")?;
    if !output.status.success() {
        bail!("apt-get {} failed: {}", verb[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Our policy file, while it is in place; another's is left alone.
struct Policy {
    ours: bool,
}

impl Policy {
    fn hold_services_back() -> Result<Self> {
        let old = fs::read_to_string(POLICY).ok();
        let ours = old.is_none_or(|text| text.contains(POLICY_MARK));
        if ours {
            // 101: the action is forbidden by policy.
            fs::write(POLICY, format!("#!/bin/sh\n{POLICY_MARK}\nexit 101\n"))
                .with_context(|| format!("writing {POLICY}"))?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_by_its_package_once() {
        let needs = [need("no-such-program", "some-package"), need("nor-this-one", "some-package"), need("sh", "dash")];
        assert_eq!(missing(&[&needs]), ["some-package"]);
    }

    #[test]
    fn programs_outside_the_users_path_are_found() {
        assert!(find("ip").is_some() || find("mount").is_some());
    }
}
