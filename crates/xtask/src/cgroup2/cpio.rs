//! Writes a cpio archive in the form that the kernel unpacks ("newc"): headers of hexadecimal numbers, everything aligned
//! to four bytes. Files belong to root and have no time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path};

use anyhow::{Context, Result, ensure};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";
const ALIGN: u64 = 4;

/// An archive that is being written; a path is named once, and its folders are made on the way.
pub struct Archive<W> {
    out: W,
    written: u64,
    inode: u32,
    names: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self { out, written: 0, inode: 0, names: BTreeSet::new() }
    }

    /// A folder, with those above it.
    pub fn folder(&mut self, path: &Path) -> Result<()> {
        let name = name(path)?;
        for (end, _) in name.match_indices('/').chain([(name.len(), "")]) {
            let name = &name[..end];
            if !name.is_empty() && self.names.insert(name.to_owned()) {
                self.header(name, DIRECTORY | 0o755, 0)?;
            }
        }
        Ok(())
    }

    /// A file with these bytes.
    pub fn bytes(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(path, REGULAR | mode, content.len() as u64, &mut &content[..])
    }

    /// A copy of a file.
    pub fn copy(&mut self, path: &Path, mode: u32, from: &Path) -> Result<()> {
        let shown = || format!("reading {}", from.display());
        let mut file = File::open(from).with_context(shown)?;
        let length = file.seek(io::SeekFrom::End(0)).with_context(shown)?;
        file.rewind().with_context(shown)?;
        self.entry(path, REGULAR | mode, length, &mut file).with_context(shown)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<W> {
        self.inode = 0;
        self.header(TRAILER, 0, 0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &Path, mode: u32, length: u64, content: &mut dyn Read) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        let name = name(path)?;
        ensure!(self.names.insert(name.clone()), "{name} is there already");
        self.header(&name, mode, length)?;
        let copied = io::copy(&mut content.take(length), &mut self.out)?;
        ensure!(copied == length, "it became shorter: {copied} of {length} bytes");
        self.written += length;
        self.align()
    }

    fn header(&mut self, name: &str, mode: u32, length: u64) -> Result<()> {
        let length = u32::try_from(length).with_context(|| format!("{name} is too large for an archive"))?;
        self.inode += 1;
        // Magic; inode, mode, owner, group, links, time, length, four device numbers, length of the name, checksum.
        let numbers = [
            self.inode,
            mode,
            0,
            0,
            1,
            0,
            length,
            0,
            0,
            0,
            0,
            u32::try_from(name.len() + 1).context("a long name")?,
            0,
        ];
        let mut header = String::from("070701");
        for number in numbers {
            header.push_str(&format!("{number:08x}"));
        }
        header.push_str(name);
        header.push('\0');
        self.out.write_all(header.as_bytes())?;
        self.written += header.len() as u64;
        self.align()
    }

    fn align(&mut self) -> Result<()> {
        while !self.written.is_multiple_of(ALIGN) {
            self.out.write_all(&[0])?;
            self.written += 1;
        }
        Ok(())
    }
}

/// A path from the archive's root.
fn name(path: &Path) -> Result<String> {
    let parts = path.components().filter(|part| *part != Component::RootDir);
    let parts: Option<Vec<&str>> = parts
        .map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        })
        .collect();
    Ok(parts.with_context(|| format!("{} is no plain path", path.display()))?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names, kinds and contents, read back as the kernel reads them.
    fn entries(archive: &[u8]) -> Vec<(String, u32, String)> {
        let number = |at: usize| usize::from_str_radix(std::str::from_utf8(&archive[at..at + 8]).unwrap(), 16).unwrap();
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&archive[at..at + 6], b"070701");
            let (mode, length, named) = (number(at + 14), number(at + 54), number(at + 94));
            let name = String::from_utf8(archive[at + 110..at + 110 + named - 1].to_vec()).unwrap();
            let start = (at + 110 + named).next_multiple_of(4);
            if name == TRAILER {
                return out;
            }
            out.push((
                name,
                u32::try_from(mode).unwrap(),
                String::from_utf8(archive[start..start + length].to_vec()).unwrap(),
            ));
            at = (start + length).next_multiple_of(4);
        }
    }

    #[test]
    fn an_archive_is_read_back_with_its_folders_made_once() {
        let mut archive = Archive::new(Vec::new());
        archive.bytes(Path::new("/usr/bin/a"), 0o755, b"12345").unwrap();
        archive.bytes(Path::new("/usr/bin/b"), 0o644, b"").unwrap();
        archive.bytes(Path::new("/init"), 0o755, b"#!").unwrap();
        let entry = |name: &str, mode: u32, content: &str| (name.to_owned(), mode, content.to_owned());
        let expect = [
            entry("usr", 0o040_755, ""),
            entry("usr/bin", 0o040_755, ""),
            entry("usr/bin/a", 0o100_755, "12345"),
            entry("usr/bin/b", 0o100_644, ""),
            entry("init", 0o100_755, "#!"),
        ];
        assert_eq!(entries(&archive.finish().unwrap()), expect);
    }

    #[test]
    fn a_path_is_written_once_and_must_be_plain() {
        let mut archive = Archive::new(Vec::new());
        archive.bytes(Path::new("a"), 0o644, b"").unwrap();
        assert!(archive.bytes(Path::new("/a"), 0o644, b"").is_err());
        assert!(archive.bytes(Path::new("../b"), 0o644, b"").is_err());
    }
}
