//! The virtual machine: two processors, a console on our pipe, nothing else.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Enough for the root file system, which lies in memory twice while it is unpacked, and for the pods.
const MEMORY: &str = "4096M";
/// Lines of the console that may wait for us.
const LINES_MAX: usize = 1024;

/// What boots, and on what.
#[derive(Debug)]
pub struct Boot<'a> {
    /// The kernel's compressed image.
    pub kernel: &'a Path,
    /// The root file system, as the kernel unpacks it.
    pub initramfs: &'a Path,
    /// Whether the processor's virtualization runs it, and not qemu's own emulation.
    pub kvm: bool,
}

/// Boots, gives every line of the console to `line`, and returns when the machine is off; kills it after `limit`.
pub fn run(boot: &Boot<'_>, limit: Duration, line: &mut dyn FnMut(&str)) -> Result<()> {
    let mut machine = Running(command(boot).spawn().context("running qemu-system-x86_64")?);
    let output = machine.0.stdout.take().context("standard output is a pipe")?;
    let (sender, lines) = mpsc::sync_channel(LINES_MAX);
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => line(text.trim_end()),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => bail!("the machine was not done after {} minutes", limit.as_secs() / 60),
        }
    }
    let status = machine.0.wait()?;
    // It has nothing left to read.
    let _ = reader.join();
    if !status.success() {
        bail!("qemu-system-x86_64: {status}");
    }
    Ok(())
}

fn command(boot: &Boot<'_>) -> Command {
    let accelerator = if boot.kvm { "kvm" } else { "tcg,thread=multi" };
    // Dies with us, however we die.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(["-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", MEMORY]);
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"]);
    command.arg("-kernel").arg(boot.kernel).arg("-initrd").arg(boot.initramfs);
    // A panic ends the machine. Debian's default is version 2 alone; say so, whatever the default.
    command.args(["-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// A machine that is off when this value is gone.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that ended cannot be killed, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
