//! What a client shows with a call: a token in the metadata, or the name in its certificate.

use daemon::tls::Peer;
use http::{Extensions, HeaderMap};
use tonic::Request;

use crate::ask::Credentials;

/// etcd's names for it.
const TOKEN_FIELDS: [&str; 2] = ["token", "authorization"];

pub fn credentials<T>(request: &Request<T>) -> Credentials {
    from_parts(request.metadata().as_ref(), request.extensions())
}

pub fn from_parts(headers: &HeaderMap, extensions: &Extensions) -> Credentials {
    let token = TOKEN_FIELDS.iter().find_map(|field| headers.get(*field));
    Credentials {
        token: token.and_then(|token| token.to_str().ok()).map(str::to_owned),
        common_name: extensions.get::<Peer>().map(|peer| peer.common_name.clone()),
    }
}
