//! etcdserverpb.Auth: users, roles, tokens. What changes them goes through the log; what shows them is read.

use std::sync::Arc;

use proto::authpb;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_server::Auth;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::auth_command::Request as Change;
use proto::keelson::raft::v1::command::Request as Proposed;
use tonic::{Request, Response, Status};

use super::credentials::credentials;
use super::kv::unexpected;
use crate::auth::{ROOT, Who};
use crate::member::Member;
use crate::refused::Refused;
use crate::reply::Answer;
use crate::shared::Held;

pub struct AuthService {
    pub member: Arc<Member>,
}

type Header = Option<etcd::ResponseHeader>;

impl AuthService {
    fn header(&self) -> Header {
        Some(self.member.header(self.member.shared.revision()))
    }

    async fn change<T>(&self, req: &Request<T>, change: Change) -> Result<Header, Status> {
        let by = credentials(req);
        let command = Proposed::Auth(pb::AuthCommand { request: Some(change) });
        match self.member.asked(&by).propose(command).await? {
            Answer::Done => Ok(self.header()),
            _ => Err(unexpected()),
        }
    }

    async fn show<T, R>(
        &self,
        req: &Request<T>,
        show: impl Fn(&T, Who<'_>, &Held) -> Result<R, Refused>,
    ) -> Result<R, Status> {
        let by = credentials(req);
        self.member.linearize().await?;
        Ok(self.member.asked(&by).look(|who, held| show(req.get_ref(), who, held)).await?)
    }

    /// Nobody but an admin has a password hashed: it is work.
    async fn check_admin<T>(&self, req: &Request<T>) -> Result<(), Status> {
        let by = credentials(req);
        Ok(self.member.asked(&by).look(|who, held| held.state.auth.check_admin(who)).await?)
    }

    async fn hashed(&self, password: String) -> Result<String, Status> {
        Ok(self.member.asked(crate::ask::Credentials::NOBODY).hashed(password).await?)
    }
}

#[tonic::async_trait]
impl Auth for AuthService {
    async fn auth_status(
        &self,
        req: Request<etcd::AuthStatusRequest>,
    ) -> Result<Response<etcd::AuthStatusResponse>, Status> {
        let show = |_: &_, who: Who<'_>, held: &Held| {
            let auth = &held.state.auth;
            auth.check_admin(who)?;
            Ok((auth.enabled(), auth.revision()))
        };
        let (enabled, auth_revision) = self.show(&req, show).await?;
        Ok(Response::new(etcd::AuthStatusResponse { header: self.header(), enabled, auth_revision }))
    }

    async fn authenticate(
        &self,
        req: Request<etcd::AuthenticateRequest>,
    ) -> Result<Response<etcd::AuthenticateResponse>, Status> {
        let by = credentials(&req);
        let token = self.member.asked(&by).authenticate(req.into_inner()).await?;
        Ok(Response::new(etcd::AuthenticateResponse { header: self.header(), token }))
    }

    async fn user_add(
        &self,
        mut req: Request<etcd::AuthUserAddRequest>,
    ) -> Result<Response<etcd::AuthUserAddResponse>, Status> {
        self.check_admin(&req).await?;
        let add = req.get_mut();
        let password = std::mem::take(&mut add.password);
        add.hashed_password.clear();
        if !add.options.is_some_and(|options| options.no_password) {
            req.get_mut().hashed_password = self.hashed(password).await?;
        }
        let change = Change::UserAdd(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthUserAddResponse { header }))
    }

    async fn user_change_password(
        &self,
        mut req: Request<etcd::AuthUserChangePasswordRequest>,
    ) -> Result<Response<etcd::AuthUserChangePasswordResponse>, Status> {
        self.check_admin(&req).await?;
        let password = std::mem::take(&mut req.get_mut().password);
        req.get_mut().hashed_password = self.hashed(password).await?;
        let change = Change::UserChangePassword(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthUserChangePasswordResponse { header }))
    }

    async fn user_get(
        &self,
        req: Request<etcd::AuthUserGetRequest>,
    ) -> Result<Response<etcd::AuthUserGetResponse>, Status> {
        let show = |req: &etcd::AuthUserGetRequest, who: Who<'_>, held: &Held| {
            held.state.auth.check_look_at_user(who, &req.name)?;
            Ok(held.state.auth.user(&req.name).ok_or(Refused::UserNotFound)?.roles.clone())
        };
        let roles = self.show(&req, show).await?;
        Ok(Response::new(etcd::AuthUserGetResponse { header: self.header(), roles }))
    }

    async fn user_list(
        &self,
        req: Request<etcd::AuthUserListRequest>,
    ) -> Result<Response<etcd::AuthUserListResponse>, Status> {
        let show = |_: &_, who: Who<'_>, held: &Held| {
            held.state.auth.check_admin(who)?;
            Ok(held.state.auth.users().map(|(name, _)| name.clone()).collect())
        };
        let users = self.show(&req, show).await?;
        Ok(Response::new(etcd::AuthUserListResponse { header: self.header(), users }))
    }

    async fn role_get(
        &self,
        req: Request<etcd::AuthRoleGetRequest>,
    ) -> Result<Response<etcd::AuthRoleGetResponse>, Status> {
        let show = |req: &etcd::AuthRoleGetRequest, who: Who<'_>, held: &Held| {
            held.state.auth.check_look_at_role(who, &req.role)?;
            let role = held.state.auth.role(&req.role).ok_or(Refused::RoleNotFound)?;
            Ok(if req.role == ROOT { vec![everything()] } else { role.key_permission.clone() })
        };
        let perm = self.show(&req, show).await?;
        Ok(Response::new(etcd::AuthRoleGetResponse { header: self.header(), perm }))
    }

    async fn role_list(
        &self,
        req: Request<etcd::AuthRoleListRequest>,
    ) -> Result<Response<etcd::AuthRoleListResponse>, Status> {
        let show = |_: &_, who: Who<'_>, held: &Held| {
            held.state.auth.check_admin(who)?;
            Ok(held.state.auth.roles().map(|(name, _)| name.clone()).collect())
        };
        let roles = self.show(&req, show).await?;
        Ok(Response::new(etcd::AuthRoleListResponse { header: self.header(), roles }))
    }

    async fn auth_enable(
        &self,
        req: Request<etcd::AuthEnableRequest>,
    ) -> Result<Response<etcd::AuthEnableResponse>, Status> {
        let change = Change::Enable(*req.get_ref());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthEnableResponse { header }))
    }

    async fn auth_disable(
        &self,
        req: Request<etcd::AuthDisableRequest>,
    ) -> Result<Response<etcd::AuthDisableResponse>, Status> {
        let change = Change::Disable(*req.get_ref());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthDisableResponse { header }))
    }

    async fn user_delete(
        &self,
        req: Request<etcd::AuthUserDeleteRequest>,
    ) -> Result<Response<etcd::AuthUserDeleteResponse>, Status> {
        let change = Change::UserDelete(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthUserDeleteResponse { header }))
    }

    async fn user_grant_role(
        &self,
        req: Request<etcd::AuthUserGrantRoleRequest>,
    ) -> Result<Response<etcd::AuthUserGrantRoleResponse>, Status> {
        let change = Change::UserGrantRole(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthUserGrantRoleResponse { header }))
    }

    async fn user_revoke_role(
        &self,
        req: Request<etcd::AuthUserRevokeRoleRequest>,
    ) -> Result<Response<etcd::AuthUserRevokeRoleResponse>, Status> {
        let change = Change::UserRevokeRole(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthUserRevokeRoleResponse { header }))
    }

    async fn role_add(
        &self,
        req: Request<etcd::AuthRoleAddRequest>,
    ) -> Result<Response<etcd::AuthRoleAddResponse>, Status> {
        let change = Change::RoleAdd(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthRoleAddResponse { header }))
    }

    async fn role_delete(
        &self,
        req: Request<etcd::AuthRoleDeleteRequest>,
    ) -> Result<Response<etcd::AuthRoleDeleteResponse>, Status> {
        let change = Change::RoleDelete(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthRoleDeleteResponse { header }))
    }

    async fn role_grant_permission(
        &self,
        req: Request<etcd::AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<etcd::AuthRoleGrantPermissionResponse>, Status> {
        let change = Change::RoleGrantPermission(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthRoleGrantPermissionResponse { header }))
    }

    async fn role_revoke_permission(
        &self,
        req: Request<etcd::AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<etcd::AuthRoleRevokePermissionResponse>, Status> {
        let change = Change::RoleRevokePermission(req.get_ref().clone());
        let header = self.change(&req, change).await?;
        Ok(Response::new(etcd::AuthRoleRevokePermissionResponse { header }))
    }
}

/// What the root role may do, as etcd tells it.
fn everything() -> authpb::Permission {
    let mut permission = authpb::Permission { key: Vec::new(), range_end: vec![0], ..Default::default() };
    permission.set_perm_type(authpb::permission::Type::Readwrite);
    permission
}
