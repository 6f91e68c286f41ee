//! Users, roles and what they may touch: etcd's authentication.
//!
//! The state ([`Auth`]) is replicated and pure: [`plan`] decides what a command changes, [`check`] who may do what, both as
//! functions of the log. [`tokens`] and [`jwt`] know callers again and belong to one member; [`login`] is what the flags
//! chose of all that. Passwords are hashed ([`password`]) before they enter the log.

pub mod check;
pub mod jwt;
pub mod login;
pub mod password;
pub mod plan;
pub mod ranges;
pub mod tokens;

use std::collections::BTreeMap;

use proto::authpb;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::auth_change::Change;

use ranges::{Ranges, span};

/// The user and the role without which users cannot be turned on; the role may do everything.
pub const ROOT: &str = "root";

/// Who asks, as the log has it; none is somebody who did not say.
pub type Who<'a> = Option<&'a pb::Caller>;

/// All that is replicated of users and roles.
#[derive(Clone, Debug)]
pub struct Auth {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, authpb::User>,
    roles: BTreeMap<String, authpb::Role>,
    /// What each user may touch, worked out from the roles.
    granted: BTreeMap<String, Granted>,
}

#[derive(Clone, Debug, Default)]
struct Granted {
    read: Ranges,
    write: Ranges,
}

impl Default for Auth {
    fn default() -> Self {
        // etcd's first revision.
        let revision = 1;
        Self { enabled: false, revision, users: BTreeMap::new(), roles: BTreeMap::new(), granted: BTreeMap::new() }
    }
}

impl Auth {
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Moves with every change, so that what was decided before one can be told.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn user(&self, name: &str) -> Option<&authpb::User> {
        self.users.get(name)
    }

    pub fn role(&self, name: &str) -> Option<&authpb::Role> {
        self.roles.get(name)
    }

    /// In order of names.
    pub fn users(&self) -> impl Iterator<Item = (&String, &authpb::User)> {
        self.users.iter()
    }

    /// In order of names.
    pub fn roles(&self) -> impl Iterator<Item = (&String, &authpb::Role)> {
        self.roles.iter()
    }

    /// Takes a change; it comes from [`plan`], here or read back.
    pub fn take(&mut self, change: pb::AuthChange) {
        self.revision = change.revision;
        match change.change {
            Some(Change::Enabled(enabled)) => self.enabled = enabled,
            Some(Change::User(user)) => {
                let name = text(&user.name);
                self.users.insert(name.clone(), user);
                self.work_out(name);
            }
            Some(Change::UserGone(name)) => {
                self.users.remove(&name);
                self.granted.remove(&name);
            }
            Some(Change::Role(role)) => {
                let name = text(&role.name);
                self.roles.insert(name.clone(), role);
                self.work_out_role(&name);
            }
            Some(Change::RoleGone(name)) => {
                self.roles.remove(&name);
                self.work_out_role(&name);
            }
            None => {}
        }
    }

    /// Everything, for a checkpoint.
    pub fn to_wire(&self) -> pb::AuthState {
        pb::AuthState {
            enabled: self.enabled,
            revision: self.revision,
            users: self.users.values().cloned().collect(),
            roles: self.roles.values().cloned().collect(),
        }
    }

    /// As a checkpoint has it; none in one that was written before there were users.
    pub fn from_wire(state: Option<pb::AuthState>) -> Self {
        let Some(state) = state else { return Self::default() };
        let mut auth = Self {
            enabled: state.enabled,
            revision: state.revision,
            users: state.users.into_iter().map(|user| (text(&user.name), user)).collect(),
            roles: state.roles.into_iter().map(|role| (text(&role.name), role)).collect(),
            granted: BTreeMap::new(),
        };
        let names: Vec<String> = auth.users.keys().cloned().collect();
        names.into_iter().for_each(|name| auth.work_out(name));
        auth
    }

    fn has_role(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.iter().any(|held| held == role))
    }

    fn work_out_role(&mut self, role: &str) {
        let holders = self.users.iter().filter(|(_, user)| user.roles.iter().any(|held| held == role));
        let names: Vec<String> = holders.map(|(name, _)| name.clone()).collect();
        names.into_iter().for_each(|name| self.work_out(name));
    }

    fn work_out(&mut self, name: String) {
        use authpb::permission::Type;
        let roles = self.users.get(&name).map(|user| user.roles.as_slice()).unwrap_or_default();
        let (mut read, mut write) = (Vec::new(), Vec::new());
        for permission in roles.iter().filter_map(|role| self.roles.get(role)).flat_map(|role| &role.key_permission) {
            let span = span(&permission.key, &permission.range_end);
            if permission.perm_type() != Type::Write {
                read.push(span.clone());
            }
            if permission.perm_type() != Type::Read {
                write.push(span);
            }
        }
        self.granted.insert(name, Granted { read: Ranges::new(read), write: Ranges::new(write) });
    }
}

/// Names are text in requests and bytes in etcd's files.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
