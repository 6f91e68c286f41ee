//! What the machine's root file system holds: programs with their libraries, modules, and the script that comes first.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testkit::image::find_busybox;
use testkit::packages;
use testkit::settings::Daemon;

use super::cpio::Archive;
use super::inside;
use super::kernel::Kernel;
use super::run_in;

/// The machine's first process.
const INIT: &str = include_str!("init.sh");
/// Programs of the system, beside busybox's.
const SYSTEM: [&str; 7] = ["containerd", "containerd-shim-runc-v2", "ctr", "runc", "nft", "ip", "conntrack"];
/// Our programs that are no daemons.
const OURS: [&str; 3] = ["xtask", "keelctl", "keelson-log-writer"];
/// Modules that a cluster may ask for, by the beginning of their path; the kernel loads them on demand.
const MODULES: [&str; 7] =
    ["net/", "lib/", "crypto/", "arch/", "fs/overlayfs/", "drivers/net/veth", "drivers/net/dummy"];

/// Writes the archive below `work`.
pub fn write(work: &Path, kernel: &Kernel, programs: &Path) -> Result<PathBuf> {
    let file = work.join("initramfs");
    let mut archive = Archive::new(BufWriter::new(File::create(&file).context("creating the initramfs")?));
    for folder in ["proc", "sys", "dev", "run", "tmp", "root", "var", inside::STATE] {
        archive.folder(Path::new(folder))?;
    }
    archive.bytes(Path::new("init"), 0o755, INIT.as_bytes())?;
    archive.bytes(Path::new("etc/passwd"), 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    archive.bytes(Path::new("etc/group"), 0o644, b"root:x:0:\n")?;
    archive.bytes(Path::new("etc/hosts"), 0o644, b"127.0.0.1 localhost\n")?;
    archive.bytes(Path::new("etc/resolv.conf"), 0o644, b"")?;
    let busybox = find_busybox().context("no static busybox is here: install the package busybox-static")?;
    archive.copy(Path::new("bin/busybox"), 0o755, &busybox)?;
    add_programs(&mut archive, work, programs)?;
    add_modules(&mut archive, kernel)?;
    archive.finish()?;
    Ok(file)
}

fn add_programs(archive: &mut Archive<impl Write>, work: &Path, programs: &Path) -> Result<()> {
    let mut libraries = BTreeSet::new();
    for name in SYSTEM {
        let file = packages::find(name).with_context(|| format!("{name} is not there"))?;
        libraries.extend(libraries_of(&file)?);
        archive.copy(&Path::new("usr/sbin").join(name), 0o755, &file)?;
    }
    let daemons = Daemon::ALL.map(Daemon::program);
    for name in OURS.into_iter().chain(daemons.iter().map(String::as_str)) {
        let file = programs.join(name);
        libraries.extend(libraries_of(&file)?);
        let target = Path::new(inside::PROGRAMS).join(name);
        // Half of a debug build is symbols; without binutils they come along.
        let stripped = work.join(name);
        let (from, to) = (file.display().to_string(), stripped.display().to_string());
        match run_in(work, "strip", &["-o", &to, &from]) {
            Ok(_) => {
                archive.copy(&target, 0o755, &stripped)?;
                fs::remove_file(&stripped)?;
            }
            Err(_) => archive.copy(&target, 0o755, &file)?,
        }
    }
    for library in libraries {
        archive.copy(&library, 0o755, &library)?;
    }
    Ok(())
}

fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let program = program.display().to_string();
    Ok(libraries(&run_in(Path::new("/"), "ldd", &[&program])?))
}

/// The files that `ldd` names: "name => file (address)", or the loader alone, "file (address)".
fn libraries(text: &str) -> Vec<PathBuf> {
    let files = text.lines().filter_map(|line| {
        let file = line.split_once("=>").map_or(line, |(_, file)| file);
        file.split_whitespace().next().filter(|file| file.starts_with('/'))
    });
    files.map(PathBuf::from).collect()
}

fn add_modules(archive: &mut Archive<impl Write>, kernel: &Kernel) -> Result<()> {
    let target = Path::new("lib/modules").join(&kernel.release);
    for index in ["modules.dep", "modules.alias", "modules.symbols", "modules.builtin"] {
        archive.copy(&target.join(index), 0o644, &kernel.modules.join(index))?;
    }
    let root = kernel.modules.join("kernel");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let below = path.strip_prefix(&root)?;
            if path.is_dir() {
                folders.push(path);
            } else if MODULES.iter().any(|wanted| below.to_string_lossy().starts_with(wanted)) {
                archive.copy(&target.join("kernel").join(below), 0o644, &path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007fe2)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x0000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007fe2)\n";
        let expect = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(text), expect);
        assert!(libraries("\tstatically linked\n").is_empty());
    }
}
