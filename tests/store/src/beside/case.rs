//! What is asked: one request, the same for every server.

use proto::etcdserverpb as etcd;

/// Members are named by what they are: their ids differ from server to server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The member that is asked.
    Own,
    /// The learner that was added this many learners ago; 0 is the last one.
    Learner(usize),
    /// No member of any cluster.
    Id(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    Range(etcd::RangeRequest),
    Put(etcd::PutRequest),
    DeleteRange(etcd::DeleteRangeRequest),
    Txn(etcd::TxnRequest),
    Compact(etcd::CompactionRequest),
    LeaseGrant(etcd::LeaseGrantRequest),
    /// Grants a lease whose id the server chooses, and revokes it.
    LeaseOfAnyId {
        ttl: i64,
    },
    LeaseRevoke(etcd::LeaseRevokeRequest),
    LeaseTimeToLive(etcd::LeaseTimeToLiveRequest),
    LeaseLeases,
    LeaseKeepAlive {
        id: i64,
    },
    Alarm {
        action: etcd::alarm_request::AlarmAction,
        alarm: i32,
        member: Whose,
    },
    Status,
    HashKv {
        revision: i64,
    },
    Defragment,
    MoveLeader {
        to: Whose,
    },
    Downgrade(etcd::DowngradeRequest),
    MemberList {
        linearizable: bool,
    },
    MemberAdd {
        urls: Vec<String>,
    },
    MemberUpdate {
        member: Whose,
        urls: Vec<String>,
    },
    MemberPromote {
        member: Whose,
    },
    MemberRemove {
        member: Whose,
    },
    Auth(AuthCase),
    Watch {
        stream: usize,
        create: etcd::WatchCreateRequest,
    },
    /// `known`: some watcher has this id, and an answer comes.
    WatchCancel {
        stream: usize,
        watch_id: i64,
        known: bool,
    },
    WatchProgress {
        stream: usize,
    },
}

/// Users and roles, while they mean nothing yet.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthCase {
    Enable,
    Disable,
    Status,
    UserAdd(etcd::AuthUserAddRequest),
    UserGet(etcd::AuthUserGetRequest),
    UserList,
    UserDelete(etcd::AuthUserDeleteRequest),
    UserChangePassword(etcd::AuthUserChangePasswordRequest),
    UserGrantRole(etcd::AuthUserGrantRoleRequest),
    UserRevokeRole(etcd::AuthUserRevokeRoleRequest),
    RoleAdd(etcd::AuthRoleAddRequest),
    RoleGet(etcd::AuthRoleGetRequest),
    RoleList,
    RoleDelete(etcd::AuthRoleDeleteRequest),
    RoleGrantPermission(etcd::AuthRoleGrantPermissionRequest),
    RoleRevokePermission(etcd::AuthRoleRevokePermissionRequest),
    Authenticate(etcd::AuthenticateRequest),
}

impl Case {
    /// Changes nothing, so that several can be asked at once.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Case::Range(_)
                | Case::LeaseTimeToLive(_)
                | Case::LeaseLeases
                | Case::Status
                | Case::HashKv { .. }
                | Case::Defragment
                | Case::MemberList { .. }
                | Case::Auth(AuthCase::Status | AuthCase::UserGet(_) | AuthCase::UserList)
                | Case::Auth(AuthCase::RoleGet(_) | AuthCase::RoleList)
        )
    }

    /// Its method, as etcd calls it.
    pub fn method(&self) -> &'static str {
        match self {
            Case::Range(_) => "Range",
            Case::Put(_) => "Put",
            Case::DeleteRange(_) => "DeleteRange",
            Case::Txn(_) => "Txn",
            Case::Compact(_) => "Compact",
            Case::LeaseGrant(_) | Case::LeaseOfAnyId { .. } => "LeaseGrant",
            Case::LeaseRevoke(_) => "LeaseRevoke",
            Case::LeaseTimeToLive(_) => "LeaseTimeToLive",
            Case::LeaseLeases => "LeaseLeases",
            Case::LeaseKeepAlive { .. } => "LeaseKeepAlive",
            Case::Alarm { .. } => "Alarm",
            Case::Status => "Status",
            Case::HashKv { .. } => "HashKV",
            Case::Defragment => "Defragment",
            Case::MoveLeader { .. } => "MoveLeader",
            Case::Downgrade(_) => "Downgrade",
            Case::MemberList { .. } => "MemberList",
            Case::MemberAdd { .. } => "MemberAdd",
            Case::MemberUpdate { .. } => "MemberUpdate",
            Case::MemberPromote { .. } => "MemberPromote",
            Case::MemberRemove { .. } => "MemberRemove",
            Case::Auth(auth) => auth.method(),
            Case::Watch { .. } => "Watch",
            Case::WatchCancel { .. } => "Watch (cancel)",
            Case::WatchProgress { .. } => "Watch (progress)",
        }
    }
}

impl AuthCase {
    fn method(&self) -> &'static str {
        match self {
            AuthCase::Enable => "AuthEnable",
            AuthCase::Disable => "AuthDisable",
            AuthCase::Status => "AuthStatus",
            AuthCase::UserAdd(_) => "UserAdd",
            AuthCase::UserGet(_) => "UserGet",
            AuthCase::UserList => "UserList",
            AuthCase::UserDelete(_) => "UserDelete",
            AuthCase::UserChangePassword(_) => "UserChangePassword",
            AuthCase::UserGrantRole(_) => "UserGrantRole",
            AuthCase::UserRevokeRole(_) => "UserRevokeRole",
            AuthCase::RoleAdd(_) => "RoleAdd",
            AuthCase::RoleGet(_) => "RoleGet",
            AuthCase::RoleList => "RoleList",
            AuthCase::RoleDelete(_) => "RoleDelete",
            AuthCase::RoleGrantPermission(_) => "RoleGrantPermission",
            AuthCase::RoleRevokePermission(_) => "RoleRevokePermission",
            AuthCase::Authenticate(_) => "Authenticate",
        }
    }
}
