//! Who is asked again, once others changed the object after them.

use std::collections::BTreeSet;

use proto::dynamic::DynObject;

/// The rounds of one request. Upstream runs all that change objects a second time where one of the outsiders changed
/// something: what the cluster itself adds then fits the object as it became.
#[derive(Debug, Default)]
pub struct Rounds {
    second: bool,
    /// Whether an outsider changed something in the first round.
    due: bool,
    pub policies: Again,
    pub webhooks: Again,
}

impl Rounds {
    /// Begins the second round, where one is due.
    pub fn begin_next(&mut self) -> bool {
        let begins = self.due && !self.second;
        self.second |= begins;
        begins
    }

    /// Whether this is the second one.
    pub fn is_second(&self) -> bool {
        self.second
    }

    /// Somebody changed the object.
    pub fn changed(&mut self) {
        self.due = true;
    }
}

/// The askings of one sort of outsiders.
#[derive(Debug, Default)]
pub struct Again {
    /// Asked, and willing to be asked again.
    asked: BTreeSet<String>,
    /// To be asked in the second round.
    wanted: BTreeSet<String>,
    /// The object after the last of them.
    left: Option<Box<dyn DynObject>>,
}

impl Again {
    /// Begins a round with that object: in a second one, what others changed meanwhile is a reason to ask again.
    pub fn begin(&mut self, second: bool, object: &dyn DynObject) {
        if second && self.left.as_ref().is_some_and(|left| !left.equals(object)) {
            self.changed();
        }
    }

    /// Ends it.
    pub fn end(&mut self, object: &dyn DynObject) {
        self.left = Some(object.clone_box());
    }

    /// Whether that one is asked in the second round. Who was not asked in the first is not either.
    pub fn wants(&self, id: &str) -> bool {
        self.wanted.contains(id)
    }

    /// Somebody who wants to see later changes was asked.
    pub fn asked(&mut self, id: &str) {
        self.asked.insert(id.to_owned());
    }

    /// The object changed: those who were asked before are asked again.
    pub fn changed(&mut self) {
        self.wanted.append(&mut self.asked);
    }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::ConfigMap;

    use super::*;

    #[test]
    fn who_was_asked_before_a_change_is_asked_again() {
        let mut again = Again::default();
        again.asked("first");
        again.changed();
        again.asked("second");
        assert!(again.wants("first") && !again.wants("second") && !again.wants("third"));
    }

    #[test]
    fn what_others_change_between_the_rounds_counts() {
        let (before, mut after) = (ConfigMap::default(), ConfigMap::default());
        after.metadata.name = "m".into();
        for (object, wants) in [(&before, false), (&after, true)] {
            let mut again = Again::default();
            again.begin(false, &before);
            again.asked("a");
            again.end(&before);
            again.begin(true, object);
            assert_eq!(again.wants("a"), wants);
        }
    }

    #[test]
    fn there_are_two_rounds_at_most() {
        let mut rounds = Rounds::default();
        assert!(!rounds.begin_next());
        rounds.changed();
        assert!(rounds.begin_next() && rounds.is_second());
        rounds.changed();
        assert!(!rounds.begin_next());
    }
}
