//! Requests below group versions that extension servers serve: who may, then they are passed on.

use daemon::serve::Body;
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::objects::{self, Verb};
use super::query::Query;
use super::{Rest, path};
use crate::aggregate::{Remote, proxy};
use crate::authenticate::User;
use crate::authorize;
use crate::status::Result;

impl Rest {
    pub(super) async fn elsewhere(
        &self,
        user: &User,
        remote: &Remote,
        request: Request<Incoming>,
    ) -> Result<Response<Body>> {
        // As upstream judges it: whoever may read may ask for the head alone.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        match path::parse(request.uri().path()) {
            Some(path) => {
                let query = Query::parse(request.uri().query().unwrap_or_default());
                let verb = Verb::of(method, &path, &query);
                objects::authorize_as(&self.server, user, verb, &path, &query)?;
            }
            None => {
                let verb = method.as_str().to_ascii_lowercase();
                authorize::check_path(&self.server, user, &verb, request.uri().path())?;
            }
        }
        let response = proxy::pass(&self.server, remote, user, request).await;
        Ok(response)
    }
}
