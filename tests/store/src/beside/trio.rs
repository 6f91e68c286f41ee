//! Ours and the two real etcds, started for one another.

use std::path::Path;

use anyhow::{Context, Result};

use super::excuse::Release;
use super::run::{Peer, STREAMS};
use super::server::Server;
use crate::real::{self, Real};
use crate::{Member, Spec};

/// What all of them are started with. The shortest lease is 8 s then: it does not end by itself while it is looked at.
const FLAGS: &[&str] = &["--election-timeout=5000", "--bcrypt-cost=4", "--max-txn-ops=6"];
/// --max-txn-ops.
pub const OPS_MAX: usize = 6;

/// They end when this is dropped.
pub struct Trio {
    pub ours: Server,
    pub peers: Vec<Peer>,
    _member: Member,
    _etcds: Vec<Real>,
}

impl Trio {
    /// `kept` is where PyPI's etcd stays.
    pub async fn start(folder: &Path, kept: &Path) -> Result<Self> {
        let mut spec = Spec::new(folder, "default")?;
        spec.args.extend(FLAGS.iter().map(|flag| (*flag).to_owned()));
        let member = Member::start(&spec)?;
        let distro = real::Release::distro(kept)?;
        let debian = etcd(Release::Debian, &distro, folder);
        let (debian, distro) = tokio::try_join!(debian, etcd(Release::Distro, &distro, folder))?;
        member.ready().await?;
        let streams = STREAMS + 1;
        let ours = Server::connect("ours", spec.client, streams).await?;
        let peers = vec![
            Peer { release: Release::Debian, server: Server::connect("etcd 3.4", debian.client, streams).await? },
            Peer { release: Release::Distro, server: Server::connect("etcd 3.5", distro.client, streams).await? },
        ];
        Ok(Self { ours, peers, _member: member, _etcds: vec![debian, distro] })
    }
}

/// An etcd with a fresh folder.
pub async fn etcd(release: Release, distro: &real::Release, folder: &Path) -> Result<Real> {
    match release {
        Release::Debian => real::Release::debian().start_with(&folder.join("debian"), FLAGS).await,
        Release::Distro => {
            let flags: Vec<&str> = FLAGS.iter().copied().chain(["--unsafe-no-fsync"]).collect();
            distro.start_with(&folder.join("distro"), &flags).await
        }
    }
}

/// A folder in memory where the machine has room for that: what is on disk is not looked at.
pub fn folder() -> Result<tempfile::TempDir> {
    let fast = Path::new("/dev/shm");
    let found = if fast.is_dir() { tempfile::tempdir_in(fast) } else { tempfile::tempdir() };
    found.context("a folder for the servers")
}
