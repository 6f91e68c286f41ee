//! Which of a definition's names are accepted: none that another definition of its group has already.

use std::collections::BTreeSet;

use proto::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition as Condition, CustomResourceDefinitionNames as Names,
};

use super::conditions::{ESTABLISHED, NAMES_ACCEPTED, condition, find, is_true};

/// The names that the other definitions of a group have.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Plurals, singulars and short names.
    resources: BTreeSet<String>,
    /// Kinds and kinds of lists.
    kinds: BTreeSet<String>,
}

impl Taken {
    /// Counts the names that were accepted for another definition.
    pub fn add(&mut self, accepted: &Names) {
        let resources = [&accepted.plural, &accepted.singular].into_iter().chain(&accepted.short_names);
        self.resources.extend(resources.filter(|name| !name.is_empty()).cloned());
        let kinds = [&accepted.kind, &accepted.list_kind];
        self.kinds.extend(kinds.into_iter().filter(|name| !name.is_empty()).cloned());
    }
}

/// What is decided about names.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// status.acceptedNames.
    pub accepted: Names,
    pub names_accepted: Condition,
    pub established: Condition,
}

/// Judges what a definition asks for. What it was given before stays its own; of several conflicts the last one is told,
/// as upstream does it. `is_served`: requests for its objects are answered, so that it can be said to be established.
pub fn judge(definition: &CustomResourceDefinition, taken: &Taken, is_served: bool) -> Verdict {
    let asked = &definition.spec.names;
    let mut accepted = definition.status.accepted_names.clone();
    let mut refused = None;
    let mut one = |wanted: &String, accepted: &mut String, among: &BTreeSet<String>, reason: &'static str| {
        if wanted == accepted || !among.contains(wanted) {
            accepted.clone_from(wanted);
        } else {
            refused = Some((reason, in_use(wanted)));
        }
    };
    one(&asked.plural, &mut accepted.plural, &taken.resources, "PluralConflict");
    one(&asked.singular, &mut accepted.singular, &taken.resources, "SingularConflict");
    let own = accepted.short_names.clone();
    let conflicts: Vec<String> = asked
        .short_names
        .iter()
        .filter(|name| !own.contains(name) && taken.resources.contains(*name))
        .map(|name| in_use(name))
        .collect();
    let conflict_of_short_names = match conflicts.as_slice() {
        [] => {
            accepted.short_names.clone_from(&asked.short_names);
            None
        }
        [only] => Some(only.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    };
    let mut refused_kind = None;
    let mut kind = |wanted: &String, accepted: &mut String, reason: &'static str| {
        if wanted == accepted || !taken.kinds.contains(wanted) {
            accepted.clone_from(wanted);
        } else {
            refused_kind = Some((reason, in_use(wanted)));
        }
    };
    kind(&asked.kind, &mut accepted.kind, "KindConflict");
    kind(&asked.list_kind, &mut accepted.list_kind, "ListKindConflict");
    accepted.categories.clone_from(&asked.categories);
    let refused = refused_kind.or(conflict_of_short_names.map(|why| ("ShortNamesConflict", why))).or(refused);
    let names_accepted = match refused {
        None => condition(NAMES_ACCEPTED, true, "NoConflicts", "no conflicts found"),
        Some((reason, message)) => condition(NAMES_ACCEPTED, false, reason, message),
    };
    let established = established(definition, names_accepted.status == "True", is_served);
    Verdict { accepted, names_accepted, established }
}

fn in_use(name: &str) -> String {
    format!("{name:?} is already in use")
}

/// Once established, a definition stays so.
fn established(definition: &CustomResourceDefinition, accepted: bool, is_served: bool) -> Condition {
    let initial = "the initial names have been accepted";
    match find(definition, ESTABLISHED) {
        Some(before) if is_true(definition, ESTABLISHED) => before.clone(),
        _ if accepted && is_served => condition(ESTABLISHED, true, "InitialNamesAccepted", initial),
        _ if accepted => condition(ESTABLISHED, false, "Installing", initial),
        Some(before) => before.clone(),
        None => condition(ESTABLISHED, false, "NotAccepted", "not all names are accepted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(plural: &str, kind: &str, short: &[&str]) -> Names {
        Names {
            plural: plural.into(),
            singular: kind.to_lowercase(),
            kind: kind.into(),
            list_kind: format!("{kind}List"),
            short_names: short.iter().map(|name| (*name).to_owned()).collect(),
            ..Names::default()
        }
    }

    fn definition(asked: Names) -> CustomResourceDefinition {
        let mut definition = CustomResourceDefinition::default();
        definition.spec.names = asked;
        definition
    }

    #[test]
    fn names_that_nobody_has_are_accepted() {
        let asked = names("things", "Thing", &["th"]);
        let verdict = judge(&definition(asked.clone()), &Taken::default(), false);
        assert_eq!(verdict.accepted, asked);
        assert_eq!(verdict.names_accepted.reason, "NoConflicts");
        assert_eq!((verdict.established.status.as_str(), verdict.established.reason.as_str()), ("False", "Installing"));
        let verdict = judge(&definition(asked), &Taken::default(), true);
        assert_eq!(verdict.established.reason, "InitialNamesAccepted");
    }

    #[test]
    fn a_name_that_another_has_is_refused_and_the_others_are_taken() {
        let mut taken = Taken::default();
        taken.add(&names("others", "Thing", &["th"]));
        let verdict = judge(&definition(names("things", "Thing", &["th"])), &taken, true);
        assert_eq!((verdict.accepted.plural.as_str(), verdict.accepted.kind.as_str()), ("things", ""));
        assert!(verdict.accepted.short_names.is_empty());
        assert_eq!(verdict.names_accepted.reason, "ListKindConflict");
        assert_eq!(verdict.names_accepted.message, "\"ThingList\" is already in use");
        assert_eq!(verdict.established.reason, "NotAccepted");
    }

    #[test]
    fn what_was_accepted_before_stays() {
        let mut taken = Taken::default();
        taken.add(&names("things", "Thing", &[]));
        let mut definition = definition(names("things", "Thing", &[]));
        definition.status.accepted_names = definition.spec.names.clone();
        definition.status.conditions = vec![condition(ESTABLISHED, true, "InitialNamesAccepted", "")];
        let verdict = judge(&definition, &taken, true);
        assert_eq!(verdict.names_accepted.status, "True");
        assert_eq!(verdict.established.status, "True");
    }
}
