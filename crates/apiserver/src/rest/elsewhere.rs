//! Requests below group versions that extension servers serve: who may, then they are passed on.

use daemon::serve::Body;
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::query::Query;
use super::respond::Streams;
use super::verb::Verb;
use super::{Rest, objects, path};
use crate::aggregate::{Remote, proxy};
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::fairness::{Seat, Work};
use crate::passage::Passage;
use crate::status::Result;

impl Rest {
    pub(super) async fn elsewhere(
        &self,
        user: &User,
        remote: &Remote,
        request: Request<Incoming>,
        passage: &Passage,
    ) -> Result<Response<Body>> {
        // As upstream judges it: whoever may read may ask for the head alone.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let seat = match path::parse(request.uri().path()) {
            Some(path) => {
                let verb = Verb::of(method, &path, &query);
                let selected = objects::selected(verb, &query);
                let attributes = objects::attributes(verb, &path, &query, &selected);
                self.may_pass(user, &attributes, passage).await?
            }
            None => {
                let verb = method.as_str().to_ascii_lowercase();
                let attributes = Attributes { verb: &verb, path: request.uri().path(), ..Attributes::default() };
                self.may_pass(user, &attributes, passage).await?
            }
        };
        drop(query);
        let mut response = proxy::pass(&self.server, remote, user, request).await;
        drop(seat);
        response.extensions_mut().insert(Streams);
        Ok(response)
    }

    async fn may_pass(&self, user: &User, attributes: &Attributes<'_>, passage: &Passage) -> Result<Seat> {
        let seat = passage.enter(&self.server, user, attributes, Work::Small).await?;
        authorize::check(&self.server, user, attributes)?;
        Ok(seat)
    }
}
