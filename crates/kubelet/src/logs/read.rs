//! Reading a log back: tail, since, limits, follow, through rotations.

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
const CHUNK_BYTES: usize = 64 * 1024;

/// Sends the text until its end; with `follow`, until `ended` says that the container's run is over and all is read.
pub async fn send(
    path: PathBuf,
    wanted: Wanted,
    mut ended: impl AsyncFnMut() -> bool,
    tx: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut left = wanted.limit_bytes.unwrap_or(usize::MAX);
    let older: Vec<PathBuf> = rotated(&path);
    let mut file = File::open(&path)?;
    let mut inode = file.metadata()?.ino();
    let mut carry = Vec::new();
    let mut text = render_start(&older, &mut file, &wanted, &mut carry)?;
    loop {
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
        // Asked before the last read, so that nothing written before the end is missed.
        let over = !wanted.follow || ended().await;
        text = render_more(&mut file, &wanted, &mut carry)?;
        if !text.is_empty() {
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(current) if current.ino() != inode => {
                file = File::open(&path)?;
                inode = file.metadata()?.ino();
                continue;
            }
            _ if over => return Ok(()),
            _ => tokio::select! {
                () = tokio::time::sleep(FOLLOW_PERIOD) => {}
                () = tx.closed() => return Ok(()),
            },
        }
    }
}

/// What is in the files now, cut to the last lines that are wanted.
fn render_start(older: &[PathBuf], file: &mut File, wanted: &Wanted, carry: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(lines) = wanted.tail_lines {
        bytes = tail(file, lines)?;
        for path in older.iter().rev() {
            let have = count_lines(&bytes);
            if have >= lines {
                break;
            }
            let mut before = tail(&mut File::open(path)?, lines - have)?;
            before.append(&mut bytes);
            bytes = before;
        }
    } else {
        for path in older {
            File::open(path)?.read_to_end(&mut bytes)?;
        }
        file.read_to_end(&mut bytes)?;
    }
    Ok(render(&bytes, wanted, carry))
}

fn render_more(file: &mut File, wanted: &Wanted, carry: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(render(&bytes, wanted, carry))
}

/// Lines that end; a partial record is no end of a line.
fn count_lines(bytes: &[u8]) -> usize {
    let records = bytes.split_inclusive(|byte| *byte == b'\n');
    records.filter(|line| Record::parse(line).is_none_or(|record| !record.partial)).count()
}

/// The end of a file that holds its last `lines` lines. Leaves the file at its end.
fn tail(file: &mut File, lines: usize) -> io::Result<Vec<u8>> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut from = end;
    let mut bytes = Vec::new();
    while from > 0 {
        let step = (CHUNK_BYTES as u64).min(from);
        from -= step;
        file.seek(SeekFrom::Start(from))?;
        let mut chunk = vec![0; step as usize];
        file.read_exact(&mut chunk)?;
        chunk.append(&mut bytes);
        bytes = chunk;
        // One more than wanted: the first may be cut.
        if count_lines(&bytes) > lines + 1 {
            break;
        }
    }
    file.seek(SeekFrom::Start(end))?;
    let ends: Vec<usize> = line_starts(&bytes);
    let keep = ends.len().saturating_sub(lines);
    let start = if lines == 0 { bytes.len() } else { ends.get(keep).copied().unwrap_or(0) };
    bytes.drain(..start);
    Ok(bytes)
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
    let wanted = Wanted { tail_lines: Some(lines), ..Wanted::default() };
    let text = render(&tail(&mut File::open(path)?, lines)?, &wanted, &mut Vec::new());
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
    async fn since_and_limit_cut_the_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = sample(dir.path());
        let wanted = Wanted { since: Some(5_000_000_000), limit_bytes: Some(3), ..Wanted::default() };
        assert_eq!(read(&path, wanted).await, "lin");
    }
}
