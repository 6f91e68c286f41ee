//! Who calls: whom a front proxy names, a client certificate, or a service account's token.

pub mod front_proxy;
pub mod impersonate;
pub mod keys;
pub mod strip;
pub mod token;

use std::collections::BTreeMap;

use daemon::tls::{FrontProxy, Peer};
use http::{Extensions, HeaderMap};
use proto::core::v1::{Node, Pod, Secret, ServiceAccount};

use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::Target;
use token::Claims;

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";

/// A caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// `system:node:n1`, `kubernetes-admin`, `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    /// Where it is known.
    pub uid: String,
    /// What it belongs to.
    pub groups: Vec<String>,
    /// What else its credential says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The user that a certificate names.
    pub fn of_peer(peer: &Peer) -> Self {
        let mut groups = peer.organizations.clone();
        groups.push(AUTHENTICATED.to_owned());
        Self { name: peer.common_name.clone(), groups, ..Self::default() }
    }

    /// Who shows no credential.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// True for a member of the group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|other| other == group)
    }

    /// The name of the node that this is, where it is one.
    pub fn node(&self) -> Option<&str> {
        self.name.strip_prefix("system:node:").filter(|_| self.is_in("system:nodes"))
    }
}

/// Tells who calls. Whom a front proxy names counts first, then a token, then a certificate; without any of them it is
/// nobody, or the anonymous user where the server takes such callers. `extensions` and `headers` are the request's.
pub async fn authenticate(
    server: &Server,
    extensions: &Extensions,
    headers: &HeaderMap,
    authorization: Option<&str>,
) -> Result<User> {
    if let Some(proxy) = extensions.get::<FrontProxy>()
        && let Some(user) = server.fronts.user(proxy, headers)
    {
        return Ok(user);
    }
    if let Some(token) = authorization.and_then(bearer) {
        let claims = server.tokens.verify(token, server.tokens.audiences(), server.now().seconds)?;
        return of_claims(server, &claims).await;
    }
    match extensions.get::<Peer>() {
        Some(peer) => Ok(User::of_peer(peer)),
        None if server.anonymous => Ok(User::anonymous()),
        None => Err(Failure::unauthorized()),
    }
}

/// The user of a verified token, whose account and bound object must still be there.
pub async fn of_claims(server: &Server, claims: &Claims) -> Result<User> {
    let identity = &claims.kubernetes;
    let namespace = &identity.namespace;
    let (name, uid) = (&identity.serviceaccount.name, &identity.serviceaccount.uid);
    let account: ServiceAccount = live(server, "serviceaccounts", namespace, name).await?;
    if account.metadata.uid != *uid {
        return Err(Failure::unauthorized());
    }
    let mut extra = BTreeMap::new();
    let key = |name: &str| format!("authentication.kubernetes.io/{name}");
    extra.insert(key("credential-id"), vec![format!("JTI={}", claims.jti)]);
    if let Some(bound) = &identity.pod {
        let pod: Pod = live(server, "pods", namespace, &bound.name).await?;
        if pod.metadata.uid != bound.uid {
            return Err(Failure::unauthorized());
        }
        extra.insert(key("pod-name"), vec![bound.name.clone()]);
        extra.insert(key("pod-uid"), vec![bound.uid.clone()]);
    }
    if let Some(bound) = &identity.secret {
        let secret: Secret = live(server, "secrets", namespace, &bound.name).await?;
        if secret.metadata.uid != bound.uid {
            return Err(Failure::unauthorized());
        }
    }
    if let Some(node) = &identity.node {
        // The node of a pod is told without its uid: such a token ends with the pod.
        if !node.uid.is_empty() {
            let found: Node = live(server, "nodes", "", &node.name).await?;
            if found.metadata.uid != node.uid {
                return Err(Failure::unauthorized());
            }
            extra.insert(key("node-uid"), vec![node.uid.clone()]);
        }
        extra.insert(key("node-name"), vec![node.name.clone()]);
    }
    let groups = vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        AUTHENTICATED.to_owned(),
    ];
    Ok(User { name: format!("system:serviceaccount:{namespace}:{name}"), uid: uid.clone(), groups, extra })
}

/// The object, from the cache where it is there, else from the store.
async fn live<T: proto::Object>(server: &Server, plural: &str, namespace: &str, name: &str) -> Result<T> {
    let resource = server.registry.core(plural)?;
    if let Some(entry) = resource.cache.get(&resource.key(namespace, name)) {
        return T::decode(entry.bytes.clone()).map_err(Failure::internal);
    }
    let target = Target {
        resource: resource.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
    };
    match crate::verbs::get::newest(server, &target).await {
        Ok(object) => object.read(),
        Err(failure) if failure.is_not_found() => Err(Failure::unauthorized()),
        Err(failure) => Err(failure),
    }
}

/// `%2f` stands for what cannot be in a header's name. What is no escape stays.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(b'%'));
        rest = &rest[at + if code.is_some() { 3 } else { 1 }..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_user_and_groups() {
        let peer = Peer { common_name: "system:node:n1".into(), organizations: vec!["system:nodes".into()] };
        let user = User::of_peer(&peer);
        assert_eq!(user.node(), Some("n1"));
        assert!(user.is_in("system:authenticated"));
        let impostor = Peer { common_name: "system:node:n1".into(), organizations: vec![] };
        assert_eq!(User::of_peer(&impostor).node(), None);
    }

    #[test]
    fn only_bearer_headers_carry_tokens() {
        assert_eq!(bearer("Bearer t0k"), Some("t0k"));
        assert_eq!(bearer("bearer t0k"), Some("t0k"));
        assert_eq!(bearer("Basic t0k"), None);
    }
}
