//! Coming back with nothing: what a member of several does whose log or engine was damaged (docs/decisions).
//!
//! Its files are put aside, and it begins with an empty log and the vote that it kept ([`crate::keepsake`]). It takes what
//! its leader sends, as any follower does; but it votes for nobody, and does not stand, before it has applied everything
//! that was committed when it asked: a vote of a member that has forgotten what it acknowledged could elect a leader that
//! never had it. Then the files that were put aside go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::rt::WatchReceiver;

use crate::engine::open::read_whole;
use crate::env::{Disk, Env};
use crate::keepsake::replace;
use crate::member::Member;

/// While it is there, the member votes for nobody. Its first line says how far it has come; the others say why.
const NAME: &str = "REJOIN";
const TEMPORARY: &str = "REJOIN.tmp";
const BEGUN: &str = "files are aside";
const MARKED: &str = "files are to be put aside";
/// Folders of files that were put aside.
const ASIDE: &str = "damaged-";
/// Rest between two looks whether the member has caught up.
const LOOK: Duration = Duration::from_millis(200);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether this member may not vote.
#[derive(Default)]
pub struct Rejoin {
    active: AtomicBool,
}

impl Rejoin {
    pub fn new(active: bool) -> Self {
        Self { active: AtomicBool::new(active) }
    }

    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }
}

/// Says, durably, that this member's files cannot be trusted: its next start puts them aside.
pub fn mark(disk: &dyn Disk, reason: &str) -> io::Result<()> {
    replace(disk, NAME, TEMPORARY, format!("{MARKED}\n{reason}\n").as_bytes())
}

/// Marks the files of a member of several that has met damage; whether it did.
pub fn mark_rotten(member: &Member) -> io::Result<bool> {
    let Some(what) = member.env.rot.what().filter(|_| member.is_one_of_several()) else { return Ok(false) };
    mark(&*member.env.disk, &what).map(|()| true)
}

/// At the start: puts aside what was marked; whether the member comes back with nothing.
pub fn prepare(env: &Env) -> io::Result<bool> {
    let disk = &*env.disk;
    let text = match disk.open(NAME, false) {
        Ok(file) => read_whole(&*file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // What cannot be read any more is taken for the mark: once more aside does no harm.
    if !text.starts_with(BEGUN.as_bytes()) {
        put_aside(disk)?;
        let reason = String::from_utf8_lossy(&text).into_owned();
        replace(disk, NAME, TEMPORARY, format!("{BEGUN}\n{reason}").as_bytes())?;
    }
    Ok(true)
}

fn put_aside(disk: &dyn Disk) -> io::Result<()> {
    let names = disk.list("")?;
    let taken = names.iter().filter_map(|name| name.strip_prefix(ASIDE)?.parse::<u64>().ok()).max();
    let aside = format!("{ASIDE}{}", taken.unwrap_or(0) + 1);
    disk.create_dir(&aside)?;
    let mut left = Vec::new();
    for dir in names.iter().filter(|name| *name == crate::wal::DIR || name.starts_with("engine-")) {
        for file in disk.list(dir)? {
            disk.rename(&format!("{dir}/{file}"), &format!("{aside}/{dir}.{file}"))?;
        }
        left.push(dir.as_str());
    }
    if names.iter().any(|name| name == "CURRENT") {
        disk.rename("CURRENT", &format!("{aside}/CURRENT"))?;
    }
    disk.sync_dir(&aside)?;
    for dir in left {
        disk.sync_dir(dir)?;
        // A disk that has no folders but by their files has lost it by now.
        if let Err(error) = disk.remove(dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    disk.sync_dir("")
}

/// The member votes again: first durably, then the files that were put aside go.
fn finish(disk: &dyn Disk) -> io::Result<()> {
    disk.remove(NAME)?;
    disk.sync_dir("")?;
    for name in disk.list("")?.iter().filter(|name| name.starts_with(ASIDE)) {
        disk.remove(name)?;
    }
    Ok(())
}

/// Lets the member vote once it has everything; ends then.
pub async fn run(member: Arc<Member>) {
    while member.rejoin.is_active() {
        tokio::time::sleep(LOOK).await;
        if !has_caught_up(&member).await {
            continue;
        }
        if let Err(error) = finish(&*member.env.disk) {
            tracing::warn!(%error, "the member has everything again, and cannot say so on its disk; trying again");
            continue;
        }
        member.rejoin.active.store(false, Ordering::SeqCst);
        member.raft.runtime_config().elect(true);
        tracing::info!("the member has everything again that its cluster acknowledged: it votes");
    }
}

/// Whether everything is here that was committed when this was asked, of one leader that leads all the while.
async fn has_caught_up(member: &Member) -> bool {
    let followed = || {
        let metrics = member.raft.metrics();
        let metrics = metrics.borrow_watched();
        Some((metrics.current_term, metrics.current_leader.filter(|leader| *leader != member.owner.member_id)?))
    };
    let Some((term, leader)) = followed() else { return false };
    let asked = tokio::time::timeout(ASK_TIMEOUT, member.transport.read_index(leader)).await;
    let Ok(Ok(Some(index))) = asked else { return false };
    let applied = tokio::time::timeout(ASK_TIMEOUT, member.shared.wait_applied(index)).await;
    applied == Ok(true) && followed() == Some((term, leader))
}
