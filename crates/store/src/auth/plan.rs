//! What a command changes of users and roles: decided on the state as it is, taken by [`Auth::take`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::authpb;
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::auth_change::Change;
use proto::keelson::raft::v1::auth_command::Request;

use super::ranges::span;
use super::tokens::TokenChange;
use super::{Auth, ROOT};
use crate::refused::Refused;

/// Changes, in order, and what becomes of tokens that were given out.
#[derive(Debug, Default)]
pub struct Plan {
    pub changes: Vec<pb::AuthChange>,
    pub tokens: Vec<TokenChange>,
}

impl Plan {
    fn of(changes: Vec<Change>, revision: u64) -> Self {
        let changed = |change| pb::AuthChange { revision, change: Some(change) };
        Self { changes: changes.into_iter().map(changed).collect(), tokens: Vec::new() }
    }

    fn forget(mut self, users: impl IntoIterator<Item = String>) -> Self {
        self.tokens.extend(users.into_iter().map(TokenChange::Forget));
        self
    }
}

impl Auth {
    /// Refusals are etcd's, in etcd's order.
    pub fn plan(&self, request: &Request) -> Result<Plan, Refused> {
        match request {
            Request::Enable(_) => self.enable(),
            Request::Disable(_) => Ok(self.disable()),
            Request::UserAdd(req) => self.user_add(req),
            Request::UserDelete(req) => self.user_delete(&req.name),
            Request::UserChangePassword(req) => self.user_change_password(req),
            Request::UserGrantRole(req) => self.user_grant_role(req),
            Request::UserRevokeRole(req) => self.user_revoke_role(req),
            Request::RoleAdd(req) => self.role_add(&req.name),
            Request::RoleDelete(req) => self.role_delete(&req.role),
            Request::RoleGrantPermission(req) => self.role_grant_permission(req),
            Request::RoleRevokePermission(req) => self.role_revoke_permission(req),
        }
    }

    /// A token for a user whose password was checked; refused when something changed meanwhile.
    pub fn plan_token(&self, req: &pb::Authenticate, index: u64) -> Result<String, Refused> {
        if !self.enabled {
            return Err(Refused::AuthNotEnabled);
        }
        if self.revision != req.auth_revision {
            return Err(Refused::AuthOldRevision);
        }
        self.with_password(&req.user)?;
        Ok(format!("{}.{index}", req.token))
    }

    /// The user, if it can have a token by a password.
    pub fn with_password(&self, name: &str) -> Result<&authpb::User, Refused> {
        let user = self.user(name).ok_or(Refused::AuthFailed)?;
        if no_password(user) { Err(Refused::NoPasswordUser) } else { Ok(user) }
    }

    fn changed(&self, changes: Vec<Change>) -> Plan {
        Plan::of(changes, self.revision + 1)
    }

    fn existing(&self, name: &str) -> Result<authpb::User, Refused> {
        self.user(name).cloned().ok_or(Refused::UserNotFound)
    }

    fn enable(&self) -> Result<Plan, Refused> {
        if self.enabled {
            return Ok(Plan::default());
        }
        self.user(ROOT).ok_or(Refused::RootUserNotExist)?;
        if !self.has_role(ROOT, ROOT) {
            return Err(Refused::RootRoleNotExist);
        }
        Ok(Plan::of(vec![Change::Enabled(true)], self.revision))
    }

    fn disable(&self) -> Plan {
        if !self.enabled {
            return Plan::default();
        }
        let mut plan = self.changed(vec![Change::Enabled(false)]);
        plan.tokens.push(TokenChange::ForgetAll);
        plan
    }

    fn user_add(&self, req: &etcd::AuthUserAddRequest) -> Result<Plan, Refused> {
        if req.name.is_empty() {
            return Err(Refused::UserEmpty);
        }
        if self.user(&req.name).is_some() {
            return Err(Refused::UserAlreadyExists);
        }
        let options = req.options.unwrap_or_default();
        let password = if options.no_password { Vec::new() } else { decoded(&req.hashed_password)? };
        let name = req.name.clone().into_bytes();
        let user = authpb::User { name, password, roles: Vec::new(), options: Some(options) };
        Ok(self.changed(vec![Change::User(user)]))
    }

    fn user_delete(&self, name: &str) -> Result<Plan, Refused> {
        if self.enabled && name == ROOT {
            return Err(Refused::InvalidAuthManagement);
        }
        self.existing(name)?;
        Ok(self.changed(vec![Change::UserGone(name.to_owned())]).forget([name.to_owned()]))
    }

    fn user_change_password(&self, req: &etcd::AuthUserChangePasswordRequest) -> Result<Plan, Refused> {
        let mut user = self.existing(&req.name)?;
        if !no_password(&user) {
            user.password = decoded(&req.hashed_password)?;
        }
        Ok(self.changed(vec![Change::User(user)]).forget([req.name.clone()]))
    }

    fn user_grant_role(&self, req: &etcd::AuthUserGrantRoleRequest) -> Result<Plan, Refused> {
        let mut user = self.existing(&req.user)?;
        // The root role need not be there to be had.
        if req.role != ROOT {
            self.role(&req.role).ok_or(Refused::RoleNotFound)?;
        }
        if user.roles.contains(&req.role) {
            return Ok(Plan::default());
        }
        user.roles.push(req.role.clone());
        user.roles.sort();
        Ok(self.changed(vec![Change::User(user)]))
    }

    fn user_revoke_role(&self, req: &etcd::AuthUserRevokeRoleRequest) -> Result<Plan, Refused> {
        if self.enabled && req.name == ROOT && req.role == ROOT {
            return Err(Refused::InvalidAuthManagement);
        }
        let mut user = self.existing(&req.name)?;
        let before = user.roles.len();
        user.roles.retain(|role| *role != req.role);
        if user.roles.len() == before {
            return Err(Refused::RoleNotGranted);
        }
        Ok(self.changed(vec![Change::User(user)]))
    }

    fn role_add(&self, name: &str) -> Result<Plan, Refused> {
        if name.is_empty() {
            return Err(Refused::RoleEmpty);
        }
        if self.role(name).is_some() {
            return Err(Refused::RoleAlreadyExists);
        }
        let role = authpb::Role { name: name.as_bytes().to_vec(), key_permission: Vec::new() };
        Ok(self.changed(vec![Change::Role(role)]))
    }

    fn role_delete(&self, name: &str) -> Result<Plan, Refused> {
        if self.enabled && name == ROOT {
            return Err(Refused::InvalidAuthManagement);
        }
        self.role(name).ok_or(Refused::RoleNotFound)?;
        let mut changes = vec![Change::RoleGone(name.to_owned())];
        let mut holders = Vec::new();
        for (holder, user) in self.users().filter(|(_, user)| user.roles.iter().any(|role| role == name)) {
            let mut user = user.clone();
            user.roles.retain(|role| role != name);
            changes.push(Change::User(user));
            holders.push(holder.clone());
        }
        Ok(self.changed(changes).forget(holders))
    }

    fn role_grant_permission(&self, req: &etcd::AuthRoleGrantPermissionRequest) -> Result<Plan, Refused> {
        let wanted = req.perm.clone().ok_or(Refused::PermissionNotGiven)?;
        if !is_range(&wanted.key, &wanted.range_end) {
            return Err(Refused::InvalidAuthManagement);
        }
        let mut role = self.role(&req.name).cloned().ok_or(Refused::RoleNotFound)?;
        let same = |held: &&mut authpb::Permission| held.key == wanted.key && held.range_end == wanted.range_end;
        match role.key_permission.iter_mut().find(same) {
            Some(held) => held.perm_type = wanted.perm_type,
            None => {
                role.key_permission.push(wanted);
                role.key_permission.sort_by(|a, b| a.key.cmp(&b.key));
            }
        }
        Ok(self.changed(vec![Change::Role(role)]))
    }

    fn role_revoke_permission(&self, req: &etcd::AuthRoleRevokePermissionRequest) -> Result<Plan, Refused> {
        let mut role = self.role(&req.role).cloned().ok_or(Refused::RoleNotFound)?;
        let before = role.key_permission.len();
        role.key_permission.retain(|held| *held.key != *req.key || *held.range_end != *req.range_end);
        if role.key_permission.len() == before {
            return Err(Refused::PermissionNotGranted);
        }
        Ok(self.changed(vec![Change::Role(role)]))
    }
}

fn no_password(user: &authpb::User) -> bool {
    user.options.is_some_and(|options| options.no_password)
}

/// Hashes travel as base64, as in etcd.
fn decoded(hash: &str) -> Result<Vec<u8>, Refused> {
    STANDARD.decode(hash).map_err(|_| Refused::InvalidAuthManagement)
}

/// A key, or a range that has keys.
fn is_range(key: &[u8], range_end: &[u8]) -> bool {
    let (start, end) = span(key, range_end);
    !key.is_empty() && end.is_none_or(|end| start < end)
}
