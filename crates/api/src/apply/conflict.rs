//! Fields that an applier wants otherwise than their owners.

use proto::meta::v1::{Status, StatusCause};

use super::owners::{Operation, Owner};
use super::set::Set;

/// What a manager owns and another one wants otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner as refusals name it.
    who: String,
    pub fields: Set,
}

impl Conflict {
    pub(super) fn new(owner: &Owner, fields: Set) -> Self {
        let mut who = format!("{:?}", owner.manager);
        if !owner.subresource.is_empty() {
            who.push_str(&format!(" with subresource {:?}", owner.subresource));
        }
        if owner.operation == Operation::Update {
            who.push_str(&format!(" using {}", owner.api_version));
        }
        Self { who, fields }
    }

    /// Upstream's refusal: each field with its owner.
    pub fn refusal(mut conflicts: Vec<Self>) -> Status {
        conflicts.sort_by(|left, right| left.who.cmp(&right.who));
        let all: Vec<(&str, String)> = conflicts
            .iter()
            .flat_map(|conflict| conflict.fields.paths().into_iter().map(|path| (conflict.who.as_str(), path)))
            .collect();
        let cause = |(who, path): &(&str, String)| StatusCause {
            reason: "FieldManagerConflict".to_owned(),
            message: format!("conflict with {who}"),
            field: path.clone(),
        };
        let causes = all.iter().map(cause).collect();
        let mut status = crate::status::failure(409, "Conflict", message(&all));
        status.details.get_or_insert_default().causes = causes;
        status
    }
}

fn message(all: &[(&str, String)]) -> String {
    if let [(who, path)] = all {
        return format!("Apply failed with 1 conflict: conflict with {who}: {path}");
    }
    let mut text = format!("Apply failed with {} conflicts: ", all.len());
    let mut last = None;
    for (index, (who, path)) in all.iter().enumerate() {
        if last != Some(who) {
            let line = if index > 0 { "\n" } else { "" };
            text.push_str(&format!("{line}conflicts with {who}:"));
        }
        last = Some(who);
        text.push_str(&format!("\n- {path}"));
    }
    text
}
