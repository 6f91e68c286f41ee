//! `keelson.api.v1.Auth`.

use proto::keelson::api::v1::auth_server::Auth;
use proto::keelson::api::v1::{
    ReviewAccessRequest, ReviewAccessResponse, ReviewTokenRequest, ReviewTokenResponse, StringList, UserInfo,
    WhoAmIRequest,
};
use tonic::{Request, Response, Status};

use super::{Grpc, status};
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::verbs::review;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Auth for Grpc {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Answer<UserInfo> {
        let user = self.user(request.metadata(), request.extensions()).await.map_err(status::of)?;
        Ok(Response::new(info(user)))
    }

    async fn review_access(&self, request: Request<ReviewAccessRequest>) -> Answer<ReviewAccessResponse> {
        let user = self.user(request.metadata(), request.extensions()).await.map_err(status::of)?;
        let asked = request.get_ref();
        let attributes = Attributes {
            verb: &asked.verb,
            group: &asked.group,
            resource: &asked.resource,
            subresource: &asked.subresource,
            namespace: &asked.namespace,
            name: &asked.name,
            ..Attributes::default()
        };
        let verdict = authorize::judge(&self.server, &user, &attributes);
        Ok(Response::new(ReviewAccessResponse { allowed: verdict.allowed, reason: verdict.reason() }))
    }

    async fn review_token(&self, request: Request<ReviewTokenRequest>) -> Answer<ReviewTokenResponse> {
        let user = self.user(request.metadata(), request.extensions()).await.map_err(status::of)?;
        let attributes = Attributes {
            verb: "create",
            group: "authentication.k8s.io",
            resource: "tokenreviews",
            ..Attributes::default()
        };
        authorize::check(&self.server, &user, &attributes).map_err(status::of)?;
        let asked = request.into_inner();
        Ok(Response::new(match review::token(&self.server, &asked.token, &asked.audiences).await {
            Ok((user, audiences)) => {
                ReviewTokenResponse { authenticated: true, user: Some(info(user)), audiences, error: String::new() }
            }
            Err(error) => ReviewTokenResponse { error, ..Default::default() },
        }))
    }
}

fn info(user: User) -> UserInfo {
    let extra = user.extra.into_iter().map(|(key, items)| (key, StringList { items })).collect();
    UserInfo { username: user.name, uid: user.uid, groups: user.groups, extra }
}
