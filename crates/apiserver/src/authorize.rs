//! Who may do what: administrators everything, each daemon what [`roles`] lists, everyone else nothing.

mod roles;

use crate::authenticate::User;
use crate::status::{Failure, Result, qualified};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a> {
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty: cluster-scoped, or all namespaces.
    pub namespace: &'a str,
    /// Empty where no single object is meant.
    pub name: &'a str,
}

impl Attributes<'_> {
    /// `pods/status`.
    fn path(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

/// The verdict, and which rule made it or what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}

/// Judges.
pub fn judge(user: &User, attributes: &Attributes<'_>) -> Verdict {
    let allow = |reason: String| Verdict { allowed: true, reason };
    if user.is_in("system:masters") {
        return allow("members of system:masters may do everything".to_owned());
    }
    match roles::granting(user, attributes) {
        Some(role) => allow(format!("role {role} of {}", user.name)),
        None => {
            let reason = format!("no role of {} allows it; a certificate of group system:masters would", user.name);
            Verdict { allowed: false, reason }
        }
    }
}

/// Refuses what is not allowed.
pub fn check(user: &User, attributes: &Attributes<'_>) -> Result<()> {
    let verdict = judge(user, attributes);
    if verdict.allowed {
        return Ok(());
    }
    let (verb, group, namespace) = (attributes.verb, attributes.group, attributes.namespace);
    let place = match namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let why = format!(
        "User \"{}\" cannot {verb} resource \"{}\" in API group \"{group}\" {place}",
        user.name,
        attributes.path()
    );
    tracing::debug!(user = user.name, verb, resource = qualified(group, attributes.resource), namespace, "forbidden");
    Err(Failure::forbidden(group, attributes.resource, attributes.name, &why))
}

#[cfg(test)]
mod tests;
