//! The file that events are written to, a line each: by a thread of its own, so that a slow disk holds up requests only when
//! very many events wait. The file is renamed when it is full; old ones are removed by number and age, as upstream.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::Context;

/// Events that wait for the disk before requests do.
const WAITING_MAX: usize = 8192;
/// The size of a file where none is configured.
const DEFAULT_MIB: u64 = 100;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Flags.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `-` is the standard output.
    pub path: PathBuf,
    /// `--audit-log-maxsize`, MiB; 0: 100.
    pub size_mib: u64,
    /// `--audit-log-maxbackup`; 0: all.
    pub backups: usize,
    /// `--audit-log-maxage`, days; 0: for ever.
    pub age_days: u64,
}

/// An open log. Dropping it writes what waits.
#[derive(Debug)]
pub struct Log {
    lines: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the file, or makes it.
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let shown = settings.path.display().to_string();
        let writer = Writer::open(settings).with_context(|| format!("--audit-log-path: cannot open {shown}"))?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("audit-log".to_owned()).spawn(move || writer.run(&waiting))?;
        Ok(Self { lines: Some(lines), writer: Some(thread) })
    }

    /// Writes a line; waits where too many do.
    pub fn write(&self, line: String) {
        // The thread ends only after this end is dropped.
        if let Some(lines) = &self.lines {
            _ = lines.send(line);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(writer) = self.writer.take() {
            _ = writer.join();
        }
    }
}

enum Target {
    Stdout,
    File { file: File, bytes: u64 },
}

struct Writer {
    settings: Settings,
    target: Target,
}

impl Writer {
    fn open(settings: Settings) -> io::Result<Self> {
        let target = match settings.path.as_os_str() == "-" {
            true => Target::Stdout,
            false => open(&settings.path)?,
        };
        Ok(Self { settings, target })
    }

    fn run(mut self, waiting: &Receiver<String>) {
        let mut failing = false;
        while let Ok(mut line) = waiting.recv() {
            line.push('\n');
            match self.write(line.as_bytes()) {
                Ok(()) => failing = false,
                // Said once: the next events would say the same.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(path = %self.settings.path.display(), %error, "audit events are not written");
                }
                Err(_) => {}
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let max = match self.settings.size_mib {
            0 => DEFAULT_MIB,
            given => given,
        } << 20;
        if let Target::File { bytes, .. } = &self.target
            && *bytes > 0
            && *bytes + line.len() as u64 > max
        {
            self.rotate()?;
        }
        match &mut self.target {
            Target::Stdout => io::stdout().lock().write_all(line),
            Target::File { file, bytes } => {
                file.write_all(line)?;
                *bytes += line.len() as u64;
                Ok(())
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        std::fs::rename(path, backup(path, jiff::Timestamp::now()))?;
        self.target = open(path)?;
        self.remove_old();
        Ok(())
    }

    fn remove_old(&self) {
        let Settings { path, backups, age_days, .. } = &self.settings;
        let mut old = backups_of(path);
        // The name begins with the time: the newest first.
        old.sort_by(|a, b| b.cmp(a));
        for (at, path) in old.iter().enumerate() {
            let too_many = *backups > 0 && at >= *backups;
            let too_old =
                *age_days > 0 && age(path).is_some_and(|age| age > DAY * u32::try_from(*age_days).unwrap_or(u32::MAX));
            if (too_many || too_old)
                && let Err(error) = std::fs::remove_file(path)
            {
                tracing::warn!(path = %path.display(), %error, "an old audit log stays");
            }
        }
    }
}

fn open(path: &Path) -> io::Result<Target> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Target::File { file, bytes })
}

/// `audit.log` becomes `audit-2026-12-01T14-05-25.123.log`.
fn backup(path: &Path, now: jiff::Timestamp) -> PathBuf {
    let (stem, extension) = parts(path);
    path.with_file_name(format!("{stem}-{}{extension}", now.strftime("%Y-%m-%dT%H-%M-%S.%3f")))
}

fn parts(path: &Path) -> (String, String) {
    let text =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    (text(path.file_stem()), extension)
}

fn backups_of(path: &Path) -> Vec<PathBuf> {
    let (stem, extension) = parts(path);
    let begin = format!("{stem}-");
    let is_backup = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
            name.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(&extension)).is_some_and(|time| {
                time.len() == 23 && time.bytes().all(|byte| byte.is_ascii_digit() || b"-T.".contains(&byte))
            })
        })
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_backup).collect()
}

fn age(path: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(std::fs::metadata(path).ok()?.modified().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the names of old files are told apart by the millisecond")]
    fn full_files_are_renamed_and_old_ones_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        std::fs::write(folder.path().join("audit-other.log"), "stays").expect("written");
        let log = Log::open(Settings { path: path.clone(), size_mib: 1, backups: 2, age_days: 1 }).expect("open");
        // Four files of one line each; names are of a millisecond.
        for at in 0..5 {
            log.write(format!("{at}{}", "x".repeat(700 << 10)));
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(log);
        let current = std::fs::read_to_string(&path).expect("the log");
        assert!(current.starts_with("4x") && current.ends_with("x\n"));
        assert_eq!(backups_of(&path).len(), 2);
        assert!(folder.path().join("audit-other.log").exists());
    }

    #[test]
    fn a_log_that_cannot_be_opened_names_its_flag() {
        let path = PathBuf::from("/nowhere/at/all/audit.log");
        let error = Log::open(Settings { path, size_mib: 0, backups: 0, age_days: 0 }).expect_err("no folder");
        assert!(error.to_string().contains("--audit-log-path"), "{error}");
    }
}
