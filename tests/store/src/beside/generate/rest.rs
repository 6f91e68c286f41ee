//! Leases, alarms, members, and the rest of what is maintained.

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::downgrade_request::DowngradeAction;

use super::Generator;
use crate::beside::case::{Case, Whose};

/// What a lease may be granted for that stays: none ends by itself while it is looked at.
const TTLS: &[i64] = &[1000, 1001, 5000, 100_000, 9_000_000_000, 9_000_000_001, i64::MAX];
/// For one that is revoked at once: also nonsense, and around the shortest that the servers give.
const TTLS_SHORT: &[i64] = &[0, -1, i64::MIN, 1, 7, 8, 9, 1000, 9_000_000_000, 9_000_000_001, i64::MAX];
const LEASES_MAX: usize = 12;
const NOSPACE: i32 = etcd::AlarmType::Nospace as i32;
const CORRUPT: i32 = etcd::AlarmType::Corrupt as i32;

impl Generator {
    pub(super) fn lease(&mut self) -> Case {
        match self.random.below(10) {
            0..4 if self.world.leases.len() < LEASES_MAX => {
                // Now and then one that there is.
                let id = if self.random.once_in(5) { self.lease_id() } else { self.world.fresh_lease() };
                let ttl = self.random.pick(TTLS);
                match id {
                    0 => Case::LeaseOfAnyId { ttl: self.random.pick(TTLS_SHORT) },
                    id => Case::LeaseGrant(etcd::LeaseGrantRequest { id, ttl }),
                }
            }
            4..6 => Case::LeaseKeepAlive { id: self.lease_id() },
            6 => Case::LeaseOfAnyId { ttl: self.random.pick(TTLS_SHORT) },
            _ => Case::LeaseRevoke(etcd::LeaseRevokeRequest { id: self.lease_id() }),
        }
    }

    pub(super) fn rare(&mut self) -> Case {
        match self.random.below(12) {
            0..3 => self.alarm(),
            3 => Case::Defragment,
            4 => {
                Case::MoveLeader { to: self.random.pick(&[Whose::Own, Whose::Id(0), Whose::Id(77), Whose::Learner(0)]) }
            }
            5 => self.downgrade(),
            6..8 => Case::MemberAdd { urls: self.urls() },
            // Not a learner: etcd forgets then that it is one.
            8 => {
                let member = self.random.pick(&[Whose::Own, Whose::Own, Whose::Id(0), Whose::Id(77)]);
                Case::MemberUpdate { member, urls: self.urls() }
            }
            9 => Case::MemberPromote { member: self.some_member() },
            _ => Case::MemberRemove { member: self.some_member() },
        }
    }

    /// Alarms are off again soon, and everything that they forbid is asked meanwhile.
    fn alarm(&mut self) -> Case {
        let alarm = self.random.pick(&[0, NOSPACE, NOSPACE, CORRUPT]);
        let member = self.random.pick(&[Whose::Own, Whose::Own, Whose::Id(0), Whose::Id(77)]);
        let action = match self.random.below(4) {
            0 => AlarmAction::Get,
            1 => AlarmAction::Deactivate,
            _ => AlarmAction::Activate,
        };
        if action == AlarmAction::Activate {
            self.next.push(Case::Alarm { action: AlarmAction::Deactivate, alarm, member });
            for _ in 0..6 {
                let case = match self.random.below(8) {
                    0 => Case::Status,
                    1 => Case::Alarm { action: AlarmAction::Get, alarm: 0, member: Whose::Id(0) },
                    2 => Case::Txn(self.flat_txn()),
                    3 => self.compact(),
                    4 => self.lease(),
                    5 => Case::Range(self.range(false)),
                    _ => self.write(),
                };
                self.next.push(case);
            }
        }
        Case::Alarm { action, alarm, member }
    }

    /// Nothing nested: etcd lets puts that are nested pass an alarm.
    fn flat_txn(&mut self) -> etcd::TxnRequest {
        let mut txn = self.txn();
        for ops in [&mut txn.success, &mut txn.failure] {
            ops.retain(|op| !matches!(op.request, Some(etcd::request_op::Request::RequestTxn(_))));
        }
        txn
    }

    /// Nothing that begins a downgrade: whether one may begin is a matter of the server's own version.
    fn downgrade(&mut self) -> Case {
        let (action, version) = self.random.pick(&[
            (DowngradeAction::Cancel, ""),
            (DowngradeAction::Validate, "nonsense"),
            (DowngradeAction::Validate, "1"),
            (DowngradeAction::Enable, ""),
        ]);
        Case::Downgrade(etcd::DowngradeRequest { action: action as i32, version: version.to_owned() })
    }

    fn urls(&mut self) -> Vec<String> {
        let own = |text: &str| vec![text.to_owned()];
        match self.random.below(8) {
            0 => Vec::new(),
            1 => own("not a url"),
            2 => own("ftp://127.0.0.1:1"),
            3 => own("http://127.0.0.1"),
            4 => own("http://127.9.0.1:1"),
            _ => vec![self.world.fresh_url()],
        }
    }

    fn some_learner(&mut self) -> Whose {
        match self.random.below(4) {
            0 => Whose::Id(77),
            _ if self.world.learners == 0 => Whose::Id(0),
            _ => Whose::Learner(self.random.below(self.world.learners as u64) as usize),
        }
    }

    fn some_member(&mut self) -> Whose {
        if self.random.once_in(4) { Whose::Own } else { self.some_learner() }
    }
}
