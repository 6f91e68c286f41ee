//! What a server says, without what differs between any two clusters: ids, addresses, sizes, times.

use proto::etcdserverpb as etcd;
use tonic::{Code, Response, Status};

/// Who a server is, and which learners it knows.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub member: u64,
    pub peer_url: String,
    pub client_url: String,
    /// The last one added first.
    pub learners: Vec<u64>,
}

/// Stands for the member that was asked.
pub const OWN: u64 = 1;
/// Stands for the learner that was added last; further ones follow.
const LEARNER: u64 = 100;
/// Stands for an id that the server chose.
const CHOSEN: i64 = -7;
/// How many seconds of a lease may have passed meanwhile.
const LEASE_SLACK: i64 = 600;

macro_rules! answers {
    ($($name:ident($kind:ty),)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub enum Answer {
            $($name($kind),)*
            Refused { code: Code, text: String },
            Several(Vec<Answer>),
            /// Nothing came, and nothing was to come.
            Silence,
        }

        $(impl From<$kind> for Answer {
            fn from(mut rsp: $kind) -> Self {
                if let Some(header) = &mut rsp.header {
                    *header = etcd::ResponseHeader { revision: header.revision, ..Default::default() };
                }
                Answer::$name(rsp)
            }
        })*
    };
}

answers! {
    Range(etcd::RangeResponse),
    Put(etcd::PutResponse),
    DeleteRange(etcd::DeleteRangeResponse),
    Txn(etcd::TxnResponse),
    Compact(etcd::CompactionResponse),
    LeaseGrant(etcd::LeaseGrantResponse),
    LeaseRevoke(etcd::LeaseRevokeResponse),
    LeaseTimeToLive(etcd::LeaseTimeToLiveResponse),
    LeaseLeases(etcd::LeaseLeasesResponse),
    LeaseKeepAlive(etcd::LeaseKeepAliveResponse),
    Alarm(etcd::AlarmResponse),
    Status(etcd::StatusResponse),
    HashKv(etcd::HashKvResponse),
    Defragment(etcd::DefragmentResponse),
    MoveLeader(etcd::MoveLeaderResponse),
    Downgrade(etcd::DowngradeResponse),
    MemberList(etcd::MemberListResponse),
    MemberAdd(etcd::MemberAddResponse),
    MemberUpdate(etcd::MemberUpdateResponse),
    MemberPromote(etcd::MemberPromoteResponse),
    MemberRemove(etcd::MemberRemoveResponse),
    AuthEnable(etcd::AuthEnableResponse),
    AuthDisable(etcd::AuthDisableResponse),
    AuthStatus(etcd::AuthStatusResponse),
    UserAdd(etcd::AuthUserAddResponse),
    UserGet(etcd::AuthUserGetResponse),
    UserList(etcd::AuthUserListResponse),
    UserDelete(etcd::AuthUserDeleteResponse),
    UserChangePassword(etcd::AuthUserChangePasswordResponse),
    UserGrantRole(etcd::AuthUserGrantRoleResponse),
    UserRevokeRole(etcd::AuthUserRevokeRoleResponse),
    RoleAdd(etcd::AuthRoleAddResponse),
    RoleGet(etcd::AuthRoleGetResponse),
    RoleList(etcd::AuthRoleListResponse),
    RoleDelete(etcd::AuthRoleDeleteResponse),
    RoleGrantPermission(etcd::AuthRoleGrantPermissionResponse),
    RoleRevokePermission(etcd::AuthRoleRevokePermissionResponse),
    Authenticate(etcd::AuthenticateResponse),
    Watch(etcd::WatchResponse),
}

impl<T: Into<Answer>> From<Result<Response<T>, Status>> for Answer {
    fn from(result: Result<Response<T>, Status>) -> Self {
        match result {
            Ok(rsp) => rsp.into_inner().into(),
            Err(status) => Answer::Refused { code: status.code(), text: status.message().to_owned() },
        }
    }
}

impl Answer {
    pub fn refused(code: Code, text: &str) -> Self {
        Answer::Refused { code, text: text.to_owned() }
    }

    /// The text of a refusal, also of a watch's.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Answer::Refused { text, .. } => Some(text),
            Answer::Watch(rsp) if rsp.canceled && !rsp.cancel_reason.is_empty() => Some(&rsp.cancel_reason),
            _ => None,
        }
    }

    /// Puts names in the place of what only this server has.
    pub fn without(self, identity: &Identity) -> Self {
        match self {
            Answer::LeaseTimeToLive(rsp) => Answer::LeaseTimeToLive(about_time(rsp)),
            Answer::LeaseLeases(mut rsp) => {
                // etcd has the one first that ends first; which that is, is a matter of milliseconds here.
                rsp.leases.sort_by_key(|lease| lease.id);
                Answer::LeaseLeases(rsp)
            }
            Answer::Alarm(mut rsp) => {
                for alarm in &mut rsp.alarms {
                    alarm.member_id = identity.name(alarm.member_id);
                }
                // etcd has them in no order.
                rsp.alarms.sort_by_key(|alarm| (alarm.member_id, alarm.alarm));
                Answer::Alarm(rsp)
            }
            Answer::Status(rsp) => Answer::Status(identity.status(rsp)),
            Answer::MemberList(mut rsp) => {
                identity.name_all(&mut rsp.members);
                Answer::MemberList(rsp)
            }
            Answer::MemberAdd(mut rsp) => {
                identity.name_all(&mut rsp.members);
                rsp.member.iter_mut().for_each(|member| identity.name_one(member));
                Answer::MemberAdd(rsp)
            }
            Answer::MemberUpdate(mut rsp) => {
                identity.name_all(&mut rsp.members);
                Answer::MemberUpdate(rsp)
            }
            Answer::MemberPromote(mut rsp) => {
                identity.name_all(&mut rsp.members);
                Answer::MemberPromote(rsp)
            }
            Answer::MemberRemove(mut rsp) => {
                identity.name_all(&mut rsp.members);
                Answer::MemberRemove(rsp)
            }
            // etcd makes a member's id of its URLs and the second: in the same second the id is there, too.
            Answer::Refused { code, text } if text == "etcdserver: member ID already exist" => {
                Answer::refused(code, "etcdserver: Peer URLs already exists")
            }
            Answer::Several(answers) => {
                Answer::Several(answers.into_iter().map(|answer| answer.without(identity)).collect())
            }
            other => other,
        }
    }

    /// Puts one name in the place of a lease's id that the server chose.
    pub fn without_lease(self, id: i64) -> Self {
        let name = |found: i64| if found == id { CHOSEN } else { found };
        match self {
            Answer::LeaseGrant(rsp) => Answer::LeaseGrant(etcd::LeaseGrantResponse { id: name(rsp.id), ..rsp }),
            Answer::LeaseTimeToLive(rsp) => {
                Answer::LeaseTimeToLive(etcd::LeaseTimeToLiveResponse { id: name(rsp.id), ..rsp })
            }
            other => other,
        }
    }
}

/// What is left of a lease counts as all of it, unless that is impossible; and etcd has its keys in no order.
fn about_time(mut rsp: etcd::LeaseTimeToLiveResponse) -> etcd::LeaseTimeToLiveResponse {
    rsp.keys.sort();
    let plausible = (rsp.granted_ttl - LEASE_SLACK).max(0)..=rsp.granted_ttl;
    let ttl = if rsp.granted_ttl > 0 && plausible.contains(&rsp.ttl) { rsp.granted_ttl } else { rsp.ttl };
    etcd::LeaseTimeToLiveResponse { ttl, ..rsp }
}

impl Identity {
    fn name(&self, id: u64) -> u64 {
        match self.learners.iter().position(|learner| *learner == id) {
            _ if id == self.member => OWN,
            Some(at) => LEARNER + at as u64,
            None => id,
        }
    }

    fn name_one(&self, member: &mut etcd::Member) {
        let own = |url: &mut String| match url.as_str() {
            _ if *url == self.peer_url => *url = "peer".to_owned(),
            _ if *url == self.client_url => *url = "client".to_owned(),
            _ => {}
        };
        member.id = self.name(member.id);
        member.peer_urls.iter_mut().for_each(own);
        member.client_urls.iter_mut().for_each(own);
    }

    /// They come in the order of ids that mean nothing.
    fn name_all(&self, members: &mut [etcd::Member]) {
        members.iter_mut().for_each(|member| self.name_one(member));
        members.sort_by_key(|member| member.id);
    }

    fn status(&self, rsp: etcd::StatusResponse) -> etcd::StatusResponse {
        let mut errors: Vec<String> =
            rsp.errors.iter().map(|error| error.replace(&self.member.to_string(), "own")).collect();
        errors.sort();
        etcd::StatusResponse {
            header: rsp.header,
            leader: self.name(rsp.leader),
            errors,
            is_learner: rsp.is_learner,
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_said_by_two_servers_is_the_same() {
        let said = |member: u64, url: &str| {
            let header = etcd::ResponseHeader { cluster_id: member, member_id: member, revision: 7, raft_term: member };
            let learner = etcd::Member { id: 500 - member, is_learner: true, ..Default::default() };
            let own = etcd::Member { id: member, peer_urls: vec![url.to_owned()], ..Default::default() };
            let mut members = vec![own, learner];
            members.sort_by_key(|member| member.id);
            let identity =
                Identity { member, peer_url: url.to_owned(), learners: vec![500 - member], ..Default::default() };
            Answer::from(etcd::MemberListResponse { header: Some(header), members }).without(&identity)
        };
        assert_eq!(said(10, "http://a"), said(400, "http://b"));
        assert_ne!(said(10, "http://a"), Answer::Silence);
    }

    #[test]
    fn a_lease_has_about_the_time_that_it_was_granted() {
        let left =
            |ttl, granted_ttl| about_time(etcd::LeaseTimeToLiveResponse { ttl, granted_ttl, ..Default::default() });
        assert_eq!(left(990, 1000), left(1000, 1000));
        assert_ne!(left(390, 1000), left(1000, 1000));
        assert_ne!(left(1001, 1000), left(1000, 1000));
        assert_eq!(left(-1, 0).ttl, -1);
    }
}
