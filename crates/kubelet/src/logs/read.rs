//! Reading a log back: tail, since, limits, follow, through rotations.
//!
//! A log is the chain of its files: rotated ones by age, then the live one. The reader holds one of them open, goes to its
//! end, and on to the file that followed it; so rotation loses nothing, and memory does not grow with the log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::file::rotated;
use super::format::Record;
use crate::time::Nanos;

/// Which part of a log is wanted and how.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub follow: bool,
    pub since: Option<Nanos>,
    pub tail_lines: Option<usize>,
    pub limit_bytes: Option<usize>,
    pub timestamps: bool,
}

/// How often a followed file is looked at while nothing wakes the reader.
const FOLLOW_PERIOD: std::time::Duration = std::time::Duration::from_millis(100);
/// The most that is sent at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How much of a file is read at once.
const READ_BYTES: usize = 256 * 1024;
/// How often the chain is looked at again when it changed meanwhile.
const LOOKS_MAX: usize = 16;

/// Sends the text until its end; with `follow`, until `ended` says that the container's run is over and all is read.
pub async fn send(
    path: PathBuf,
    wanted: Wanted,
    mut ended: impl AsyncFnMut() -> bool,
    tx: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let follow = wanted.follow;
    let mut left = wanted.limit_bytes.unwrap_or(usize::MAX);
    let mut reader = blocking(move || Reader::open(path, wanted)).await??;
    loop {
        // Asked before the read, so that nothing written before the end is missed.
        let over = !follow || ended().await;
        let (back, step) = blocking(move || {
            let step = reader.step();
            (reader, step)
        })
        .await?;
        reader = back;
        match step? {
            Step::Text(mut text) => {
                text.truncate(left);
                left -= text.len();
                for chunk in text.chunks(CHUNK_BYTES) {
                    if tx.send(chunk.to_vec()).await.is_err() {
                        return Ok(());
                    }
                }
                if left == 0 {
                    return Ok(());
                }
            }
            Step::End if over => return Ok(()),
            Step::End => tokio::select! {
                () = tokio::time::sleep(FOLLOW_PERIOD) => {}
                () = tx.closed() => return Ok(()),
            },
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// What a look at the log gave.
enum Step {
    /// More may follow at once.
    Text(Vec<u8>),
    /// All that is there was read.
    End,
}

/// One file of the chain, open.
struct Reader {
    path: PathBuf,
    wanted: Wanted,
    file: File,
    inode: u64,
    /// An incomplete record at the end of what was read.
    carry: Vec<u8>,
}

impl Reader {
    /// Finds where the wanted text begins.
    fn open(path: PathBuf, wanted: Wanted) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in rotated(&path).iter().chain([&path]) {
            match File::open(path) {
                Ok(file) => files.push(file),
                // Rotated away, or not written yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut start = 0;
        if let Some(lines) = wanted.tail_lines {
            let mut missing = lines;
            start = files.len().saturating_sub(1);
            for (index, file) in files.iter_mut().enumerate().rev() {
                start = index;
                missing = missing.saturating_sub(seek_tail(file, missing)?);
                if missing == 0 {
                    break;
                }
            }
        }
        // Later files are read from their beginning: they are found again by the chain.
        let file = files.into_iter().nth(start).ok_or(io::ErrorKind::NotFound)?;
        let inode = file.metadata()?.ino();
        Ok(Self { path, wanted, file, inode, carry: Vec::new() })
    }

    fn step(&mut self) -> io::Result<Step> {
        if let Some(text) = self.read()? {
            return Ok(Step::Text(text));
        }
        for _ in 0..LOOKS_MAX {
            let chain = chain(&self.path);
            let Some((_, live)) = chain.last() else { return Ok(Step::End) };
            if *live == self.inode {
                return Ok(Step::End);
            }
            // Rotated: nothing is written to it any more, but something may have been since it was read.
            if let Some(text) = self.read()? {
                return Ok(Step::Text(text));
            }
            let own = chain.iter().position(|(_, inode)| *inode == self.inode);
            // Where rotation has taken our file away, the oldest one that is left goes on.
            let Some((path, inode)) = chain.get(own.map_or(0, |own| own + 1)) else { return Ok(Step::End) };
            let Ok(next) = File::open(path) else { continue };
            if next.metadata()?.ino() == *inode {
                (self.file, self.inode) = (next, *inode);
                self.carry.clear();
                return Ok(Step::Text(Vec::new()));
            }
        }
        Ok(Step::End)
    }

    /// What the file has more, as text; None at its end.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; READ_BYTES];
        let length = self.file.read(&mut bytes)?;
        bytes.truncate(length);
        Ok((length > 0).then(|| render(&bytes, &self.wanted, &mut self.carry)))
    }
}

/// The log's files with their inodes, the live one last (where there is one). A rotation in between would hide a file, so
/// that is looked for.
fn chain(path: &Path) -> Vec<(PathBuf, u64)> {
    let inode = |path: &Path| std::fs::metadata(path).map(|meta| meta.ino()).ok();
    let mut older = rotated(path);
    for _ in 0..LOOKS_MAX {
        let live = inode(path);
        let now = rotated(path);
        if now == older {
            let mut files: Vec<_> = older.into_iter().filter_map(|path| Some((inode(&path)?, path))).collect();
            files.extend(live.map(|inode| (inode, path.to_owned())));
            return files.into_iter().map(|(inode, path)| (path, inode)).collect();
        }
        older = now;
    }
    Vec::new()
}

/// Lines that end; a partial record is no end of a line.
fn count_lines(bytes: &[u8]) -> usize {
    let records = bytes.split_inclusive(|byte| *byte == b'\n');
    records.filter(|line| Record::parse(line).is_none_or(|record| !record.partial)).count()
}

/// Moves to where the file's last `lines` lines begin; returns how many there are, at most `lines`.
fn seek_tail(file: &mut File, lines: usize) -> io::Result<usize> {
    let end = file.seek(SeekFrom::End(0))?;
    let (mut from, mut step) = (end, CHUNK_BYTES as u64);
    let mut bytes = Vec::new();
    while from > 0 && lines > 0 {
        step = step.min(from);
        from -= step;
        file.seek(SeekFrom::Start(from))?;
        let mut chunk = vec![0; step as usize];
        file.read_exact(&mut chunk)?;
        chunk.append(&mut bytes);
        bytes = chunk;
        // One more than wanted: the first may be cut.
        if count_lines(&bytes) > lines.saturating_add(1) {
            break;
        }
        step *= 2;
    }
    let starts = line_starts(&bytes);
    let keep = starts.len().saturating_sub(lines);
    let start = if lines == 0 { bytes.len() } else { starts.get(keep).copied().unwrap_or(0) };
    file.seek(SeekFrom::Start(from + start as u64))?;
    Ok(starts.len() - keep)
}

/// Where each line begins (the first of its records).
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let (mut starts, mut at, mut fresh) = (Vec::new(), 0, true);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if fresh {
            starts.push(at);
        }
        fresh = Record::parse(line).is_none_or(|record| !record.partial);
        at += line.len();
    }
    starts
}

/// Records as text. An incomplete record at the end waits in `carry`.
fn render(bytes: &[u8], wanted: &Wanted, carry: &mut Vec<u8>) -> Vec<u8> {
    carry.extend_from_slice(bytes);
    let complete = carry.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = carry.split_off(complete);
    let whole = std::mem::replace(carry, rest);
    let mut out = Vec::with_capacity(whole.len());
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = Record::parse(&line[..line.len() - 1]) else { continue };
        if wanted.since.is_some_and(|since| record.at().is_none_or(|at| at < since)) {
            continue;
        }
        if wanted.timestamps {
            out.extend_from_slice(record.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(record.text);
        if !record.partial {
            out.push(b'\n');
        }
    }
    out
}

/// The last lines of a log as text, for messages of failed containers.
pub fn last(path: &Path, lines: usize, bytes_max: usize) -> io::Result<String> {
    let (mut file, mut bytes) = (File::open(path)?, Vec::new());
    seek_tail(&mut file, lines)?;
    file.read_to_end(&mut bytes)?;
    let text = render(&bytes, &Wanted::default(), &mut Vec::new());
    let start = text.len().saturating_sub(bytes_max);
    Ok(String::from_utf8_lossy(&text[start..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(path: &Path, wanted: Wanted) -> String {
        let (tx, mut rx) = mpsc::channel(64);
        send(path.to_owned(), wanted, async || true, tx).await.unwrap();
        let mut out = Vec::new();
        while let Some(chunk) = rx.recv().await {
            out.extend(chunk);
        }
        String::from_utf8(out).unwrap()
    }

    fn sample(dir: &Path) -> PathBuf {
        let path = dir.join("0.log");
        let line =
            |n: i64, tag: char| format!("{} stdout {tag} line{n}\n", crate::time::rfc3339_nanos(n * 1_000_000_000));
        std::fs::write(dir.join("0.log.1"), line(1, 'F') + &line(2, 'F')).unwrap();
        std::fs::write(&path, line(3, 'P') + &line(4, 'F') + &line(5, 'F') + "1970-01-01T00:00:09Z stdout F cut")
            .unwrap();
        path
    }

    #[tokio::test]
    async fn all_of_a_log_spans_its_rotated_files() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&sample(dir.path()), Wanted::default()).await, "line1\nline2\nline3line4\nline5\n");
    }

    #[tokio::test]
    async fn a_tail_counts_whole_lines_and_reaches_into_rotated_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = sample(dir.path());
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("1970-01-01T00:00:09Z stdout F cut", ""))
            .unwrap();
        for (lines, expect) in [(0, ""), (1, "line5\n"), (2, "line3line4\nline5\n"), (3, "line2\nline3line4\nline5\n")]
        {
            let wanted = Wanted { tail_lines: Some(lines), ..Wanted::default() };
            assert_eq!(read(&path, wanted).await, expect, "{lines}");
        }
    }

    #[tokio::test]
    async fn a_follower_sees_every_line_through_rotations() {
        const LINES: usize = 4_000;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        // Small enough that it is rotated hundreds of times; all files are kept, so nothing may be missing.
        let limits = crate::logs::Limits { bytes_max: 1_000, files_max: LINES };
        let mut log = crate::logs::file::LogFile::open(&path, limits);
        let record = |n: usize| format!("{} stdout F line{n}\n", crate::time::rfc3339_nanos(0));
        log.append(record(0).as_bytes(), 1, 0);
        let (tx, mut rx) = mpsc::channel(4);
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (flag, of) = (done.clone(), path.clone());
        let follow = Wanted { follow: true, ..Wanted::default() };
        let reader = tokio::spawn(send(of, follow, async move || flag.load(std::sync::atomic::Ordering::SeqCst), tx));
        let writer = std::thread::spawn(move || {
            for n in 1..LINES {
                // Rotated files are named by time; two of one nanosecond would be one.
                log.append(record(n).as_bytes(), 1, n as i64);
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut out = Vec::new();
        while let Some(chunk) = rx.recv().await {
            out.extend(chunk);
        }
        reader.await.unwrap().unwrap();
        writer.join().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), LINES);
        assert!(text.lines().enumerate().all(|(n, line)| line == format!("line{n}")));
        assert!(rotated(&path).len() > 100);
    }

    #[tokio::test]
    async fn since_and_limit_cut_the_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = sample(dir.path());
        let wanted = Wanted { since: Some(5_000_000_000), limit_bytes: Some(3), ..Wanted::default() };
        assert_eq!(read(&path, wanted).await, "lin");
    }
}
