//! What an earlier version wrote to its disk, this one opens and serves; what a later one says, this one bears.
//!
//! `testdata/folders/README.md` tells of the folders. Three members need root (namespaces).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use test_store::disk::Tmpfs;
use test_store::dump::Session;
use test_store::folders::{self, ROOT};
use test_store::net::Net;
use test_store::{Member, Spec, connect_to, put};

const LIMIT: Duration = Duration::from_secs(60);
/// What is kept of one version at most: it stays in the repository for ever.
const KEPT_BYTES_MAX: u64 = 200_000;

/// Folders of every version that was kept.
fn kept() -> Result<Vec<PathBuf>> {
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(folders::root())? {
        let path = entry?.path();
        if path.is_dir() {
            versions.push(path);
        }
    }
    versions.sort();
    ensure!(!versions.is_empty(), "no folders are kept in {}", folders::root().display());
    Ok(versions)
}

/// As root of the store, once the member serves.
async fn session(member: &Member) -> Result<Session> {
    let start = Instant::now();
    loop {
        let error = match connect_to(&member.spec.client_url()).await {
            Ok(channel) => match Session::open(channel, Some(ROOT)).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            },
            Err(error) => error,
        };
        ensure!(start.elapsed() < LIMIT, "{} does not serve: {error}\n{}", member.spec.name, member.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Compares with the text beside the folders; `UPDATE_EXPECT=1` writes it anew.
fn expect(path: &Path, found: &str) -> Result<()> {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return Ok(std::fs::write(path, found)?);
    }
    let expected = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    for (line, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        ensure!(expected == found, "{}, line {}:\n{expected}\nbut found\n{found}", path.display(), line + 1);
    }
    ensure!(expected == found, "{}: there are {} lines", path.display(), found.lines().count());
    Ok(())
}

/// The alarm is taken back, and the store goes on at the next revision.
async fn goes_on(member: &Member) -> Result<()> {
    let session = session(member).await?;
    let refused = session.kv().put(session.ask(put("new", "x"))).await.err().context("the alarm holds")?;
    ensure!(refused.message() == "etcdserver: mvcc: database space exceeded", "{refused}");
    let disarm = etcd::AlarmRequest {
        action: etcd::alarm_request::AlarmAction::Deactivate as i32,
        member_id: 7,
        alarm: etcd::AlarmType::Nospace as i32,
    };
    let before = session.maintenance().alarm(session.ask(disarm)).await?.into_inner().header.context("a header")?;
    let after = session.kv().put(session.ask(put("new", "x"))).await?.into_inner().header.context("a header")?;
    ensure!(after.revision == before.revision + 1, "{} follows {}", after.revision, before.revision);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_every_version_is_opened_and_served() -> Result<()> {
    for version in kept()? {
        let folder = tempfile::tempdir()?;
        let spec = folders::alone(folder.path())?;
        folders::unpack(&version.join("alone.tar.gz"), &spec.data_dir())?;
        let member = Member::start(&spec)?;
        expect(&version.join("alone.txt"), &session(&member).await?.dump().await?)?;
        goes_on(&member).await?;
        // And again, on what was written now.
        let written = session(&member).await?.dump().await?;
        let member = Member::start(&member.kill()?)?;
        ensure!(session(&member).await?.dump().await? == written, "{}: after a restart", version.display());
    }
    Ok(())
}

/// Runs `work` where the members of a network are reached.
fn on_a_network(name: &str, work: impl AsyncFnOnce(Net) -> Result<()> + Send) -> Result<()> {
    let net = Net::new(name, 3)?;
    let hub = net.hub();
    testkit::namespace::inside(Some(&hub), move || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work(net))
    })
}

#[test]
fn three_folders_of_every_version_are_a_cluster_again() -> Result<()> {
    on_a_network("kept", async |net| {
        for version in kept()? {
            let folder = tempfile::tempdir()?;
            let specs = folders::three(folder.path(), &net)?;
            for spec in &specs {
                folders::unpack(&version.join(format!("{}.tar.gz", spec.name)), &spec.data_dir())?;
            }
            let members = specs.iter().map(Member::start).collect::<Result<Vec<_>>>()?;
            for member in &members {
                expect(&version.join("three.txt"), &session(member).await?.dump().await?)?;
            }
            goes_on(&members[0]).await?;
        }
        Ok(())
    })
}

#[test]
fn what_is_kept_is_small() -> Result<()> {
    for version in kept()? {
        let mut bytes = 0;
        for entry in std::fs::read_dir(&version)? {
            bytes += entry?.metadata()?.len();
        }
        ensure!(bytes < KEPT_BYTES_MAX, "{} has {bytes} bytes", version.display());
    }
    Ok(())
}

/// The folders of today's program, under the name in `FOLDERS`. Written on small file systems, where segments are small.
#[test]
#[ignore = "keeps new folders; see testdata/folders/README.md"]
fn keep_new_folders() -> Result<()> {
    let name = std::env::var("FOLDERS").context("FOLDERS is the name of what is kept, such as 0.1.0")?;
    let version = folders::root().join(name);
    std::fs::create_dir(&version).with_context(|| format!("{}: what is kept is never changed", version.display()))?;
    on_a_network("keep", async |net| {
        let folder = tempfile::tempdir()?;
        let alone = folders::alone(&folder.path().join("alone"))?;
        keep(&version, "alone", std::slice::from_ref(&alone), |_| "alone".to_owned()).await?;
        let three = folders::three(&folder.path().join("three"), &net)?;
        keep(&version, "three", &three, |spec| spec.name.clone()).await
    })
}

async fn keep(version: &Path, name: &str, specs: &[Spec], archive: impl Fn(&Spec) -> String) -> Result<()> {
    let mut disks = Vec::new();
    let mut members = Vec::new();
    for spec in specs {
        disks.push(Tmpfs::mount(&spec.data_dir(), "8m")?);
        let mut spec = spec.clone();
        spec.args = ["--snapshot-count=100", "--snapshot-catchup-entries=50"].map(str::to_owned).to_vec();
        members.push(Member::start(&spec)?);
    }
    for member in &members {
        member.ready().await?;
    }
    folders::fill(&members[0]).await?;
    let mut texts = Vec::new();
    for member in &members {
        texts.push(session(member).await?.dump().await?);
    }
    ensure!(texts.iter().all(|text| *text == texts[0]), "the members differ");
    std::fs::write(version.join(format!("{name}.txt")), &texts[0])?;
    // As a crash leaves them.
    for member in members {
        let spec = member.kill()?;
        folders::pack(&spec.data_dir(), &version.join(format!("{}.tar.gz", archive(&spec))))?;
    }
    Ok(())
}
