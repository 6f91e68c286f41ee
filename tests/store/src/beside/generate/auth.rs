//! Users and roles, while they are off.

use proto::authpb::permission::Type;
use proto::authpb::{Permission, UserAddOptions};
use proto::etcdserverpb as etcd;

use super::{ENDS, Generator, STARTS};
use crate::beside::case::AuthCase;

const NAMES: &[&str] = &["ann", "bob", "ann", "none", ""];
/// root's role is never given, so that users cannot be turned on.
const ROLES: &[&str] = &["some", "other", "none", ""];

impl Generator {
    fn name(&mut self) -> String {
        self.random.pick(NAMES).to_owned()
    }

    fn role(&mut self) -> String {
        self.random.pick(ROLES).to_owned()
    }

    pub(super) fn auth_read(&mut self) -> AuthCase {
        match self.random.below(5) {
            0 => AuthCase::Status,
            1 => AuthCase::UserGet(etcd::AuthUserGetRequest { name: self.name() }),
            2 => AuthCase::UserList,
            3 => AuthCase::RoleGet(etcd::AuthRoleGetRequest { role: self.role() }),
            _ => AuthCase::RoleList,
        }
    }

    pub(super) fn auth(&mut self) -> AuthCase {
        match self.random.below(14) {
            0..2 => {
                let no_password = self.random.once_in(4);
                AuthCase::UserAdd(etcd::AuthUserAddRequest {
                    name: self.name(),
                    password: if no_password { String::new() } else { "word".to_owned() },
                    options: Some(UserAddOptions { no_password }),
                    hashed_password: String::new(),
                })
            }
            2 => AuthCase::UserDelete(etcd::AuthUserDeleteRequest { name: self.name() }),
            3 => AuthCase::UserChangePassword(etcd::AuthUserChangePasswordRequest {
                name: self.name(),
                password: "other".to_owned(),
                hashed_password: String::new(),
            }),
            4..6 => AuthCase::UserGrantRole(etcd::AuthUserGrantRoleRequest { user: self.name(), role: self.role() }),
            6 => AuthCase::UserRevokeRole(etcd::AuthUserRevokeRoleRequest { name: self.name(), role: self.role() }),
            7 => AuthCase::RoleAdd(etcd::AuthRoleAddRequest { name: self.role() }),
            8 => AuthCase::RoleDelete(etcd::AuthRoleDeleteRequest { role: self.role() }),
            9..11 => {
                let perm = Permission {
                    perm_type: self.random.pick(&[Type::Read, Type::Write, Type::Readwrite]) as i32,
                    key: self.random.pick(STARTS).to_vec(),
                    range_end: self.random.pick(ENDS).to_vec(),
                };
                let perm = Some(perm).filter(|_| !self.random.once_in(10));
                AuthCase::RoleGrantPermission(etcd::AuthRoleGrantPermissionRequest { name: self.role(), perm })
            }
            11 => AuthCase::RoleRevokePermission(etcd::AuthRoleRevokePermissionRequest {
                role: self.role(),
                key: self.random.bytes(STARTS),
                range_end: self.random.bytes(ENDS),
            }),
            12 => {
                if self.random.coin() {
                    AuthCase::Enable
                } else {
                    AuthCase::Disable
                }
            }
            _ => AuthCase::Authenticate(etcd::AuthenticateRequest { name: self.name(), password: "word".to_owned() }),
        }
    }
}
