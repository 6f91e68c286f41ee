//! A container's log file: appended to, rotated, and honest about what a full disk made it lose.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::format::Stream;
use crate::time::{self, Nanos};

/// When a file is rotated and how many are kept, the current one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    pub bytes_max: u64,
    pub files_max: usize,
}

/// An open log file.
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    limits: Limits,
    /// Records that a full disk (or another failure) made it lose since the last record that was written.
    dropped: u64,
}

impl LogFile {
    /// Opens or continues the file; a record that a crash cut short is cut off.
    pub fn open(path: &Path, limits: Limits) -> Self {
        let mut log = Self { path: path.to_owned(), file: None, length: 0, limits, dropped: 0 };
        // A failure shows at the first write, which counts what it drops.
        let _ = log.ensure();
        log
    }

    fn ensure(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            if let Some(dir) = self.path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.path)?;
            self.length = whole(&mut file)?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("the log file was just opened"))
    }

    /// Appends whole records; `records` is their number. Never fails: what cannot be written is counted.
    pub fn append(&mut self, bytes: &[u8], records: u64, now: Nanos) {
        if self.length >= self.limits.bytes_max {
            self.rotate(now);
        }
        if self.dropped > 0 {
            let told = format!(
                "{} {} F [keelson: {} lines were dropped: the log could not be written]\n",
                time::rfc3339_nanos(now),
                Stream::Stderr.name(),
                self.dropped
            );
            if self.write(told.as_bytes()).is_err() {
                self.dropped += records;
                return;
            }
            self.dropped = 0;
        }
        if self.write(bytes).is_err() {
            self.dropped += records;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.length;
        let file = self.ensure()?;
        if let Err(error) = file.write_all(bytes) {
            // Half a record would be read as a whole one.
            let _ = file.set_len(length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, now: Nanos) {
        let stamp: String = time::rfc3339_nanos(now).chars().filter(char::is_ascii_digit).collect();
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{stamp}"));
        if std::fs::rename(&self.path, PathBuf::from(name)).is_ok() {
            self.file = None;
            self.length = 0;
        }
        let rotated = rotated(&self.path);
        let surplus = (rotated.len() + 1).saturating_sub(self.limits.files_max.max(2));
        for old in rotated.iter().take(surplus) {
            let _ = std::fs::remove_file(old);
        }
    }
}

/// Cuts off what a crash left of a record, so that it does not grow together with the next one. Returns the length.
fn whole(file: &mut File) -> io::Result<u64> {
    const STEP_BYTES: u64 = 32 * 1024;
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        let from = end.saturating_sub(STEP_BYTES);
        let mut bytes = vec![0; (end - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut bytes)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            end = from + at as u64 + 1;
            break;
        }
        end = from;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// The rotated files of a log, the oldest first.
pub fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { bytes_max: 10, files_max: 3 };

    #[test]
    fn rotation_keeps_the_newest_files_and_loses_nothing_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = LogFile::open(&path, SMALL);
        for n in 0..6 {
            log.append(format!("record-{n}--\n").as_bytes(), 1, n);
        }
        let files = rotated(&path);
        assert_eq!(files.len(), 2);
        assert_eq!(std::fs::read_to_string(&files[1]).unwrap(), "record-4--\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "record-5--\n");
    }

    #[test]
    fn a_record_that_a_crash_cut_short_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let long = "x".repeat(100_000);
        for (before, expect) in [
            ("one\ntorn", "one\nnext\n".to_owned()),
            ("one\n", "one\nnext\n".to_owned()),
            ("torn", "next\n".to_owned()),
            (format!("one\n{long}").as_str(), "one\nnext\n".to_owned()),
        ] {
            std::fs::write(&path, before).unwrap();
            LogFile::open(&path, Limits { bytes_max: 1 << 20, files_max: 2 }).append(b"next\n", 1, 0);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expect);
        }
    }

    #[test]
    fn a_full_disk_drops_whole_records_and_says_how_many() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        sys::mount::tmpfs(&disk, Some(64 * 1024), 0o755).expect("needs root (CAP_SYS_ADMIN)");
        let path = disk.join("0.log");
        let mut log = LogFile::open(&path, Limits { bytes_max: 1 << 20, files_max: 3 });
        std::fs::write(disk.join("ballast"), vec![0; 40 * 1024]).unwrap();
        let record = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..40 {
            log.append(&record, 1, 0);
        }
        std::fs::remove_file(disk.join("ballast")).unwrap();
        log.append(&record, 1, 0);
        let text = std::fs::read_to_string(&path).unwrap();
        sys::mount::unmount_all(&dir.path().canonicalize().unwrap()).unwrap();
        let whole = text.lines().filter(|line| line.len() == 1023).count();
        let told = text.lines().find(|line| line.contains("dropped")).unwrap();
        assert_eq!(whole + 1, text.lines().count());
        assert!(told.contains(&format!("{} lines were dropped", 41 - whole)), "{told}");
    }
}
