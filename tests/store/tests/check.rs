//! `keelctl store check` on our store and on Debian's etcd: its lines, its exit code, and nothing left behind.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::beside::Etcd;
use test_store::{Member, connect, etcdctl, keelctl_command, keelctl_run, put, specs};
use testkit::pki::{Authority, Identity, Pki};
use testkit::terminal::{self, Terminal};

const LIMIT: Duration = Duration::from_secs(60);
const PERF: &str = "/etcdctl-check-perf/";
const DATASCALE: &str = "/etcdctl-check-datascale/";

/// Both stores, which are asked the same.
struct Both {
    ours: Member,
    etcd: Etcd,
    _folder: tempfile::TempDir,
}

impl Both {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let ours = Member::start(&specs(folder.path(), 1)?.remove(0))?;
        ours.ready().await?;
        let etcd = Etcd::start(&folder.path().join("etcd"), &[]).await?;
        Ok(Self { ours, etcd, _folder: folder })
    }

    fn ports(&self) -> [u16; 2] {
        [self.ours.spec.client, self.etcd.client]
    }
}

fn check(port: u16, args: &[&str]) -> Result<Output> {
    let endpoints = format!("--endpoints=127.0.0.1:{port}");
    keelctl_run(&[&["store", "check"], args, &[&endpoints]].concat())
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

async fn keys_below(port: u16, prefix: &str) -> Result<i64> {
    let end = format!("{}0", prefix.trim_end_matches('/'));
    let count = etcd::RangeRequest {
        key: prefix.to_owned().into(),
        range_end: end.into(),
        count_only: true,
        ..Default::default()
    };
    Ok(KvClient::new(connect(port).await?).range(count).await?.into_inner().count)
}

/// The line without its verdict and its number.
fn shape(line: &str) -> String {
    let line = line.trim_start_matches("PASS").trim_start_matches("FAIL");
    let line: String = line.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect();
    line.replace("too low:", "is").replace("too high:", "is").replace("took too long:", "took")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn perf_judges_as_etcdctl_does_and_cleans_up() -> Result<()> {
    let both = Both::start().await?;
    let expect = [": Throughput is  writes/s", ": Slowest request took s", ": Stddev is s", ""];
    for port in both.ports() {
        // A machine that is busy may fail it for a while: lines and code say the same in both cases.
        let start = Instant::now();
        loop {
            let output = check(port, &["perf", "--duration=2s"])?;
            let lines = lines(&output);
            ensure!(lines.iter().map(|line| shape(line)).eq(expect), "{lines:?}");
            ensure!(output.stderr.is_empty(), "no terminal, no bar: {}", String::from_utf8_lossy(&output.stderr));
            ensure!(keys_below(port, PERF).await? == 0, "the keys are gone");
            let failed = lines.iter().any(|line| line.starts_with("FAIL"));
            ensure!(output.status.code() == Some(i32::from(failed)), "{:?}: {lines:?}", output.status);
            ensure!(failed == (lines[3] == "FAIL"), "{lines:?}");
            if !failed {
                break;
            }
            ensure!(start.elapsed() < LIMIT, "150 writes a second are no load: {lines:?}");
        }
        let output = check(port, &["perf", "--duration=1s", "--load=xl", "--prefix=/own/"])?;
        let lines = lines(&output);
        ensure!(lines[0].starts_with("FAIL: Throughput too low: "), "two cores write no 15000 a second: {lines:?}");
        ensure!(lines[3] == "FAIL" && output.status.code() == Some(1), "{:?}: {lines:?}", output.status);
        ensure!(keys_below(port, "/own/").await? == 0, "the keys are gone");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_were_there_before_are_left_alone() -> Result<()> {
    let both = Both::start().await?;
    for port in both.ports() {
        for (command, prefix) in [("perf", PERF), ("datascale", DATASCALE)] {
            KvClient::new(connect(port).await?).put(put(&format!("{prefix}mine"), "x")).await?;
            let output = check(port, &[command])?;
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.code() == Some(3) && output.stdout.is_empty(), "{output:?}");
            ensure!(error.contains(prefix) && error.contains("--prefix"), "{error}");
            ensure!(keys_below(port, prefix).await? == 1, "it was not touched");
        }
        let output = check(port, &["perf", "--prefix="])?;
        ensure!(output.status.code() == Some(3), "an empty prefix is everything: {output:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datascale_tells_the_memory_and_gives_the_space_back() -> Result<()> {
    let both = Both::start().await?;
    for port in both.ports() {
        let output = check(port, &["datascale", "--auto-compact", "--auto-defrag"])?;
        let lines = lines(&output);
        ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let begin = "Start data scale check for work load [10000 key-value pairs, 1024 bytes per key-value, 50 concurrent clients].";
        ensure!(lines[0] == begin, "{lines:?}");
        let used = lines.last().and_then(|line| {
            line.strip_prefix("PASS: Approximate system memory used : ")?.strip_suffix(" MB.")?.parse::<f64>().ok()
        });
        let used = used.with_context(|| format!("{lines:?}"))?;
        ensure!((0.0..500.0).contains(&used), "10 MB of data took {used} MB");
        ensure!(keys_below(port, DATASCALE).await? == 0, "the keys are gone");
        let revision = lines.iter().find_map(|line| line.strip_prefix("Compacting with revision "));
        let revision: i64 = revision.with_context(|| format!("{lines:?}"))?.parse()?;
        ensure!(revision > 10_000, "10000 puts and a deletion came before: {revision}");
        let refused = etcdctl(&format!("127.0.0.1:{port}"), &["get", "x", "--rev=2"]).expect_err("compacted");
        ensure!(refused.to_string().contains("has been compacted"), "{refused}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_it_and_leaves_nothing() -> Result<()> {
    let both = Both::start().await?;
    for port in both.ports() {
        let endpoints = format!("--endpoints=127.0.0.1:{port}");
        let command = keelctl_command(&["store", "check", "perf", "--duration=5m", &endpoints])?;
        let (ours, theirs) = terminal::open(100, 30)?;
        let mut child = terminal::on(theirs, &command)?.spawn()?;
        let mut screen = Terminal::new(ours)?;
        // On a terminal it shows how far it is.
        screen.await_text("2s / 300s [", LIMIT)?;
        screen.press("\x03")?;
        screen.await_text("interrupted", LIMIT)?;
        ensure!(child.wait()?.code() == Some(130));
        ensure!(keys_below(port, PERF).await? == 0, "the keys are gone");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_through_tls_and_as_a_user() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(folder.path().join("pki"));
    pki.ensure(&[Identity {
        file: "server".to_owned(),
        common_name: "server".to_owned(),
        organization: None,
        names: vec!["127.0.0.1".to_owned()],
        authority: Authority::Store,
    }])?;
    let mut spec = specs(folder.path(), 1)?.remove(0);
    let file = |path: std::path::PathBuf| path.display().to_string();
    spec.scheme = "https";
    spec.cluster = spec.cluster.replace("http:", "https:");
    for prefix in ["", "peer-"] {
        spec.args.extend([
            format!("--{prefix}cert-file={}", file(pki.certificate("server"))),
            format!("--{prefix}key-file={}", file(pki.key("server"))),
        ]);
    }
    spec.args.push(format!("--peer-trusted-ca-file={}", file(pki.authority(Authority::Store))));
    let member = Member::start(&spec)?;
    let (ca, endpoint) = (file(pki.authority(Authority::Store)), format!("https://127.0.0.1:{}", spec.client));
    let of_store = ["--cacert", &ca, "--endpoints", &endpoint];
    let start = Instant::now();
    while !keelctl_run(&[&["store", "status"][..], &of_store].concat())?.status.success() {
        ensure!(start.elapsed() < LIMIT, "{}", member.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for args in [&["user", "add", "root:pw"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]] {
        etcdctl(&endpoint, &[&["--cacert", &ca], args].concat())?;
    }
    let datascale = ["store", "check", "datascale"];
    let refused = keelctl_run(&[&datascale[..], &of_store].concat())?;
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && error.contains("user name is empty"), "{error}");
    let output = keelctl_run(&[&datascale[..], &of_store, &["--user", "root:pw"]].concat())?;
    let lines = lines(&output);
    ensure!(output.status.success() && lines.last().is_some_and(|line| line.starts_with("PASS: ")), "{output:?}");
    Ok(())
}
