//! The whole of etcdctl, 3.4 and 3.5.1, on the store: every command that its help lists prints what it prints on an etcd of its own
//! release (`testdata/etcdctl.txt`).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::beside::trio;
use test_store::etcdctl::play::{Own, Player};
use test_store::etcdctl::script::{self, Step};
use test_store::real::{Real, Release};
use test_store::{Member, Spec, connect, introduced, put};
use tonic::transport::Channel;

const SCRIPT: &str = include_str!("../testdata/etcdctl.txt");
const FLAGS: &[&str] = &["--bcrypt-cost=4"];

/// Commands that no script runs.
const ELSEWHERE: &[(&str, &str)] = &[
    ("check perf", "check_perf_and_datascale_pass"),
    ("check datascale", "check_perf_and_datascale_pass"),
    ("make-mirror", "a_mirror_is_made"),
];
const NOT_RUN: &[(&str, &str)] = &[
    ("help", "asks no server"),
    ("version", "asks no server"),
    ("completion bash", "asks no server"),
    ("completion fish", "asks no server"),
    ("completion powershell", "asks no server"),
    ("completion zsh", "asks no server"),
    ("migrate", "reads the folder of a v2 store, asks no server"),
];

fn kept() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

async fn player(release: &Release, port: u16, folder: &Path) -> Result<Player> {
    let (cluster, member) = introduced(port).await?;
    let own = Own {
        endpoint: &format!("127.0.0.1:{port}"),
        peer_url: member.peer_urls.first().context("a peer URL")?,
        member: member.id,
        cluster,
        folder,
    };
    std::fs::create_dir_all(folder)?;
    Player::new(release, &own)
}

/// Runs the script on both; gives the commands that it ran.
async fn compare(release: Release, name: &str) -> Result<Vec<Vec<String>>> {
    let folder = tempfile::tempdir()?;
    let mut spec = Spec::new(folder.path(), "default")?;
    spec.args.extend(FLAGS.iter().map(|flag| (*flag).to_owned()));
    let member = Member::start(&spec)?;
    let etcd = release.start_with(&folder.path().join("etcd"), FLAGS).await?;
    member.ready().await?;
    let mut ours = player(&release, spec.client, &folder.path().join("ours")).await?;
    let mut theirs = player(&release, etcd.client, &folder.path().join("theirs")).await?;
    let (mut ran, mut different) = (Vec::new(), Vec::new());
    for step in script::read(SCRIPT, name)? {
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(|| ours.step(&step));
            (one.join(), theirs.step(&step))
        });
        // What a step cannot do it cannot do on either.
        let shown = |said: Result<String>| said.unwrap_or_else(|error| format!("{error:#}"));
        let one = shown(one.map_err(|_| anyhow::anyhow!("a panic"))?);
        let other = shown(other);
        if one != other {
            different.push(format!("etcdctl {name}: {step:?}\nours:\n{one}\netcd's:\n{other}"));
        }
        if let Step::Run(command) | Step::Start(_, command) = step {
            ran.push(command.words);
        }
    }
    ensure!(different.is_empty(), "{}", different.join("\n"));
    Ok(ran)
}

/// Every command that etcdctl lists was run, or there is a reason.
fn check_covered(release: &Release, ran: &[Vec<String>]) -> Result<()> {
    let help = release.etcdctl().arg("--help").output().context("etcdctl --help")?;
    let listed = script::listed(&String::from_utf8_lossy(&help.stdout))?;
    ensure!(listed.len() > 40, "etcdctl lists {listed:?}");
    let covered: BTreeSet<&String> = ran.iter().filter_map(|words| script::name_of(words, &listed)).collect();
    let excused = |name: &str| ELSEWHERE.iter().chain(NOT_RUN).any(|(excused, _)| *excused == name);
    let missing: Vec<&String> = listed.iter().filter(|name| !covered.contains(name) && !excused(name)).collect();
    ensure!(missing.is_empty(), "testdata/etcdctl.txt runs none of these: {missing:?}");
    Ok(())
}

#[tokio::test]
async fn etcdctl_3_4_prints_what_it_prints_on_etcd() -> Result<()> {
    let release = Release::debian();
    check_covered(&release, &compare(release.clone(), "3.4").await?)
}

#[tokio::test]
async fn etcdctl_3_5_prints_what_it_prints_on_etcd() -> Result<()> {
    let release = Release::distro(kept())?;
    check_covered(&release, &compare(release.clone(), "3.5").await?)
}

/// Two servers, where one is to be mirrored to the other: their endpoints, and what keeps them alive.
struct Pair {
    from: u16,
    to: u16,
    _members: Vec<Member>,
    _etcds: Vec<Real>,
}

async fn pair_of_ours(folder: &Path) -> Result<Pair> {
    let specs = [Spec::new(folder, "from")?, Spec::new(folder, "to")?];
    let members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    Ok(Pair { from: specs[0].client, to: specs[1].client, _members: members, _etcds: Vec::new() })
}

async fn pair_of_etcds(release: &Release, folder: &Path) -> Result<Pair> {
    let (from, to) = (folder.join("etcd-from"), folder.join("etcd-to"));
    let (from, to) = tokio::try_join!(release.start(&from), release.start(&to))?;
    Ok(Pair { from: from.client, to: to.client, _members: Vec::new(), _etcds: vec![from, to] })
}

/// Keys and values that the other has, in the order in which a reader at the end sees them.
async fn held(kv: &mut KvClient<Channel>) -> Result<Vec<(String, String)>> {
    let all = etcd::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kvs = kv.range(all).await?.into_inner().kvs;
    Ok(kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect())
}

async fn mirrored(release: &Release, pair: &Pair) -> Result<Vec<(String, String)>> {
    let mut from = KvClient::new(connect(pair.from).await?);
    let mut to = KvClient::new(connect(pair.to).await?);
    for (key, value) in [("a/1", "one"), ("a/2", "two"), ("b/1", "not this")] {
        from.put(put(key, value)).await?;
    }
    let mut mirror = release.etcdctl();
    mirror.args(["--endpoints", &format!("127.0.0.1:{}", pair.from), "make-mirror"]);
    mirror.args(["--prefix", "a/", "--dest-prefix", "copy/", &format!("127.0.0.1:{}", pair.to)]);
    let child = mirror.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let _child = Ended(child);
    let until = async |to: &mut KvClient<Channel>, count: usize| -> Result<()> {
        let start = Instant::now();
        while held(to).await?.len() != count {
            ensure!(start.elapsed() < Duration::from_secs(60), "the mirror has {:?}", held(to).await?);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    until(&mut to, 2).await?;
    from.put(put("a/3", "three")).await?;
    from.put(put("a/1", "uno")).await?;
    until(&mut to, 3).await?;
    let gone = etcd::DeleteRangeRequest { key: "a/2".into(), ..Default::default() };
    from.delete_range(gone).await?;
    until(&mut to, 2).await?;
    held(&mut to).await
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It runs until it is ended.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

#[tokio::test]
async fn a_mirror_is_made() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (at, release) in [Release::debian(), Release::distro(kept())?].iter().enumerate() {
        let folder = folder.path().join(at.to_string());
        std::fs::create_dir_all(&folder)?;
        let ours = mirrored(release, &pair_of_ours(&folder).await?).await?;
        let theirs = mirrored(release, &pair_of_etcds(release, &folder).await?).await?;
        ensure!(ours == theirs && ours.len() == 2, "ours: {ours:?}, etcd's: {theirs:?}");
    }
    Ok(())
}

/// `etcdctl check ...`: how it ends, and its verdicts, each with whether it passed.
async fn checked(release: &Release, port: u16, what: &'static str) -> Result<Vec<(String, bool)>> {
    let mut check = release.etcdctl();
    check.args(["--endpoints", &format!("127.0.0.1:{port}"), "check", what, "--load", "s"]);
    let output = tokio::task::spawn_blocking(move || check.stdin(Stdio::null()).output()).await??;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A bar of progress may stand before the first verdict.
    let verdict = |line: &str| {
        let (pass, fail) = (line.find("PASS: "), line.find("FAIL: "));
        let words = &line[pass.or(fail)? + 6..];
        Some((words.split_whitespace().take(2).collect::<Vec<_>>().join(" "), pass.is_some()))
    };
    let verdicts: Vec<_> = text.lines().flat_map(|line| line.split('\r')).filter_map(verdict).collect();
    ensure!(!verdicts.is_empty(), "etcdctl check {what} says: {text}");
    Ok(verdicts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_perf_and_datascale_pass() -> Result<()> {
    let folder = trio::folder()?;
    let release = Release::distro(kept())?;
    let spec = Spec::new(folder.path(), "default")?;
    let member = Member::start(&spec)?;
    let etcd = release.start(&folder.path().join("etcd")).await?;
    member.ready().await?;
    for what in ["datascale", "perf"] {
        let (ours, theirs) =
            tokio::try_join!(checked(&release, spec.client, what), checked(&release, etcd.client, what))?;
        // On a machine that is too busy for etcd, too, it is not ours that is slow.
        let passed = |theirs: &[(String, bool)]| theirs.iter().all(|verdict| verdict.1);
        ensure!(passed(&ours) || !passed(&theirs), "check {what}: ours: {ours:?}, etcd's: {theirs:?}");
        ensure!(ours.len() >= if what == "perf" { 3 } else { 1 }, "check {what}: {ours:?}");
    }
    Ok(())
}
