//! Who may do what: the same on every member, as the log has it.

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::request_op::Request as Op;
use proto::keelson::raft::v1::command::Request;

use super::ranges::span;
use super::{Auth, Granted, ROOT, Who};
use crate::lease::Lessor;
use crate::refused::Refused;

/// What a caller wants to do with keys.
#[derive(Clone, Copy)]
enum Want {
    Read,
    Write,
}

impl Auth {
    /// Whether the caller may have the command applied.
    pub fn check(&self, lessor: &Lessor, who: Who<'_>, request: &Request) -> Result<(), Refused> {
        if self.is_free(who) {
            return Ok(());
        }
        match request {
            Request::Put(req) => self.put(lessor, who, req),
            Request::DeleteRange(req) => self.delete_range(who, req),
            Request::Txn(req) => self.txn(lessor, who, req),
            Request::LeaseGrant(_) => self.check_known(who),
            Request::LeaseRevoke(req) => self.check_known(who).and_then(|()| self.check_lease(lessor, who, req.id)),
            Request::Compact(_) | Request::Auth(_) => self.check_admin(who),
            Request::Alarm(req) if req.action() != AlarmAction::Get => self.check_admin(who),
            // Members themselves, or whoever gave a password.
            _ => Ok(()),
        }
    }

    /// Nothing is asked of anybody, or not of this one.
    fn is_free(&self, who: Who<'_>) -> bool {
        !self.enabled || who.is_some_and(|who| who.store)
    }

    /// Whether the caller said who it is.
    pub fn check_known(&self, who: Who<'_>) -> Result<(), Refused> {
        if self.is_free(who) || who.is_some_and(|who| !who.user.is_empty()) {
            return Ok(());
        }
        Err(Refused::UserEmpty)
    }

    /// Whether the caller has the root role.
    pub fn check_admin(&self, who: Who<'_>) -> Result<(), Refused> {
        if self.is_free(who) {
            return Ok(());
        }
        let name = who.map(|who| who.user.as_str()).filter(|name| !name.is_empty()).ok_or(Refused::UserEmpty)?;
        if self.has_role(name, ROOT) { Ok(()) } else { Err(Refused::PermissionDenied) }
    }

    /// Whether the caller may look at a user: its own, or any as root.
    pub fn check_look_at_user(&self, who: Who<'_>, user: &str) -> Result<(), Refused> {
        let own = who.is_some_and(|who| who.user == user);
        self.check_admin(who).or_else(|refused| if own { Ok(()) } else { Err(refused) })
    }

    /// Whether the caller may look at a role: one that it has, or any as root.
    pub fn check_look_at_role(&self, who: Who<'_>, role: &str) -> Result<(), Refused> {
        let own = who.is_some_and(|who| self.has_role(&who.user, role));
        self.check_admin(who).or_else(|refused| if own { Ok(()) } else { Err(refused) })
    }

    pub fn check_range(&self, who: Who<'_>, key: &[u8], range_end: &[u8]) -> Result<(), Refused> {
        self.allow(who, key, range_end, Want::Read)
    }

    /// A transaction that writes nothing, or one that does.
    pub fn check_txn(&self, lessor: &Lessor, who: Who<'_>, req: &etcd::TxnRequest) -> Result<(), Refused> {
        if self.is_free(who) { Ok(()) } else { self.txn(lessor, who, req) }
    }

    /// A lease is its keys: whoever renews or ends it, or hangs a key on it, must be allowed to write them all.
    pub fn check_lease(&self, lessor: &Lessor, who: Who<'_>, id: i64) -> Result<(), Refused> {
        self.check_lease_keys(lessor, who, id, Want::Write)
    }

    /// Whether the caller may be told the keys of a lease.
    pub fn check_look_at_lease(&self, lessor: &Lessor, who: Who<'_>, id: i64) -> Result<(), Refused> {
        self.check_lease_keys(lessor, who, id, Want::Read)
    }

    fn check_lease_keys(&self, lessor: &Lessor, who: Who<'_>, id: i64, want: Want) -> Result<(), Refused> {
        if self.is_free(who) || self.check_admin(who).is_ok() {
            return Ok(());
        }
        let mut keys = lessor.get(id).into_iter().flat_map(|lease| &lease.keys);
        keys.try_for_each(|key| self.allow(who, key, &[], want))
    }

    fn allow(&self, who: Who<'_>, key: &[u8], range_end: &[u8], want: Want) -> Result<(), Refused> {
        if self.is_free(who) {
            return Ok(());
        }
        let who = who.filter(|who| who.auth_revision != 0).ok_or(Refused::UserEmpty)?;
        if who.auth_revision < self.revision {
            return Err(Refused::AuthOldRevision);
        }
        let granted = self.granted.get(&who.user).ok_or(Refused::PermissionDenied)?;
        if self.has_role(&who.user, ROOT) || granted.of(want).covers(&span(key, range_end)) {
            return Ok(());
        }
        Err(Refused::PermissionDenied)
    }

    fn put(&self, lessor: &Lessor, who: Who<'_>, req: &etcd::PutRequest) -> Result<(), Refused> {
        self.allow(who, &req.key, &[], Want::Write)?;
        self.check_lease(lessor, who, req.lease)?;
        if req.prev_kv {
            self.allow(who, &req.key, &[], Want::Read)?;
        }
        Ok(())
    }

    fn delete_range(&self, who: Who<'_>, req: &etcd::DeleteRangeRequest) -> Result<(), Refused> {
        self.allow(who, &req.key, &req.range_end, Want::Write)?;
        if req.prev_kv {
            self.allow(who, &req.key, &req.range_end, Want::Read)?;
        }
        Ok(())
    }

    /// Both branches and everything nested: what is not done now is done another time.
    fn txn(&self, lessor: &Lessor, who: Who<'_>, req: &etcd::TxnRequest) -> Result<(), Refused> {
        for compare in &req.compare {
            self.allow(who, &compare.key, &compare.range_end, Want::Read)?;
        }
        for op in req.success.iter().chain(&req.failure) {
            match &op.request {
                Some(Op::RequestRange(req)) => self.allow(who, &req.key, &req.range_end, Want::Read)?,
                Some(Op::RequestPut(req)) => self.put(lessor, who, req)?,
                Some(Op::RequestDeleteRange(req)) => self.delete_range(who, req)?,
                Some(Op::RequestTxn(req)) => self.txn(lessor, who, req)?,
                None => {}
            }
        }
        Ok(())
    }
}

impl Granted {
    fn of(&self, want: Want) -> &super::Ranges {
        match want {
            Want::Read => &self.read,
            Want::Write => &self.write,
        }
    }
}
