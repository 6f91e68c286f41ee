//! Why the store refuses a request: etcd's errors, with the texts that clients match on.

/// gRPC's codes, by their numbers, so that pure code needs no gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Unimplemented = 12,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $text:literal;)*) => {
        /// A refusal that every member comes to alike, or that says why the member cannot serve now.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Refused {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl Refused {
            pub const ALL: &[Refused] = &[$(Refused::$name,)*];

            pub fn code(self) -> Code {
                match self {
                    $(Self::$name => Code::$code,)*
                }
            }

            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

refusals! {
    EmptyKey = InvalidArgument, "etcdserver: key is not provided";
    KeyNotFound = InvalidArgument, "etcdserver: key not found";
    ValueProvided = InvalidArgument, "etcdserver: value is provided";
    LeaseProvided = InvalidArgument, "etcdserver: lease is provided";
    TooManyOps = InvalidArgument, "etcdserver: too many operations in txn request";
    DuplicateKey = InvalidArgument, "etcdserver: duplicate key given in txn request";
    InvalidSortOption = InvalidArgument, "etcdserver: invalid sort option";
    Compacted = OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    FutureRevision = OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    NoSpace = ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// The file system of the data folder, not the quota.
    DiskFull = ResourceExhausted, "etcdserver: no room on the disk of --data-dir: make some there; reads and deletes go on, and writes as soon as there is room";
    DiskStalled = Unavailable, "etcdserver: request timed out: no room on the disk of --data-dir; make some there, the request may still be done then";
    LeaseNotFound = NotFound, "etcdserver: requested lease not found";
    LeaseExists = FailedPrecondition, "etcdserver: lease already exists";
    LeaseTtlTooLarge = OutOfRange, "etcdserver: too large lease TTL";
    MemberExists = FailedPrecondition, "etcdserver: member ID already exist";
    PeerUrlExists = FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// etcd maps it to an error of its client library, which gRPC gives this code.
    MemberNotEnoughStarted = Unknown, "etcdserver: re-configuration failed due to not enough started members";
    MemberBadUrls = InvalidArgument, "etcdserver: given member URLs are invalid";
    MemberNotFound = NotFound, "etcdserver: member not found";
    MemberNotLearner = FailedPrecondition, "etcdserver: can only promote a learner member";
    LearnerNotReady = FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader";
    TooManyLearners = FailedPrecondition, "etcdserver: too many learner members in cluster";
    Unhealthy = Unavailable, "etcdserver: unhealthy cluster";
    BadLeaderTransferee = FailedPrecondition, "etcdserver: bad leader transferee";
    RequestTooLarge = InvalidArgument, "etcdserver: request is too large";
    /// As [`Refused::MemberNotEnoughStarted`].
    TooManyRequests = Unknown, "etcdserver: too many requests";
    NoLeader = Unavailable, "etcdserver: no leader";
    NotLeader = FailedPrecondition, "etcdserver: not leader";
    LeaderChanged = Unavailable, "etcdserver: leader changed";
    Stopped = Unavailable, "etcdserver: server stopped";
    Timeout = Unavailable, "etcdserver: request timed out";
    Corrupt = DataLoss, "etcdserver: corrupt cluster";
    RootUserNotExist = FailedPrecondition, "etcdserver: root user does not exist";
    RootRoleNotExist = FailedPrecondition, "etcdserver: root user does not have root role";
    UserAlreadyExists = FailedPrecondition, "etcdserver: user name already exists";
    UserEmpty = InvalidArgument, "etcdserver: user name is empty";
    UserNotFound = FailedPrecondition, "etcdserver: user name not found";
    RoleAlreadyExists = FailedPrecondition, "etcdserver: role name already exists";
    RoleNotFound = FailedPrecondition, "etcdserver: role name not found";
    RoleEmpty = InvalidArgument, "etcdserver: role name is empty";
    AuthFailed = InvalidArgument, "etcdserver: authentication failed, invalid user ID or password";
    /// etcd gives it no code of its own.
    NoPasswordUser = Unknown, "auth: authentication failed, password was given for no password user";
    PermissionNotGiven = InvalidArgument, "etcdserver: permission not given";
    PermissionDenied = PermissionDenied, "etcdserver: permission denied";
    RoleNotGranted = FailedPrecondition, "etcdserver: role is not granted to the user";
    PermissionNotGranted = FailedPrecondition, "etcdserver: permission is not granted to the role";
    AuthNotEnabled = FailedPrecondition, "etcdserver: authentication is not enabled";
    InvalidAuthToken = Unauthenticated, "etcdserver: invalid auth token";
    InvalidAuthManagement = InvalidArgument, "etcdserver: invalid auth management";
    AuthOldRevision = InvalidArgument, "etcdserver: revision of auth store is old";
    PasswordNotTaken = Unknown, "bcrypt: password length exceeds 72 bytes";
    TokenNotSigned = Unknown, "auth: token signing attempted with verify-only key";
    NotSupportedForLearner = Unavailable, "etcdserver: rpc not supported for learner";
    InvalidDowngradeVersion = InvalidArgument, "etcdserver: invalid downgrade target version";
    WrongVersionFormat = InvalidArgument, "etcdserver: wrong downgrade target version format";
    DowngradeInProcess = FailedPrecondition, "etcdserver: cluster has a downgrade job in progress";
    NoInflightDowngrade = FailedPrecondition, "etcdserver: no inflight downgrade job";
}

impl Refused {
    /// Whether it says that the caller may not: with newer users and roles it may be another.
    pub fn is_of_auth(self) -> bool {
        matches!(self, Self::PermissionDenied | Self::AuthOldRevision | Self::InvalidAuthToken | Self::UserEmpty)
    }

    /// The refusal with this text: members pass refusals on by it.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refused| refused.text() == text)
    }
}
