//! The replicated state: everything that applying the log changes, values aside. Pure.

use std::collections::{BTreeMap, BTreeSet};

use proto::etcdserverpb::AlarmType;
use proto::keelson::raft::v1::{AuthChange, MemberAttributes};

use crate::auth::Auth;
use crate::lease::Lessor;
use crate::mvcc::{Index, Version};
use crate::raft::types::{LogId, StoredMembership};
use crate::refused::Refused;

#[derive(Clone, Default)]
pub struct State {
    pub index: Index,
    pub lessor: Lessor,
    pub auth: Auth,
    pub applied: Option<LogId>,
    pub membership: StoredMembership,
    /// What members said of themselves when they started.
    pub attributes: BTreeMap<u64, MemberAttributes>,
    /// (member, alarm) that are raised.
    pub alarms: BTreeSet<(u64, i32)>,
    /// The version of a downgrade that was begun.
    pub downgrade: Option<String>,
    /// 0 where nothing was ever restored; else made of the backup, so that a restored cluster and the one that it came from
    /// do not talk to each other, though their ids are the same.
    pub epoch: u64,
}

/// One effect on the state, as the engine's frames keep it. Taking it twice, or after a later one, does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<'a> {
    /// A version, tombstones included; its `loc` says where its value lies.
    Version {
        key: &'a [u8],
        version: Version,
    },
    /// The record of a version was copied to `version.loc`.
    Moved {
        key: &'a [u8],
        version: Version,
    },
    Compacted(i64),
    Granted {
        id: i64,
        ttl: i64,
    },
    Revoked(i64),
    Membership(StoredMembership),
    Attributes(MemberAttributes),
    Alarm {
        member: u64,
        alarm: i32,
        raised: bool,
    },
    /// A downgrade was begun, or called off.
    Downgrade(Option<String>),
    /// Seconds that a lease had left; 0 is its whole time.
    LeaseLeft {
        id: i64,
        left: i64,
    },
    Auth(AuthChange),
}

impl State {
    /// Takes an effect that was read back.
    pub fn restore(&mut self, effect: Effect<'_>) {
        match effect {
            Effect::Version { key, version } => self.index.insert(key, version),
            Effect::Moved { key, version } => {
                self.index.relocate(key, version.main, version.sub, version.loc);
            }
            Effect::Compacted(revision) => self.index.restore_compacted(revision),
            Effect::Granted { id, ttl } => self.lessor.restore(id, ttl),
            Effect::Revoked(id) => self.lessor.forget(id),
            Effect::Membership(membership) => self.set_membership(membership),
            Effect::Attributes(attributes) => {
                self.attributes.insert(attributes.member_id, attributes);
            }
            Effect::LeaseLeft { id, left } => self.lessor.set_left(id, left),
            Effect::Auth(change) => self.auth.take(change),
            Effect::Alarm { member, alarm, raised } => self.set_alarm(member, alarm, raised),
            Effect::Downgrade(target) => self.downgrade = target,
        }
    }

    /// What members that are gone said of themselves goes with them.
    pub fn set_membership(&mut self, membership: StoredMembership) {
        self.attributes.retain(|id, _| membership.membership().get_node(id).is_some());
        self.membership = membership;
    }

    /// Whether nobody says that the data is corrupt.
    pub fn check_corrupt(&self) -> Result<(), Refused> {
        let corrupt = AlarmType::Corrupt as i32;
        if self.alarms.iter().any(|held| held.1 == corrupt) { Err(Refused::Corrupt) } else { Ok(()) }
    }

    pub fn set_alarm(&mut self, member: u64, alarm: i32, raised: bool) {
        if raised {
            self.alarms.insert((member, alarm));
        } else {
            self.alarms.remove(&(member, alarm));
        }
    }

    /// Hangs every key on its lease again, once everything was read back.
    pub fn attach_leases(&mut self) {
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let mut last = None;
            for (key, history) in self.index.histories_after(after.as_deref(), 1024) {
                last = Some(key.into());
                if let Some(version) = history.at(i64::MAX).filter(|version| version.lease != 0) {
                    self.lessor.attach(key, version.lease);
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => return,
            }
        }
    }
}
