//! What a member must not forget though its log be damaged: whose it is, its vote, and how many vote with it.
//!
//! A second copy beside the log's own: a vote is promised to others only when both are synced, so it takes damage in both to
//! forget it. Written as a whole beside the old one and renamed into its place.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message;
use proto::keelson::raft::v1 as pb;

use crate::engine::checkpoint::{take_block, write_block};
use crate::engine::open::read_whole;
use crate::env::{Disk, Env};
use crate::raft::codec;
use crate::raft::types::Vote;
use crate::wal::Owner;

const NAME: &str = "MEMBER";
const TEMPORARY: &str = "MEMBER.tmp";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    vote: Option<Vote>,
    voters: u64,
}

/// The file, and what it holds.
pub struct Keepsake {
    disk: Arc<dyn Disk>,
    owner: Owner,
    /// And whether the file says so.
    held: Mutex<(Held, bool)>,
}

fn read(disk: &dyn Disk) -> io::Result<Option<(Owner, Held)>> {
    let file = match disk.open(NAME, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(decode(&read_whole(&*file)?))
}

fn decode(mut bytes: &[u8]) -> Option<(Owner, Held)> {
    let head = pb::WalHead::decode(take_block(&mut bytes)?).ok()?;
    let voters = u64::from_le_bytes(take_block(&mut bytes)?.try_into().ok()?);
    let vote = match head.vote {
        Some(vote) => Some(codec::vote_back(Some(vote)).ok()?),
        None => None,
    };
    Some((Owner { cluster_id: head.cluster_id, member_id: head.member_id }, Held { vote, voters }))
}

/// Whose folder it is; none where nothing was kept, or it is damaged.
pub fn owner(env: &Env) -> io::Result<Option<Owner>> {
    Ok(read(&*env.disk)?.map(|(owner, _)| owner))
}

impl Keepsake {
    /// Reads what was kept for `owner`.
    pub fn open(env: &Env, owner: Owner) -> io::Result<Self> {
        let found = read(&*env.disk)?.filter(|(of, _)| *of == owner);
        let held = Mutex::new(found.map_or((Held::default(), false), |(_, held)| (held, true)));
        Ok(Self { disk: env.disk.clone(), owner, held })
    }

    /// Whether there is a whole one on the disk.
    pub fn is_whole(&self) -> bool {
        self.held.lock().1
    }

    pub fn vote(&self) -> Option<Vote> {
        self.held.lock().0.vote
    }

    /// How many voters the cluster had when it was last written.
    pub fn voters(&self) -> u64 {
        self.held.lock().0.voters
    }

    /// Returns when the vote is on the disk.
    pub fn save_vote(&self, vote: Option<Vote>) -> io::Result<()> {
        self.save(|held| Held { vote, ..held })
    }

    /// Takes the file away where it cannot be written: an old vote in it would be worse than none. The next vote, or start,
    /// writes it anew; if the log is damaged before, the member cannot come back by itself.
    pub fn forget(&self, vote: Option<Vote>) -> io::Result<()> {
        let mut held = self.held.lock();
        for name in [TEMPORARY, NAME] {
            match self.disk.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.disk.sync_dir("")?;
        *held = (Held { vote, ..held.0 }, false);
        tracing::warn!(
            "MEMBER, the second copy of this member's vote, is gone until there is room on the disk of --data-dir"
        );
        Ok(())
    }

    pub fn save_voters(&self, voters: u64) -> io::Result<()> {
        self.save(|held| Held { voters, ..held })
    }

    pub fn save_both(&self, vote: Option<Vote>, voters: u64) -> io::Result<()> {
        self.save(|_| Held { vote, voters })
    }

    fn save(&self, change: impl FnOnce(Held) -> Held) -> io::Result<()> {
        let mut held = self.held.lock();
        let next = change(held.0);
        if *held == (next, true) {
            return Ok(());
        }
        let head = pb::WalHead {
            cluster_id: self.owner.cluster_id,
            member_id: self.owner.member_id,
            vote: next.vote.as_ref().map(codec::vote),
            purged: None,
        };
        let mut bytes = Vec::new();
        write_block(&mut bytes, &head.encode_to_vec());
        write_block(&mut bytes, &next.voters.to_le_bytes());
        replace(&*self.disk, NAME, TEMPORARY, &bytes)?;
        *held = (next, true);
        Ok(())
    }
}

/// Writes a file as a whole, durably: after a crash there is the old one or the new one.
pub fn replace(disk: &dyn Disk, name: &str, temporary: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(temporary, true)?;
    file.set_size(0)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(temporary, name)?;
    disk.sync_dir("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::sim::{SimDisk, SimRandom};
    use crate::env::{Env, Sizes};

    const OWNER: Owner = Owner { cluster_id: 7, member_id: 1 };

    fn env(disk: &SimDisk) -> Env {
        Env::sim(disk, SimRandom::new(1), Sizes::default())
    }

    #[test]
    fn what_was_kept_is_there_again_and_damage_is_seen() {
        let disk = SimDisk::default();
        let kept = Keepsake::open(&env(&disk), OWNER).expect("none yet");
        assert!(!kept.is_whole());
        kept.save_vote(Some(Vote::new(5, 2))).expect("a write");
        kept.save_voters(3).expect("a write");
        let again = Keepsake::open(&env(&disk), OWNER).expect("one");
        assert!(again.is_whole());
        assert_eq!((again.vote(), again.voters()), (Some(Vote::new(5, 2)), 3));
        assert_eq!(owner(&env(&disk)).expect("read"), Some(OWNER));
        for offset in 0..disk.contents()[NAME].len() {
            disk.flip(NAME, offset);
            assert!(!Keepsake::open(&env(&disk), OWNER).expect("read").is_whole(), "byte {offset}");
            disk.flip(NAME, offset);
        }
    }

    #[test]
    fn what_cannot_be_written_is_gone_rather_than_old() {
        let disk = SimDisk::default();
        let kept = Keepsake::open(&env(&disk), OWNER).expect("none yet");
        kept.save_both(Some(Vote::new(5, 2)), 3).expect("a write");
        kept.forget(Some(Vote::new(6, 2))).expect("removed");
        assert!(!Keepsake::open(&env(&disk), OWNER).expect("read").is_whole());
        kept.save_voters(3).expect("a write");
        let again = Keepsake::open(&env(&disk), OWNER).expect("one");
        assert!(again.is_whole());
        assert_eq!((again.vote(), again.voters()), (Some(Vote::new(6, 2)), 3));
    }
}
