//! `cargo xtask test-cgroup2`: requests and limits on cgroup version 2, for real.
//!
//! Debian's kernel boots under qemu with a root file system in memory that holds our programs, containerd and runc; the
//! same program, inside, starts a cluster, runs pods and compares what the kernel was told (`inside.rs`). The last line of
//! the console says what came of it. No network, no disk: what the machine leaves behind is one cached kernel package.

mod checks;
mod console;
mod cpio;
mod image;
mod inside;
mod kernel;
mod machine;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testkit::packages::{self, Need};

use crate::progress::Progress;
use crate::{build, workspace};

use console::Console;

/// What this needs beyond what running a cluster needs.
const NEEDS: &[Need] = &[
    packages::need("qemu-system-x86_64", "qemu-system-x86"),
    packages::need("setpriv", "util-linux"),
    packages::need("ldd", "libc-bin"),
];

/// What `test-cgroup2` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Run the programs that were built before.
    #[arg(long)]
    no_build: bool,
    /// Show everything that the machine writes on its console.
    #[arg(long)]
    console: bool,
    /// Let the processor's virtualization run the machine (/dev/kvm), some ten times faster than emulation. Not the
    /// default, since nested hypervisors often break in the middle of a kernel's start.
    #[arg(long)]
    kvm: bool,
    /// How many minutes the machine may take.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Check the machine that this runs in: what the machine's first process calls.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    if options.inside {
        return inside::run();
    }
    let began = Instant::now();
    let mut progress = Progress::new();
    let needs: &[&[Need]] =
        if options.no_build { &[packages::RUN, NEEDS] } else { &[packages::BUILD, packages::RUN, NEEDS] };
    packages::install(&packages::missing(needs), &mut |text| progress.step(text))?;
    progress.finish_step();
    let programs = if options.no_build { build::programs("dev")? } else { build::build("dev")? };

    let cache = workspace::target()?.join("cgroup2");
    let work = Work::make(cache.join(format!("run-{}", std::process::id())))?;
    progress.step("fetching Debian's kernel");
    let kernel = kernel::fetch(&cache, &work.0)?;
    progress.step(&format!("making the machine's files for {}", kernel.release));
    let initramfs = image::write(&work.0, &kernel, &programs)?;
    progress.step("running the machine");
    let mut console = Console::new();
    let limit = Duration::from_secs(options.minutes * 60);
    let boot = machine::Boot { kernel: &kernel.image, initramfs: &initramfs, kvm: options.kvm };
    let ended = machine::run(&boot, limit, &mut |line| {
        let ours = console.take(line);
        if let Some(text) = ours.or(options.console.then_some(line)) {
            progress.detail(text);
        }
    });
    drop(work);
    let verdict = console.verdict();
    if ended.is_err() || verdict.is_err() {
        eprintln!("the end of the machine's console:\n{}", console.tail());
    }
    ended.and(verdict)?;
    progress.finish_step();
    println!("{} checks passed in {:.0} s", console.passed(), began.elapsed().as_secs_f32());
    Ok(())
}

/// A folder that goes away with this value.
struct Work(PathBuf);

impl Work {
    fn make(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

/// Runs a program in a folder; an error carries what it complained about.
fn run_in(folder: &Path, program: &str, args: &[&str]) -> Result<String> {
    let mut command = std::process::Command::new(program);
    let shown = format!("{program} {}", args.join(" "));
    let command = command.args(args).current_dir(folder).stdin(std::process::Stdio::null()).env("LC_ALL", "C");
    let output = command.output().with_context(|| format!("running {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
