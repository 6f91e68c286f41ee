//! What to do about one object: pure.

use proto::meta::v1::ObjectMeta;

use super::{FOREGROUND, ORPHAN};

/// What has become of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It exists.
    Solid,
    /// It is being deleted, after its dependents.
    Waiting,
    /// It does not exist, or another one has its name.
    Gone,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    /// Keep it, and forget the owners that are not solid.
    Disown,
    /// Delete it with this propagation policy.
    Delete(&'static str),
}

/// Decides for a living object; `owners` are the states of its owners.
pub fn action(meta: &ObjectMeta, owners: &[OwnerState], has_dependents: bool) -> Action {
    if owners.is_empty() {
        return Action::Nothing;
    }
    if owners.contains(&OwnerState::Solid) {
        let all = owners.iter().all(|state| *state == OwnerState::Solid);
        return if all { Action::Nothing } else { Action::Disown };
    }
    if owners.contains(&OwnerState::Waiting) && has_dependents {
        return Action::Delete("Foreground");
    }
    // Somebody asked for a way to go already; else nobody waits.
    let has = |finalizer: &str| meta.finalizers.iter().any(|known| known == finalizer);
    if has(ORPHAN) {
        Action::Delete("Orphan")
    } else if has(FOREGROUND) {
        Action::Delete("Foreground")
    } else {
        Action::Delete("Background")
    }
}

#[cfg(test)]
mod tests {
    use super::OwnerState::{Gone, Solid, Waiting};
    use super::*;

    #[track_caller]
    fn check(owners: &[OwnerState], has_dependents: bool, expect: Action) {
        assert_eq!(action(&ObjectMeta::default(), owners, has_dependents), expect);
    }

    #[test]
    fn object_lives_while_one_owner_does() {
        check(&[], true, Action::Nothing);
        check(&[Solid], false, Action::Nothing);
        check(&[Solid, Gone], false, Action::Disown);
        check(&[Waiting, Solid], true, Action::Disown);
    }

    #[test]
    fn object_without_living_owners_goes() {
        check(&[Gone], true, Action::Delete("Background"));
        check(&[Gone, Gone], false, Action::Delete("Background"));
        check(&[Waiting], false, Action::Delete("Background"));
        check(&[Waiting, Gone], true, Action::Delete("Foreground"));
    }

    #[test]
    fn way_that_was_asked_for_is_kept() {
        let meta = |finalizer: &str| ObjectMeta { finalizers: vec![finalizer.to_owned()], ..ObjectMeta::default() };
        assert_eq!(action(&meta(ORPHAN), &[Gone], true), Action::Delete("Orphan"));
        assert_eq!(action(&meta(FOREGROUND), &[Gone], true), Action::Delete("Foreground"));
    }
}
