//! Watchers of one resource, each a connection of its own, while pods are created.
//!
//! Two paces: `watch-N` writes as fast as the slowest watcher follows, `watch-N-paced` writes so many objects a second. The
//! name of a pod tells when its creation was sent, so a watcher knows how late it hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use test_bench::calls::Figures;
use test_bench::process;
use tokio::task::JoinSet;

use crate::bodies::{self, WATCHED};
use crate::connection::{Connection, Target};
use crate::load::Measured;
use crate::report::Report;
use crate::servers::Cluster;
use crate::wire::Parser;
use crate::{Options, wire};

/// Connections that create.
const WRITERS: usize = 8;
/// How far the slowest watcher may be behind what was created.
const AHEAD_MAX: u64 = 256;
/// Objects a second where the pace is given.
const PACE: u64 = 20;
const WARM_UP: Duration = Duration::from_millis(500);
/// How often a writer looks whether it may go on.
const WRITER_STEP: Duration = Duration::from_micros(200);
/// What a pod's name begins with; 16 digits of microseconds follow.
const STEM: &str = "w-";
/// A name stands near the beginning of an event.
const NAME_WITHIN: usize = 200;

/// Each number of watchers at both paces.
pub async fn run(options: &Options, cluster: &Cluster, report: &Report) -> Result<()> {
    for watchers in &options.watchers {
        for (name, paced) in [(format!("watch-{watchers}"), false), (format!("watch-{watchers}-paced"), true)] {
            if !options.wants(&name) {
                continue;
            }
            let (measured, cuts) = measure(cluster, *watchers, options.span(), paced).await.context(name.clone())?;
            report.load(&name, &measured);
            report.figure(&format!("{name}-cut"), "watches", cuts as f64);
        }
    }
    Ok(())
}

/// What writers and watchers share.
struct Shared {
    target: Target,
    epoch: Instant,
    begin: Instant,
    end: Instant,
    created: AtomicU64,
    /// Events that each watcher has seen.
    seen: Vec<AtomicU64>,
    /// Watches that the server ended.
    cuts: AtomicU64,
    /// Watches that have begun.
    begun: AtomicU64,
}

impl Shared {
    fn slowest(&self) -> u64 {
        self.seen.iter().map(|seen| seen.load(Ordering::Relaxed)).min().unwrap_or(0)
    }
}

async fn measure(cluster: &Cluster, watchers: usize, span: Duration, paced: bool) -> Result<(Measured, u64)> {
    let epoch = Instant::now();
    // Opening so many connections takes its time.
    let begin = epoch + WARM_UP + Duration::from_millis(5) * watchers as u32;
    let shared = Arc::new(Shared {
        target: cluster.target.clone(),
        epoch,
        begin,
        end: begin + span,
        created: AtomicU64::new(0),
        seen: (0..watchers).map(|_| AtomicU64::new(0)).collect(),
        cuts: AtomicU64::new(0),
        begun: AtomicU64::new(0),
    });
    let mut readers = JoinSet::new();
    for watcher in 0..watchers {
        readers.spawn(watch(Arc::clone(&shared), watcher));
    }
    tokio::time::sleep_until((begin - WARM_UP).into()).await;
    let begun = shared.begun.load(Ordering::Relaxed) as usize;
    ensure!(begun == watchers, "only {begun} of {watchers} watches had begun in time");
    let mut writers = JoinSet::new();
    let count = if paced { 1 } else { WRITERS };
    for writer in 0..count {
        writers.spawn(write(Arc::clone(&shared), writer, paced));
    }
    tokio::time::sleep_until(begin.into()).await;
    process::forget_peak(cluster.pid())?;
    let before = cluster.cpu()?;
    tokio::time::sleep_until(shared.end.into()).await;
    let cpu = cluster.cpu()?.since(before);
    let mut figures = Figures::default();
    while let Some(done) = writers.join_next().await {
        done??;
    }
    while let Some(one) = readers.join_next().await {
        let (events, latencies) = one??;
        figures.operations += events;
        figures.latencies.add(&latencies)?;
    }
    let measured = Measured { figures, span, cpu, peak: process::peak(cluster.pid())? };
    Ok((measured, shared.cuts.load(Ordering::Relaxed)))
}

async fn write(shared: Arc<Shared>, writer: usize, paced: bool) -> Result<()> {
    let mut connection = Connection::open(&shared.target).await?;
    let path = bodies::path(WATCHED, "pods");
    let mut next = Instant::now();
    let (mut request, mut count) = (Vec::new(), 0);
    loop {
        if paced {
            next += Duration::from_secs(1) / PACE as u32;
            tokio::time::sleep_until(next.into()).await;
        }
        while !paced
            && shared.created.load(Ordering::Relaxed) > shared.slowest() + AHEAD_MAX
            && Instant::now() < shared.end
        {
            tokio::time::sleep(WRITER_STEP).await;
        }
        let now = Instant::now();
        if now >= shared.end {
            return Ok(());
        }
        count += 1;
        let name = format!("{STEM}{:016}-{writer}-{count}-{}", (now - shared.epoch).as_micros(), shared.seen.len());
        let name = if paced { format!("{name}-p") } else { name };
        request.clear();
        wire::request(
            &mut request,
            "POST",
            &path,
            "application/json",
            "application/json",
            bodies::pod(&name).as_bytes(),
        );
        let status = connection.call(&request).await?.status;
        ensure!(status == 201, "the server answered {status}: {}", connection.told());
        shared.created.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts events between begin and end; a watch that the server ends begins anew, at what is there then.
async fn watch(shared: Arc<Shared>, watcher: usize) -> Result<(u64, Histogram<u64>)> {
    let (mut events, mut latencies) = (0, Figures::default().latencies);
    let mut lines = Lines::default();
    let mut connection = begin(&shared.target).await?;
    shared.begun.fetch_add(1, Ordering::Relaxed);
    let mut parser = Parser::default();
    loop {
        let mut found = Found::default();
        let step = connection.step(&mut parser, |bytes| lines.feed(bytes, &mut found));
        let Ok(read) = tokio::time::timeout_at(shared.end.into(), step).await else { return Ok((events, latencies)) };
        if read.is_err() || parser.is_done() {
            shared.cuts.fetch_add(1, Ordering::Relaxed);
            connection = begin(&shared.target).await?;
            (parser, lines) = (Parser::default(), Lines::default());
            shared.seen[watcher].fetch_max(shared.created.load(Ordering::Relaxed), Ordering::Relaxed);
            continue;
        }
        ensure!(parser.status == 200, "a watch was answered {}", parser.status);
        let now = Instant::now();
        if found.events == 0 || now >= shared.end {
            continue;
        }
        shared.seen[watcher].fetch_add(found.events, Ordering::Relaxed);
        if now >= shared.begin {
            events += found.events;
            if let Some(sent) = found.sent_us {
                let heard = now.duration_since(shared.epoch).as_micros() as u64;
                latencies.saturating_record(heard.saturating_sub(sent).max(1));
            }
        }
    }
}

/// Begins a watch after what is there now; its head is read with its first event.
async fn begin(target: &Target) -> Result<Connection> {
    let mut connection = Connection::open(target).await?;
    let path = bodies::path(WATCHED, "pods");
    let mut request = Vec::new();
    wire::request(&mut request, "GET", &format!("{path}?limit=1"), "", "application/json", b"");
    let status = connection.call(&request).await?.status;
    ensure!(status == 200, "{path}: {status}: {}", connection.told());
    let version = bodies::version(&connection.body).context("a list has a version")?.to_owned();
    request.clear();
    let path = format!("{path}?watch=1&resourceVersion={version}&timeoutSeconds=600");
    wire::request(&mut request, "GET", &path, "", "application/json", b"");
    connection.send(&request).await?;
    Ok(connection)
}

/// What one read brought.
#[derive(Debug, Default)]
struct Found {
    events: u64,
    /// When the creation was sent that the first of them tells: it waited longest.
    sent_us: Option<u64>,
}

/// Counts lines, and reads the name in the first that ends in a piece.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of the line that has not ended.
    begun: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], found: &mut Found) {
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
        found.events += ends as u64;
        if ends == 0 {
            return self.keep(bytes);
        }
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let last = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        self.keep(&bytes[..first]);
        found.sent_us = sent(&self.begun);
        self.begun.clear();
        self.keep(&bytes[last + 1..]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = NAME_WITHIN.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }
}

fn sent(line: &[u8]) -> Option<u64> {
    let head = &line[..line.len().min(NAME_WITHIN)];
    let begin = wire::find(head, b"\"name\":\"w-")? + 10;
    std::str::from_utf8(head.get(begin..begin + 16)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_the_first_ones_time_is_read_however_they_arrive() {
        let line = |micros: u64| {
            format!(r#"{{"type":"ADDED","object":{{"metadata":{{"name":"w-{micros:016}-1-1"}}}}}}{}"#, "\n")
        };
        let text = format!("{}{}{}", line(5), line(6), line(7));
        for step in [1, 7, 50, text.len()] {
            let (mut lines, mut events, mut told) = (Lines::default(), 0, None);
            for piece in text.as_bytes().chunks(step) {
                let mut found = Found::default();
                lines.feed(piece, &mut found);
                events += found.events;
                told = told.or(found.sent_us);
            }
            assert_eq!((events, told), (3, Some(5)), "pieces of {step}");
        }
    }
}
