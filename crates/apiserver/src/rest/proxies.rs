//! Requests that go through a pod, a Service or a node: who may, then `proxied`.

use daemon::serve::Body;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use proto::keelson::api::v1::ResourceRef;

use super::path::ResourcePath;
use super::query::Query;
use super::respond::Streams;
use super::{Rest, respond};
use crate::admit::others::connect;
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::passage::Passage;
use crate::proxied::{self, place, place::Kind};
use crate::status::{Failure, Result};

/// What a path goes through, and the kind's row.
pub fn of(path: &ResourcePath) -> Option<Kind> {
    if !path.group.is_empty() || path.version != "v1" || path.subresource != "proxy" {
        return None;
    }
    Some(match path.resource.as_str() {
        "pods" => Kind::Pod,
        "services" => Kind::Service,
        "nodes" => Kind::Node,
        _ => return None,
    })
}

/// The verb that a method means; one that means none is nothing that rules could name but by `*`.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// What follows `proxy` in a path, as it was sent.
fn passed_on<'a>(whole: &'a str, path: &ResourcePath) -> &'a str {
    // /api/v1/nodes/NAME/proxy, /api/v1/namespaces/NAMESPACE/pods/NAME/proxy
    let parts = if path.namespace.is_empty() { 5 } else { 7 };
    let at = whole.match_indices('/').nth(parts).map_or(whole.len(), |(at, _)| at);
    &whole[at..]
}

impl Rest {
    pub(super) async fn proxy(
        &self,
        user: &User,
        kind: Kind,
        path: ResourcePath,
        request: Request<Incoming>,
        passage: &Passage,
    ) -> Result<Response<Body>> {
        let ResourcePath { namespace, name, resource, subresource, .. } = &path;
        let named = ResourceRef {
            version: "v1".to_owned(),
            resource: resource.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            subresource: subresource.clone(),
            ..ResourceRef::default()
        };
        let seen = self.server.metrics.begin(&self.server.registry, "CONNECT", Some(&named), false);
        let outcome = async {
            let verb = verb(request.method());
            let attributes = Attributes { verb, resource, subresource, namespace, name, ..Attributes::default() };
            passage.note(&self.server, user, &attributes);
            passage.add(|draft| draft.version("v1"));
            authorize::check(&self.server, user, &attributes)?;
            if namespace.is_empty() != (kind == Kind::Node) {
                return Err(Failure::no_resource());
            }
            let whole = request.uri().path().to_owned();
            let given = match passed_on(&whole, &path) {
                // As upstream: without a path of its own, the request may name one in the query.
                "" => Query::parse(request.uri().query().unwrap_or_default()).text("path").to_owned(),
                rest => rest.to_owned(),
            };
            let given = if given.is_empty() || given.starts_with('/') { given } else { format!("/{given}") };
            let mut warnings = Vec::new();
            connect::through(&self.server, user, (resource, namespace, name), &given, &mut warnings).await?;
            let to = place::find(&self.server, kind, namespace, name).await?;
            let mut response = proxied::pass(&self.server, &to, request, &given).await?;
            respond::warn(response.headers_mut(), &warnings);
            response.extensions_mut().insert(Streams);
            Ok(response)
        }
        .await;
        seen.ended(outcome.as_ref().map_or_else(Failure::code, |response| i32::from(response.status().as_u16())));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::path;
    use super::*;

    #[test]
    fn what_is_passed_on_keeps_its_escapes() {
        for (whole, expect) in [
            ("/api/v1/namespaces/a/pods/p/proxy", ""),
            ("/api/v1/namespaces/a/pods/p/proxy/", "/"),
            ("/api/v1/namespaces/a/services/https:s:1/proxy/x%2Fy//z/", "/x%2Fy//z/"),
            ("/api/v1/nodes/n/proxy/pods", "/pods"),
        ] {
            let path = path::parse(whole).expect("a resource");
            assert!(of(&path).is_some(), "{whole}");
            assert_eq!(passed_on(whole, &path), expect, "{whole}");
        }
        assert_eq!(of(&path::parse("/api/v1/nodes/n/status").expect("a resource")), None);
    }
}
