//! Bugs that are planted to see that they are found. Most come from outside: a disk that lies, a network that answers for
//! a member, clients that ask wrongly, a task that is not run. The others are in the store (`store::env::planted`), where
//! programs do not contain them.

use store::env::planted::Bug;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Planted {
    /// Syncs do nothing: what is acknowledged may be lost by a power cut.
    AckBeforeSync,
    /// A failed sync is taken for a done one.
    SyncErrorIgnored,
    /// A follower takes entries from a leader whose term is over.
    TermNotChecked,
    /// A follower says that it has what it has not.
    AckWithoutStoring,
    /// Every candidate gets every vote.
    EveryVoteGranted,
    /// Reads are served from what the member has, without asking the leader.
    ReadsNotConfirmed,
    /// A leader renews leases without knowing whether it still leads.
    KeepAliveUnconfirmed,
    /// Nobody ends leases.
    LeasesForgotten,
    /// Leases end after half of their time.
    LeasesCutShort,
    /// A member that comes back with nothing votes at once.
    VotesWhileRejoining,
    /// Clients send again what they have no answer of.
    SentTwice,
    VoteNotPersisted,
    AppliedTwice,
    WatchSkips,
    ChecksumNotChecked,
    SnapshotLacksKey,
    TruncationNotPersisted,
}

impl Planted {
    /// The bug that the store has to contain.
    pub fn inside(self) -> Option<Bug> {
        match self {
            Self::VoteNotPersisted => Some(Bug::VoteNotPersisted),
            Self::AppliedTwice => Some(Bug::AppliedTwice),
            Self::WatchSkips => Some(Bug::WatchSkips),
            Self::ChecksumNotChecked => Some(Bug::ChecksumNotChecked),
            Self::SnapshotLacksKey => Some(Bug::SnapshotLacksKey),
            Self::TruncationNotPersisted => Some(Bug::TruncationNotPersisted),
            _ => None,
        }
    }
}
