//! etcdserverpb.Auth: authentication by users and roles is off and cannot be turned on yet; everything else answers as
//! etcd does while it is off.

use std::sync::Arc;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_server::Auth;
use tonic::{Request, Response, Status};

use crate::member::Member;
use crate::refused::Refused;

pub struct AuthService {
    pub member: Arc<Member>,
}

macro_rules! unbuilt {
    ($($name:ident($req:ident) -> $rsp:ident;)*) => {
        #[tonic::async_trait]
        impl Auth for AuthService {
            $(async fn $name(&self, _req: Request<etcd::$req>) -> Result<Response<etcd::$rsp>, Status> {
                Err(Status::unimplemented("keelson-store: users and roles are not built yet; use client certificates"))
            })*

            async fn auth_disable(
                &self,
                _req: Request<etcd::AuthDisableRequest>,
            ) -> Result<Response<etcd::AuthDisableResponse>, Status> {
                let header = Some(self.member.header(self.member.shared.revision()));
                Ok(Response::new(etcd::AuthDisableResponse { header }))
            }

            async fn auth_status(
                &self,
                _req: Request<etcd::AuthStatusRequest>,
            ) -> Result<Response<etcd::AuthStatusResponse>, Status> {
                let header = Some(self.member.header(self.member.shared.revision()));
                Ok(Response::new(etcd::AuthStatusResponse { header, enabled: false, auth_revision: 1 }))
            }

            async fn authenticate(
                &self,
                _req: Request<etcd::AuthenticateRequest>,
            ) -> Result<Response<etcd::AuthenticateResponse>, Status> {
                Err(Refused::AuthNotEnabled.into())
            }
        }
    };
}

unbuilt! {
    auth_enable(AuthEnableRequest) -> AuthEnableResponse;
    user_add(AuthUserAddRequest) -> AuthUserAddResponse;
    user_get(AuthUserGetRequest) -> AuthUserGetResponse;
    user_list(AuthUserListRequest) -> AuthUserListResponse;
    user_delete(AuthUserDeleteRequest) -> AuthUserDeleteResponse;
    user_change_password(AuthUserChangePasswordRequest) -> AuthUserChangePasswordResponse;
    user_grant_role(AuthUserGrantRoleRequest) -> AuthUserGrantRoleResponse;
    user_revoke_role(AuthUserRevokeRoleRequest) -> AuthUserRevokeRoleResponse;
    role_add(AuthRoleAddRequest) -> AuthRoleAddResponse;
    role_get(AuthRoleGetRequest) -> AuthRoleGetResponse;
    role_list(AuthRoleListRequest) -> AuthRoleListResponse;
    role_delete(AuthRoleDeleteRequest) -> AuthRoleDeleteResponse;
    role_grant_permission(AuthRoleGrantPermissionRequest) -> AuthRoleGrantPermissionResponse;
    role_revoke_permission(AuthRoleRevokePermissionRequest) -> AuthRoleRevokePermissionResponse;
}
