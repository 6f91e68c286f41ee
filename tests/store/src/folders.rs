//! Data folders that were kept: how they are packed, filled and opened again. `tests/store/testdata/folders/README.md` tells
//! what they are for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;

use crate::dump::Session;
use crate::net::{Net, address};
use crate::{Member, Spec, cluster, connect_to, etcdctl, put, put_both, specs};

/// The user that may do everything in clusters where users are on.
pub const ROOT: (&str, &str) = ("root", "secret");
const LEASE: i64 = 0x1111;
const LEASE_TTL: i64 = 1_000_000;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/folders")
}

/// Packs a folder with all that is in it.
pub fn pack(folder: &Path, archive: &Path) -> Result<()> {
    tar(Command::new("tar").arg("--create").arg("--directory").arg(folder).arg("."), archive)
}

pub fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    tar(Command::new("tar").arg("--extract").arg("--directory").arg(folder), archive)
}

fn tar(command: &mut Command, archive: &Path) -> Result<()> {
    let done = command.args(["--gzip", "--sparse", "--numeric-owner", "--file"]).arg(archive).status();
    let done = done.context("tar does not start; apt-get install tar gzip")?;
    ensure!(done.success(), "{command:?} failed");
    Ok(())
}

/// A member alone, with a folder below `folder`.
pub fn alone(folder: &Path) -> Result<Spec> {
    Ok(specs(folder, 1)?.remove(0))
}

/// Three members on a network of their own, where their addresses are always the same.
pub fn three(folder: &Path, net: &Net) -> Result<Vec<Spec>> {
    let mut specs = specs(folder, 3)?;
    for (at, spec) in specs.iter_mut().enumerate() {
        spec.host = address(at);
        spec.network = Some(net.space(at));
        (spec.client, spec.peer, spec.advertised_peer) = (2379, 2380, 2380);
    }
    let cluster = cluster(&specs);
    specs.iter_mut().for_each(|spec| spec.cluster = cluster.clone());
    Ok(specs)
}

/// One of everything that a store keeps: versions of keys, deletions, bytes of any kind, leases with and without keys, a
/// compaction, an alarm, a membership that changed, users and roles. Enough of it that the log is cut and the engine has
/// segments, a checkpoint and frames behind it, where segments are small.
pub async fn fill(member: &Member) -> Result<()> {
    let channel = connect_to(&member.spec.client_url()).await?;
    let mut kv = KvClient::new(channel.clone());
    let endpoint = member.endpoint();
    etcdctl(&endpoint, &["lease", "grant", &LEASE_TTL.to_string()])?;
    let grant = etcd::LeaseGrantRequest { id: LEASE, ttl: LEASE_TTL };
    LeaseClient::new(channel).lease_grant(grant).await?;
    for round in 0..30 {
        for key in 0..6 {
            let value = format!("{round} ").repeat(800);
            kv.put(put(&format!("churn/{key}"), &value)).await?;
        }
        kv.txn(put_both("both/a", "both/b", &round.to_string())).await?;
    }
    for key in 0..10 {
        kv.put(etcd::PutRequest { lease: LEASE, ..put(&format!("leased/{key}"), "x") }).await?;
    }
    let bytes: Vec<u8> = (0..=255).collect();
    kv.put(etcd::PutRequest { key: bytes.clone().into(), value: bytes.into(), ..Default::default() }).await?;
    kv.put(put("empty", "")).await?;
    kv.delete_range(etcd::DeleteRangeRequest { key: "churn/5".into(), ..Default::default() }).await?;
    etcdctl(&endpoint, &["compact", "100"])?;
    etcdctl(&endpoint, &["member", "add", "guest", "--learner", "--peer-urls=http://10.79.0.99:2380"])?;
    let guests = etcdctl(&endpoint, &["member", "list"])?;
    let guest = guests.lines().find(|line| line.contains("unstarted")).and_then(|line| line.split(',').next());
    etcdctl(&endpoint, &["member", "remove", guest.context("the learner that was added")?])?;
    for round in 0..30 {
        kv.put(put(&format!("late/{round}"), &round.to_string())).await?;
    }
    users(&endpoint)?;
    let alarm = etcd::AlarmRequest {
        action: etcd::alarm_request::AlarmAction::Activate as i32,
        member_id: 7,
        alarm: etcd::AlarmType::Nospace as i32,
    };
    let session = Session::open(connect_to(&member.spec.client_url()).await?, Some(ROOT)).await?;
    session.maintenance().alarm(session.ask(alarm)).await?;
    Ok(())
}

fn users(endpoint: &str) -> Result<()> {
    for args in [
        &["role", "add", "reader"][..],
        &["role", "grant-permission", "reader", "read", "churn/", "churn0"],
        &["user", "add", "ann:pw"],
        &["user", "grant-role", "ann", "reader"],
        &["user", "add", "root:secret"],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        etcdctl(endpoint, args)?;
    }
    Ok(())
}
