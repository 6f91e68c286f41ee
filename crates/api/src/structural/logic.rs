//! Alternatives: `anyOf`, `oneOf`, `allOf` and `not`.

use serde_json::Value;

use super::check::{self, Found};
use super::node::{Checks, Node};
use super::place::Place;
use super::show::shown;

/// Alternatives and their like. Nothing below them is compared with the old object.
pub fn check(checks: &Checks, value: &Value, place: &Place<'_>, found: &mut Found) {
    let try_one = |node: &Node| check::check(node, value, None, place);
    if !checks.any_of.is_empty() {
        let (best, passed) = alternatives(&checks.any_of, true, &try_one);
        if passed == 0 {
            found.general(place, format!("{} must validate at least one schema (anyOf)", shown(&place.name())));
        }
        found.merge(best);
    }
    if !checks.one_of.is_empty() {
        let (best, passed) = alternatives(&checks.one_of, false, &try_one);
        if passed != 1 {
            let how = match passed {
                0 => "Found none valid".to_owned(),
                many => format!("Found {many} valid alternatives"),
            };
            let name = shown(&place.name());
            found.general(place, format!("{name} must validate one and only one schema (oneOf). {how}"));
        }
        if passed < 2 {
            found.merge(best);
        }
    }
    let mut passed = 0;
    for node in &checks.all_of {
        let one = try_one(node);
        passed += usize::from(one.errors.is_empty());
        found.merge(one);
    }
    if passed != checks.all_of.len() {
        let how = if passed == 0 { ". None validated" } else { "" };
        found.general(place, format!("{} must validate all the schemas (allOf){how}", shown(&place.name())));
    }
    if checks.not.as_ref().is_some_and(|node| try_one(node).errors.is_empty()) {
        found.general(place, format!("{} must not validate the schema (not)", shown(&place.name())));
    }
    found.met += 1;
}

/// The first alternative that passes, or the one that comes nearest, and how many pass (one at most, where one is enough).
fn alternatives(nodes: &[Node], enough: bool, try_one: &dyn Fn(&Node) -> Found) -> (Found, usize) {
    let mut best: Option<Found> = None;
    let mut passed = 0;
    for node in nodes {
        let one = try_one(node);
        if one.errors.is_empty() {
            passed += 1;
            if passed == 1 {
                best = Some(one);
            }
            if enough {
                break;
            }
        } else if passed == 0 && best.as_ref().is_none_or(|best| one.met > best.met) {
            best = Some(one);
        }
    }
    (best.unwrap_or_default(), passed)
}
