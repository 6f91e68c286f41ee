//! `cargo xtask test-fresh`: `cargo xtask up` on a machine that has nothing yet.
//!
//! The machine is a Debian that debootstrap makes in a folder, seen by processes in mount, pid and network namespaces of
//! their own (`fresh/enter.sh`). Of this machine it has the kernel, and, written to without a trace, the checkout, the Rust
//! toolchain and cargo's downloads. There `fresh/machine.sh` does what README.md says. `up` itself succeeds only if hello's
//! page was served each way; what is looked at afterwards is that apt installed the packages, and held services back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::layout::Layout;
use testkit::namespace::Machine;
use testkit::{host, leftovers, packages, process, wait};

use crate::progress::Progress;
use crate::workspace;

/// The Debian release of the fresh machine.
const SUITE: &str = "bookworm";
/// The name of its folder in the folder of temporary files, and of its network namespace.
const NAME: &str = "kln-fresh";
/// Its address: one of those that documents use (RFC 5737).
const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 7);
/// Where its cluster lies, on itself.
const STATE: &str = "/var/lib/keelson-fresh";
/// Written on it, for each run of dpkg: the answer of the policy that maintainer scripts ask.
const ANSWERS: &str = "var/log/policy-answers";
/// The code by which a policy forbids to start a service.
const FORBIDDEN: &str = "101";
/// What is installed by `up`, whatever it is told.
const INSTALLED: [&str; 6] = ["containerd", "runc", "nftables", "iproute2", "conntrack", "busybox-static"];

/// How long making the machine may take.
const MAKE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long `up` may take that builds nothing.
const RUN_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long `up` may take that builds all.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// What `test-fresh` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Run the programs that were built before and lie here; else the fresh machine builds them.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Runs the command; everything it made is removed, however it ends.
pub fn run(options: &Options) -> Result<()> {
    host::require_root()?;
    let mut progress = Progress::new();
    if packages::find("debootstrap").is_none() {
        packages::install(&["debootstrap"], &mut |text| progress.step(text))?;
    }
    let place = Place::make()?;
    let mirror = mirror(&apt_targets()?).with_context(|| format!("apt is configured with no mirror of {SUITE}"))?;
    progress.step(&format!("making a fresh machine with {SUITE}"));
    place.bootstrap(&mirror)?;
    let network = Machine::create(NAME, ADDRESS)?;
    progress.finish_step();
    drop(progress);
    let ran = place.enter(options);
    // Where it was killed, its cgroups are left; its mounts and processes went with their namespaces.
    leftovers::remove(&Layout::new(Path::new(STATE)))?;
    drop(network);
    ran?;
    place.judge()?;
    testkit::say!(
        "\na fresh machine became a cluster: apt installed what was missing, no service was started, hello was served"
    );
    Ok(())
}

/// The files of the fresh machine; removed when dropped.
struct Place(PathBuf);

impl Place {
    /// An empty place; what a run that was killed left there is removed.
    fn make() -> Result<Self> {
        let place = Self(std::env::temp_dir().canonicalize()?.join(NAME));
        place.clear()?;
        fs::create_dir_all(place.over())?;
        Ok(place)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// What is written to folders of this machine goes here instead.
    fn over(&self) -> PathBuf {
        self.0.join("over")
    }

    fn clear(&self) -> Result<()> {
        // Mounts of ours are in namespaces of their own; were one here, removing would reach through it.
        let mounts = leftovers::mounts(&self.0);
        ensure!(mounts.is_empty(), "something is mounted below {}: {mounts:?}", self.0.display());
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }

    /// Makes a small Debian that has not yet asked for lists of packages, as images of machines are shipped.
    fn bootstrap(&self, mirror: &str) -> Result<()> {
        let log = self.0.join("debootstrap.log");
        let mut command = own_namespaces();
        command.args(["debootstrap", "--variant=minbase", SUITE]).arg(self.root()).arg(mirror);
        command.env("PATH", packages::path()).stdout(fs::File::create(&log)?);
        if let Err(error) = bounded(&mut command, MAKE_LIMIT) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            return Err(error.context(text.lines().last().unwrap_or_default().to_owned()));
        }
        let lists = self.root().join("var/lib/apt/lists");
        fs::remove_dir_all(&lists)?;
        fs::create_dir(&lists)?;
        let witness =
            format!("DPkg::Pre-Invoke {{ \"sh /usr/sbin/policy-rc.d containerd start; echo $? >>/{ANSWERS}\"; }};\n");
        fs::write(self.root().join("etc/apt/apt.conf.d/90witness"), witness)?;
        Ok(())
    }

    /// Runs `machine.sh` on the machine.
    fn enter(&self, options: &Options) -> Result<()> {
        let here = workspace::root()?.join("crates/xtask/src/fresh");
        let toolchain = PathBuf::from(process::run("rustc", ["--print", "sysroot"])?.trim());
        let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
        let downloads = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
        let mut folders = vec![workspace::root()?, workspace::target()?, downloads.clone(), toolchain.clone()];
        let mut with = String::new();
        if let Some(programs) = &options.programs {
            let programs = programs.canonicalize().with_context(|| format!("no folder {}", programs.display()))?;
            with = format!("--programs {}", programs.display());
            folders.push(programs);
        }
        let list: Vec<String> = outermost(folders).iter().map(|folder| folder.display().to_string()).collect();

        let mut command = own_namespaces();
        command.arg("sh").arg(here.join("enter.sh")).args(["sh"]).arg(here.join("machine.sh"));
        command.env_clear().env("CHECKOUT", workspace::root()?);
        for name in ["http_proxy", "https_proxy", "no_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let path = format!("{}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", toolchain.display());
        command.env("PATH", path).env("HOME", home).env("CARGO_HOME", downloads).env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_TARGET_DIR", workspace::target()?);
        command.env("ROOT", self.root()).env("OVER", self.over()).env("FOLDERS", list.join("\n"));
        command.env("NETWORK", NAME).env("STATE", STATE).env("WITH", with);
        bounded(&mut command, if options.programs.is_some() { RUN_LIMIT } else { BUILD_LIMIT })
    }

    /// Looks at what apt did.
    fn judge(&self) -> Result<()> {
        let history =
            fs::read_to_string(self.root().join("var/log/apt/history.log")).context("apt installed nothing")?;
        for package in INSTALLED {
            let whole = format!(" {package}:");
            ensure!(history.contains(&whole), "apt did not install {package}:\n{history}");
        }
        let answers = fs::read_to_string(self.root().join(ANSWERS)).context("dpkg did not run")?;
        let held_back = !answers.is_empty() && answers.lines().all(|answer| answer == FORBIDDEN);
        ensure!(held_back, "services were not held back: the policy's answers were {answers:?}");
        ensure!(!self.root().join("usr/sbin/policy-rc.d").exists(), "the policy was left behind");
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            testkit::complain!("{error:#}");
        }
    }
}

/// Runs what is added in mount and pid namespaces of its own: with its first process all others and all mounts are gone.
fn own_namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--"]);
    command.stdin(Stdio::null());
    command
}

/// Runs a command that must succeed within a time; after it, it is killed.
fn bounded(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = Killed(command.spawn().context("running unshare")?);
    let status = wait::until("the fresh machine", limit, || Ok(child.0.try_wait()?))?;
    if !status.success() {
        bail!("on the fresh machine: {status}");
    }
    Ok(())
}

/// A child that does not outlive us.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail on a child that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lists of packages that apt would fetch: address, release and component, one a line.
fn apt_targets() -> Result<String> {
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    process::run("apt-get", ["indextargets", "--format", format, "Created-By: Packages"])
}

/// The mirror of the release among them.
fn mirror(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (address, release, component) = (words.next()?, words.next()?, words.next()?);
        (release == SUITE && component == "main").then(|| address.to_owned())
    })
}

/// The folders without those that lie in another of them.
fn outermost(mut folders: Vec<PathBuf>) -> Vec<PathBuf> {
    folders.sort();
    folders.dedup();
    let all = folders.clone();
    folders.retain(|folder| !all.iter().any(|other| other != folder && folder.starts_with(other)));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_releases_own() {
        let targets = "http://security.invalid/ bookworm-security main\nhttp://more.invalid/ bookworm contrib\n\
            http://one.invalid/debian/ bookworm main\nhttp://two.invalid/ bookworm main\n";
        assert_eq!(mirror(targets).as_deref(), Some("http://one.invalid/debian/"));
        assert_eq!(mirror("http://one.invalid/ trixie main\n"), None);
    }

    #[test]
    fn a_folder_in_another_is_shown_once() {
        let folders = ["/w/target", "/w", "/root/.cargo", "/w", "/wider"].map(PathBuf::from);
        assert_eq!(outermost(folders.to_vec()), ["/root/.cargo", "/w", "/wider"].map(PathBuf::from));
    }
}
