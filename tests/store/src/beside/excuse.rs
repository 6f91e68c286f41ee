//! Where an older etcd does not do what etcd 3.6 does, which is what ours follows: docs/store-deviations.md, in code.
//!
//! A deviation rewrites what ours said into what that etcd says; what then still differs is an error. One that never
//! happens in a run is an error, too.

use proto::authpb::Permission;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use tonic::Code;

use super::answer::Answer;
use super::case::{AuthCase, Case, Whose};
use super::generate::NO_SUCH;

/// An etcd that is asked beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// Debian's 3.4.
    Debian,
    /// PyPI's 3.5.1.
    Distro,
}

type Rewrite = fn(&Case, &Answer, &Answer) -> Option<Answer>;
/// Whether an answer is what ours must say.
type Says = fn(&Answer) -> bool;

pub enum Kind {
    /// From the request, our answer and its answer: what ours would be there.
    Answers(Rewrite),
    /// The request would end that server, or have it do what ours refuses; so only ours is asked, and must say this.
    NotAsked(fn(&Case) -> bool, Says),
}

pub struct Deviation {
    /// As the table in the docs calls it.
    pub name: &'static str,
    pub of: &'static [Release],
    pub kind: Kind,
}

use Release::{Debian, Distro};

pub const ALL: &[Deviation] = &[
    Deviation {
        name: "HashKV does not say its revision",
        of: &[Debian, Distro],
        kind: Kind::Answers(|_, ours, _| match ours {
            Answer::HashKv(rsp) => Some(Answer::HashKv(etcd::HashKvResponse { hash_revision: 0, ..*rsp })),
            _ => None,
        }),
    },
    Deviation {
        name: "there are no downgrades",
        of: &[Debian],
        kind: Kind::Answers(|case, _, _| {
            let text = "unknown method Downgrade for service etcdserverpb.Maintenance";
            matches!(case, Case::Downgrade(_)).then(|| Answer::refused(Code::Unimplemented, text))
        }),
    },
    Deviation {
        name: "AuthStatus is not there",
        of: &[Debian],
        kind: Kind::Answers(|case, _, _| {
            let text = "unknown method AuthStatus for service etcdserverpb.Auth";
            matches!(case, Case::Auth(AuthCase::Status)).then(|| Answer::refused(Code::Unimplemented, text))
        }),
    },
    Deviation {
        name: "HashKV of the compaction's revision is refused",
        of: &[Debian, Distro],
        kind: Kind::Answers(|case, ours, _| match (case, ours) {
            (Case::HashKv { revision }, Answer::HashKv(rsp)) if *revision == rsp.compact_revision => {
                Some(Answer::refused(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"))
            }
            _ => None,
        }),
    },
    Deviation {
        name: "an alarm's answer has no header",
        of: &[Debian],
        kind: Kind::Answers(|_, ours, _| match ours {
            Answer::Alarm(rsp) => Some(Answer::Alarm(etcd::AlarmResponse { header: None, ..rsp.clone() })),
            _ => None,
        }),
    },
    Deviation {
        name: "a member's peer URLs are not looked at when they are changed",
        of: &[Debian, Distro],
        kind: Kind::NotAsked(
            |case| match case {
                Case::MemberUpdate { member: Whose::Own, urls } => {
                    !urls.iter().any(|url| url.starts_with("http://127.9."))
                }
                _ => false,
            },
            |ours| ours.refusal() == Some("etcdserver: given member URLs are invalid"),
        ),
    },
    Deviation {
        name: "a compaction to revision 0 is one",
        of: &[Debian, Distro],
        kind: Kind::NotAsked(|case| matches!(case, Case::Compact(req) if req.revision == 0), is_compacted),
    },
    Deviation {
        name: "a transaction's puts are checked before its ranges",
        of: &[Debian, Distro],
        kind: Kind::Answers(|case, ours, theirs| {
            let puts = ["etcdserver: key not found", "etcdserver: requested lease not found"];
            let theirs = Some(theirs).filter(|theirs| theirs.refusal().is_some_and(|text| puts.contains(&text)));
            let ranges = matches!(ours, Answer::Refused { code: Code::OutOfRange, .. });
            theirs.filter(|_| ranges && matches!(case, Case::Txn(_))).cloned()
        }),
    },
    Deviation {
        name: "a permission that is not given ends the server",
        of: &[Debian],
        kind: Kind::NotAsked(
            |case| matches!(case, Case::Auth(AuthCase::RoleGrantPermission(req)) if req.perm.is_none()),
            |ours| ours.refusal() == Some("etcdserver: permission not given"),
        ),
    },
    Deviation {
        name: "permissions on ranges that hold no key are taken",
        of: &[Debian, Distro],
        kind: Kind::NotAsked(
            |case| match case {
                Case::Auth(AuthCase::RoleGrantPermission(req)) => req.perm.as_ref().is_some_and(holds_no_key),
                _ => false,
            },
            |ours| ours.refusal() == Some("etcdserver: invalid auth management"),
        ),
    },
    Deviation {
        name: "an unknown sort order is none",
        of: &[Debian, Distro],
        kind: Kind::Answers(|case, ours, theirs| match (case, theirs) {
            (Case::Range(req), Answer::Range(_) | Answer::Refused { code: Code::OutOfRange, .. }) => {
                (req.sort_order == NO_SUCH && is_invalid_sort(ours)).then(|| theirs.clone())
            }
            _ => None,
        }),
    },
    Deviation {
        name: "an alarm of no kind is raised, or ends the server",
        of: &[Debian],
        kind: Kind::NotAsked(
            |case| matches!(case, Case::Alarm { action: AlarmAction::Activate, alarm: 0, .. }),
            |ours| matches!(ours, Answer::Alarm(rsp) if rsp.alarms.is_empty()),
        ),
    },
    Deviation {
        name: "an unknown sort target ends the server",
        of: &[Debian, Distro],
        kind: Kind::NotAsked(
            |case| matches!(case, Case::Range(req) if req.sort_target == NO_SUCH && !req.key.is_empty()),
            is_invalid_sort,
        ),
    },
    Deviation {
        name: "a watch may begin before the beginning",
        of: &[Debian, Distro],
        kind: Kind::NotAsked(
            |case| matches!(case, Case::Watch { create, .. } if create.start_revision < 0),
            is_compacted,
        ),
    },
];

fn is_invalid_sort(answer: &Answer) -> bool {
    answer.refusal() == Some("etcdserver: invalid sort option")
}

fn is_compacted(answer: &Answer) -> bool {
    answer.refusal() == Some("etcdserver: mvcc: required revision has been compacted")
}

fn holds_no_key(perm: &Permission) -> bool {
    !matches!(&perm.range_end[..], [] | [0]) && perm.key >= perm.range_end
}

fn of(release: Release) -> impl Iterator<Item = &'static Deviation> {
    ALL.iter().filter(move |deviation| deviation.of.contains(&release))
}

/// The deviation because of which this is not asked there; and whether ours says what it must.
pub fn not_asked(release: Release, case: &Case) -> Option<(&'static str, Says)> {
    of(release).find_map(|deviation| match deviation.kind {
        Kind::NotAsked(when, says) if when(case) => Some((deviation.name, says)),
        _ => None,
    })
}

/// The deviations that explain the difference, if they explain all of it.
pub fn answers(release: Release, case: &Case, ours: &Answer, theirs: &Answer) -> Option<Vec<&'static str>> {
    let mut said = ours.clone();
    let mut because = Vec::new();
    for deviation in of(release) {
        if said == *theirs {
            break;
        }
        if let Kind::Answers(rewrite) = deviation.kind
            && let Some(instead) = rewrite(case, &said, theirs).filter(|instead| *instead != said)
        {
            said = instead;
            because.push(deviation.name);
        }
    }
    (said == *theirs).then_some(because)
}
