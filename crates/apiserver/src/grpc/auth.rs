//! `keelson.api.v1.Auth`.

use proto::keelson::api::v1::auth_server::Auth;
use proto::keelson::api::v1::{
    ReviewAccessRequest, ReviewAccessResponse, ReviewTokenRequest, ReviewTokenResponse, StringList, UserInfo,
    WhoAmIRequest,
};
use tonic::{Request, Response, Status};

use super::{Grpc, status};
use crate::authenticate::{User, of_claims};
use crate::authorize::{self, Attributes};

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
        };
        let verdict = authorize::judge(&user, &attributes);
        Ok(Response::new(ReviewAccessResponse { allowed: verdict.allowed, reason: verdict.reason }))
    }

    async fn review_token(&self, request: Request<ReviewTokenRequest>) -> Answer<ReviewTokenResponse> {
        let user = self.user(request.metadata(), request.extensions()).await.map_err(status::of)?;
        let attributes = Attributes {
            verb: "create",
            group: "authentication.k8s.io",
            resource: "tokenreviews",
            ..Attributes::default()
        };
        if user.node().is_none() {
            authorize::check(&user, &attributes).map_err(status::of)?;
        }
        let asked = request.into_inner();
        let tokens = &self.server.tokens;
        let audiences = if asked.audiences.is_empty() { tokens.audiences().to_vec() } else { asked.audiences };
        let claims = tokens.verify(&asked.token, &audiences, self.server.now().seconds);
        let outcome = match claims {
            Ok(claims) => of_claims(&self.server, &claims).await.map(|user| (user, claims.aud)),
            Err(failure) => Err(failure),
        };
        Ok(Response::new(match outcome {
            Ok((user, granted)) => ReviewTokenResponse {
                authenticated: true,
                user: Some(info(user)),
                audiences: granted.into_iter().filter(|audience| audiences.contains(audience)).collect(),
                error: String::new(),
            },
            Err(failure) => {
                ReviewTokenResponse { error: format!("invalid bearer token: {failure}"), ..Default::default() }
            }
        }))
    }
}

fn info(user: User) -> UserInfo {
    let extra = user.extra.into_iter().map(|(key, items)| (key, StringList { items })).collect();
    UserInfo { username: user.name, uid: user.uid, groups: user.groups, extra }
}
