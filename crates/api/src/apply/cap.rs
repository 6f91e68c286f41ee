//! A bound on the number of entries: the oldest updaters become one.

use super::owners::{Operation, Owner, Owners};

/// Updaters of one object, as upstream has it.
const UPDATERS_MAX: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// Joins the updaters that wrote longest ago, of each version, until there are few enough.
pub(super) fn cap(owners: &mut Owners) {
    let is_updater = |owner: &&Owner| owner.operation == Operation::Update;
    let mut count = owners.all.iter().filter(is_updater).count();
    if count <= UPDATERS_MAX {
        return;
    }
    let (mut updaters, others): (Vec<Owner>, Vec<Owner>) =
        std::mem::take(&mut owners.all).into_iter().partition(|owner| is_updater(&owner));
    updaters.sort_by(|left, right| age(left).cmp(&age(right)));
    // The oldest of each version stands for all that are joined to it.
    let mut kept: Vec<Owner> = Vec::with_capacity(updaters.len());
    for updater in updaters {
        let first = kept.iter_mut().find(|kept| kept.api_version == updater.api_version);
        match first {
            Some(first) if count > UPDATERS_MAX => {
                ANCIENT.clone_into(&mut first.manager);
                first.subresource.clear();
                first.add(updater.set().clone());
                first.time = updater.time;
                count -= 1;
            }
            _ => kept.push(updater),
        }
    }
    owners.all = others;
    owners.all.append(&mut kept);
}

fn age(owner: &Owner) -> (i64, &str, &str, &str) {
    let seconds = owner.time.as_ref().map_or(0, |time| time.seconds);
    (seconds, &owner.manager, &owner.api_version, &owner.subresource)
}
