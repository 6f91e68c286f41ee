//! What may be changed about the members: etcd's rules. Pure.

use crate::refused::Refused;

/// A member as the leader knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub id: u64,
    pub peer_urls: Vec<String>,
    /// It votes, or will without being promoted.
    pub voter: bool,
    /// It has told its name.
    pub started: bool,
    /// The leader has heard of it lately, or it is the leader.
    pub answers: bool,
    /// It has nearly everything that the leader has.
    pub in_sync: bool,
}

/// The cluster as the leader knows it, and how careful it is.
pub struct Cluster {
    pub members: Vec<Known>,
    /// --strict-reconfig-check: refuse what could cost the quorum.
    pub strict: bool,
    pub learners_max: usize,
}

impl Cluster {
    pub fn check_add(&self, peer_urls: &[String], learner: bool) -> Result<(), Refused> {
        if self.strict && !learner && !self.may_add_voter() {
            return Err(Refused::MemberNotEnoughStarted);
        }
        if self.strict && self.voters().any(|member| member.started && !member.answers) {
            return Err(Refused::Unhealthy);
        }
        if self.members.iter().any(|member| shares(&member.peer_urls, peer_urls)) {
            return Err(Refused::PeerUrlExists);
        }
        if learner && self.members.iter().filter(|member| !member.voter).count() >= self.learners_max {
            return Err(Refused::TooManyLearners);
        }
        Ok(())
    }

    pub fn check_remove(&self, id: u64) -> Result<(), Refused> {
        let member = self.member(id)?;
        if !self.strict || !member.voter {
            return Ok(());
        }
        let others = || self.voters().filter(|other| other.id != id);
        let count = others().count();
        if count == 0 || others().filter(|other| other.started).count() < quorum(count) {
            return Err(Refused::MemberNotEnoughStarted);
        }
        // One that is gone takes nothing from the quorum that there is.
        if member.answers && others().filter(|other| other.answers).count() < quorum(count) {
            return Err(Refused::Unhealthy);
        }
        Ok(())
    }

    pub fn check_update(&self, id: u64, peer_urls: &[String]) -> Result<(), Refused> {
        self.member(id)?;
        match self.members.iter().any(|other| other.id != id && shares(&other.peer_urls, peer_urls)) {
            true => Err(Refused::PeerUrlExists),
            false => Ok(()),
        }
    }

    pub fn check_promote(&self, id: u64) -> Result<(), Refused> {
        let member = self.member(id)?;
        if member.voter {
            return Err(Refused::MemberNotLearner);
        }
        if !member.in_sync {
            return Err(Refused::LearnerNotReady);
        }
        // The learner is started, or it would not be in sync.
        let started = 1 + self.voters().filter(|member| member.started).count();
        if self.strict && started < quorum(1 + self.voters().count()) {
            return Err(Refused::MemberNotEnoughStarted);
        }
        Ok(())
    }

    fn member(&self, id: u64) -> Result<&Known, Refused> {
        self.members.iter().find(|member| member.id == id).ok_or(Refused::MemberNotFound)
    }

    fn voters(&self) -> impl Iterator<Item = &Known> {
        self.members.iter().filter(|member| member.voter)
    }

    /// The new member counts, and is not started yet. One that is alone may have a second all the same.
    fn may_add_voter(&self) -> bool {
        let count = 1 + self.voters().count();
        let started = self.voters().filter(|member| member.started).count();
        (started == 1 && count == 2) || started >= quorum(count)
    }
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

fn shares(a: &[String], b: &[String]) -> bool {
    a.iter().any(|url| b.contains(url))
}

/// Peer URLs as a client gave them, in order.
pub fn peer_urls(urls: &[String]) -> Result<Vec<String>, Refused> {
    let mut urls: Vec<String> = urls.iter().map(|url| url.trim().to_owned()).collect();
    urls.sort();
    urls.dedup();
    let valid = |url: &String| {
        let uri = url.parse::<http::Uri>().ok()?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        (scheme && uri.port_u16().is_some() && matches!(uri.path(), "" | "/") && !url.ends_with('/')).then_some(())
    };
    match urls.is_empty() || urls.iter().any(|url| valid(url).is_none()) {
        true => Err(Refused::MemberBadUrls),
        false => Ok(urls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(id: u64) -> Known {
        let peer_urls = vec![format!("http://{id}:2380")];
        Known { id, peer_urls, voter: true, started: true, answers: true, in_sync: true }
    }

    fn cluster(members: Vec<Known>) -> Cluster {
        Cluster { members, strict: true, learners_max: 1 }
    }

    fn new() -> Vec<String> {
        vec!["http://9:2380".to_owned()]
    }

    #[test]
    fn a_voter_is_added_only_where_the_quorum_is_started_and_answers() {
        let unstarted = Known { started: false, answers: false, ..voter(2) };
        let silent = Known { answers: false, ..voter(3) };
        assert_eq!(cluster(vec![voter(1)]).check_add(&new(), false), Ok(()), "a second one");
        let two = vec![voter(1), unstarted.clone()];
        assert_eq!(cluster(two.clone()).check_add(&new(), false), Err(Refused::MemberNotEnoughStarted));
        assert_eq!(Cluster { strict: false, ..cluster(two) }.check_add(&new(), false), Ok(()));
        assert_eq!(cluster(vec![voter(1), voter(2), silent]).check_add(&new(), false), Err(Refused::Unhealthy));
        assert_eq!(cluster(vec![voter(1), voter(2), unstarted]).check_add(&new(), true), Ok(()));
        assert_eq!(
            cluster(vec![voter(1)]).check_add(&["http://1:2380".to_owned()], false),
            Err(Refused::PeerUrlExists)
        );
        let learner = Known { voter: false, ..voter(2) };
        assert_eq!(cluster(vec![voter(1), learner]).check_add(&new(), true), Err(Refused::TooManyLearners));
    }

    #[test]
    fn a_member_is_removed_only_where_a_quorum_stays() {
        let silent = |id| Known { answers: false, ..voter(id) };
        assert_eq!(cluster(vec![voter(1)]).check_remove(1), Err(Refused::MemberNotEnoughStarted), "the last one");
        assert_eq!(cluster(vec![voter(1)]).check_remove(7), Err(Refused::MemberNotFound));
        let three = cluster(vec![voter(1), voter(2), silent(3)]);
        assert_eq!(three.check_remove(3), Ok(()), "the one that is gone");
        assert_eq!(three.check_remove(2), Err(Refused::Unhealthy), "one of the two that are left");
        let unstarted = Known { started: false, ..silent(2) };
        assert_eq!(cluster(vec![voter(1), unstarted]).check_remove(1), Err(Refused::MemberNotEnoughStarted));
    }

    #[test]
    fn only_a_learner_in_sync_is_promoted() {
        let learner = Known { voter: false, ..voter(2) };
        assert_eq!(cluster(vec![voter(1), learner.clone()]).check_promote(2), Ok(()));
        let behind = Known { in_sync: false, ..learner };
        assert_eq!(cluster(vec![voter(1), behind]).check_promote(2), Err(Refused::LearnerNotReady));
        assert_eq!(cluster(vec![voter(1), voter(2)]).check_promote(2), Err(Refused::MemberNotLearner));
        assert_eq!(cluster(vec![voter(1)]).check_promote(2), Err(Refused::MemberNotFound));
    }

    #[test]
    fn a_url_belongs_to_one_member() {
        let two = cluster(vec![voter(1), voter(2)]);
        assert_eq!(two.check_update(1, &["http://1:2380".to_owned()]), Ok(()), "its own");
        assert_eq!(two.check_update(1, &["http://2:2380".to_owned()]), Err(Refused::PeerUrlExists));
        assert_eq!(two.check_update(3, &new()), Err(Refused::MemberNotFound));
    }

    #[test]
    fn only_whole_urls_are_taken() {
        let check = |urls: &[&str]| peer_urls(&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
        assert_eq!(check(&["http://b:1", "http://a:1"]), Ok(vec!["http://a:1".to_owned(), "http://b:1".to_owned()]));
        for bad in [&[][..], &[""], &["a:1"], &["ftp://a:1"], &["http://a"], &["http://a:1/path"], &["http://a:1/"]] {
            assert_eq!(check(bad), Err(Refused::MemberBadUrls), "{bad:?}");
        }
    }
}
