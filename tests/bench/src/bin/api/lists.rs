//! Lists of many pods, and what so many cost: memory, and the time of a start.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use test_bench::process;

use crate::Options;
use crate::bodies::{self, NAMESPACE};
use crate::connection::Connection;
use crate::load;
use crate::report::Report;
use crate::servers::Cluster;
use crate::wire;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Objects of a page.
const PAGE: usize = 500;
/// How often each list is read.
const READS: usize = 3;
/// Memory is looked at when a started apiserver has come to rest.
const REST: Duration = Duration::from_secs(2);

/// The ways to list: name, form, query, whether by pages.
const WAYS: [(&str, &str, &str, bool); 6] = [
    ("json", JSON, "", false),
    ("json-any", JSON, "resourceVersion=0", false),
    ("json-paged", JSON, "", true),
    ("protobuf", PROTOBUF, "", false),
    ("protobuf-any", PROTOBUF, "resourceVersion=0", false),
    ("protobuf-paged", PROTOBUF, "", true),
];

/// Fills the cluster step by step, and lists at each.
pub async fn run(options: &Options, cluster: &mut Cluster, report: &Report) -> Result<()> {
    report.figure("rss-idle", "MiB", mib(process::rss(cluster.pid())?));
    let mut there = 0;
    for pods in &options.pods {
        load::fill(cluster, options.clients, there..*pods, |out, number| {
            let body = bodies::pod(&format!("web-7d4b9c6f5d-{number:06}"));
            wire::request(out, "POST", &bodies::path(NAMESPACE, "pods"), JSON, JSON, body.as_bytes());
        })
        .await?;
        there = there.max(*pods);
        report.figure(&format!("rss-{pods}-filled"), "MiB", mib(process::rss(cluster.pid())?));
        for (way, accept, query, paged) in WAYS {
            let name = format!("list-{pods}-{way}");
            if options.wants(&name) {
                list(cluster, report, &name, accept, query, paged).await.with_context(|| name.clone())?;
            }
        }
        let ready = cluster.restart().await?;
        report.figure(&format!("ready-{pods}"), "ms", ready.as_secs_f64() * 1000.0);
        tokio::time::sleep(REST).await;
        report.figure(&format!("rss-{pods}-restarted"), "MiB", mib(process::rss(cluster.pid())?));
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn list(cluster: &Cluster, report: &Report, name: &str, accept: &str, query: &str, paged: bool) -> Result<()> {
    let mut connection = Connection::open(&cluster.target).await?;
    let (mut firsts, mut lasts, mut bytes) = (Vec::new(), Vec::new(), 0);
    let idle = process::rss(cluster.pid())?;
    process::forget_peak(cluster.pid())?;
    let before = cluster.cpu()?;
    for _ in 0..READS {
        let start = Instant::now();
        let (first, len) = if paged {
            pages(&mut connection, accept).await?
        } else {
            let path = format!("{}?{query}", bodies::path(NAMESPACE, "pods"));
            let mut request = Vec::new();
            wire::request(&mut request, "GET", &path, "", accept, b"");
            let answer = connection.drain(&request, |_| ()).await?;
            ensure!(answer.status == 200, "{path}: {}", answer.status);
            (answer.first, answer.len)
        };
        firsts.push(first.duration_since(start));
        lasts.push(start.elapsed());
        bytes = len;
    }
    let cpu = cluster.cpu()?.since(before);
    let middle = |spans: &mut Vec<Duration>| {
        spans.sort_unstable();
        spans[spans.len() / 2].as_secs_f64() * 1000.0
    };
    report.figure(&format!("{name}-first"), "ms", middle(&mut firsts));
    report.figure(&format!("{name}-last"), "ms", middle(&mut lasts));
    report.figure(&format!("{name}-cpu"), "ms", cpu.apiserver as f64 / 1000.0 / READS as f64);
    report.figure(&format!("{name}-generator-cpu"), "ms", cpu.generator as f64 / 1000.0 / READS as f64);
    report.figure(&format!("{name}-size"), "MB", bytes as f64 / 1e6);
    let above = process::peak(cluster.pid())?.saturating_sub(idle);
    report.figure(&format!("{name}-memory"), "MiB", mib(above));
    Ok(())
}

/// Reads all pages; gives when the first byte was there, and how many there were.
async fn pages(connection: &mut Connection, accept: &str) -> Result<(Instant, u64)> {
    let (mut token, mut first, mut len) = (String::new(), None, 0);
    loop {
        let path = format!("{}?limit={PAGE}&continue={token}", bodies::path(NAMESPACE, "pods"));
        let mut request = Vec::new();
        wire::request(&mut request, "GET", &path, "", accept, b"");
        let answer = connection.call(&request).await?;
        ensure!(answer.status == 200, "{path}: {}: {}", answer.status, connection.told());
        len += answer.len;
        let first = *first.get_or_insert(answer.first);
        match continuation(&connection.body) {
            Some(next) => token = next,
            None => return Ok((first, len)),
        }
    }
}

/// The token of the next page: the longest run of its alphabet after the place where each form tells it.
fn continuation(body: &[u8]) -> Option<String> {
    let head = &body[..body.len().min(600)];
    // Tokens are JSON in base64, and begin with `{"v` thus in both forms.
    let begin = wire::find(head, b"eyJ2")?;
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let token: Vec<u8> = head[begin..].iter().take_while(is_token).copied().collect();
    String::from_utf8(token).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_pages_token_is_found_in_both_forms() {
        let json = br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"eyJ2Ijoi_x-","remainingItemCount":5},"items":[]}"#;
        assert_eq!(continuation(json).as_deref(), Some("eyJ2Ijoi_x-"));
        assert_eq!(continuation(b"k8s\0\x0a\x1a\x0beyJ2Ijoi_x-\x20\x05").as_deref(), Some("eyJ2Ijoi_x-"));
        assert_eq!(continuation(br#"{"metadata":{}}"#), None);
    }
}
