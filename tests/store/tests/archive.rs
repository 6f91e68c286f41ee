//! A member that archives is restored to any revision and any time since a backup, whatever killed it meanwhile.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::{Member, Spec, binary, connect, etcdctl, get, put, specs};

fn restore(args: &[&str]) -> Result<String> {
    let output = Command::new(binary()?).args(["snapshot", "restore"]).args(args).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "restore {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// Puts `range` as values of `counter`; gives the revision of the last.
async fn count(port: u16, range: std::ops::Range<u32>) -> Result<i64> {
    let mut kv = KvClient::new(connect(port).await?);
    let mut revision = 0;
    for number in range {
        revision = kv.put(put("counter", &number.to_string())).await?.into_inner().header.context("a header")?.revision;
    }
    Ok(revision)
}

/// What `counter` is in a restored folder, and the store's revision.
async fn counter(folder: &Path, data: &Path) -> Result<(u64, i64)> {
    let spec = Spec { data: Some(data.to_owned()), ..specs(folder, 1)?.remove(0) };
    let member = Member::start(&spec)?;
    member.ready().await?;
    let mut kv = KvClient::new(connect(spec.client).await?);
    let revision = kv.range(get("none")).await?.into_inner().header.context("a header")?.revision;
    Ok((test_store::number(&mut kv, "counter").await?, revision))
}

/// Returns when the archive holds `revision`.
async fn archived(folder: &Path, archive: &Path, revision: i64) -> Result<()> {
    for attempt in 0..100 {
        let data = folder.join(format!("probe-{attempt}"));
        let wanted = revision.to_string();
        if restore(&["--archive-dir", text(archive), "--to-revision", &wanted, "--data-dir", text(&data)]).is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("revision {revision} is not archived")
}

#[tokio::test]
async fn any_revision_since_a_backup_comes_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (archive, backup) = (folder.path().join("archive"), folder.path().join("backup.db"));
    let mut spec = specs(folder.path(), 1)?.remove(0);
    // The log is cut every 50 entries: what is archived must not depend on what the log still holds.
    spec.args = vec![format!("--archive-dir={}", archive.display()), "--snapshot-count=50".to_owned()];
    let mut member = Member::start(&spec)?;
    member.ready().await?;
    let first = count(spec.client, 0..150).await?;
    etcdctl(&member.endpoint(), &["snapshot", "save", text(&backup)])?;
    let mut last = first;
    // kill -9 in the middle of archiving, and on it goes.
    for round in 1..=6 {
        last = count(spec.client, round * 1000..round * 1000 + 137).await?;
        member = Member::start(&member.kill()?)?;
        member.ready().await?;
    }
    archived(folder.path(), &archive, last).await?;
    for (name, base, wanted, expect) in [
        ("backup, end", true, None, 6136),
        ("backup, middle", true, Some(first + 2 * 137 + 10), 3009),
        ("backup, nothing", true, Some(first), 149),
        ("no backup, end", false, None, 6136),
        ("no backup, early", false, Some(40), 38),
    ] {
        let data = folder.path().join(name.replace([' ', ','], "-"));
        let wanted_text = wanted.unwrap_or_default().to_string();
        let mut args = vec!["--archive-dir", text(&archive), "--data-dir", text(&data)];
        if base {
            args.push(text(&backup));
        }
        if wanted.is_some() {
            args.extend(["--to-revision", &wanted_text]);
        }
        restore(&args)?;
        let found = counter(&folder.path().join(format!("run-{name}")), &data).await?;
        assert_eq!(found, (expect, wanted.unwrap_or(last)), "{name}");
    }
    // A revision before the backup needs an older one, and one that never was is said not to be there.
    let data = folder.path().join("never");
    for (revision, reason) in [(5, "take an older backup"), (last + 1, "was never archived")] {
        let wanted = revision.to_string();
        let args =
            ["--archive-dir", text(&archive), "--to-revision", &wanted, "--data-dir", text(&data), text(&backup)];
        let error = restore(&args).expect_err("not there").to_string();
        assert!(error.contains(reason), "{error}");
        assert!(!data.exists(), "nothing is left behind");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_there_at_a_time_comes_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("archive");
    let mut spec = specs(folder.path(), 1)?.remove(0);
    spec.args = vec![format!("--archive-dir={}", archive.display())];
    let member = Member::start(&spec)?;
    member.ready().await?;
    let before = count(spec.client, 0..20).await?;
    archived(folder.path(), &archive, before).await?;
    let date = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output()?;
    let time = String::from_utf8(date.stdout)?.trim().to_owned();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let all = etcd::DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    KvClient::new(connect(spec.client).await?).delete_range(all).await?;
    archived(folder.path(), &archive, before + 1).await?;
    let data = folder.path().join("restored");
    restore(&["--archive-dir", text(&archive), "--to-time", &time, "--data-dir", text(&data)])?;
    assert_eq!(counter(&folder.path().join("run"), &data).await?, (19, before));
    Ok(())
}
