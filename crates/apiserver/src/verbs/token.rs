//! Tokens for service accounts: bound to an object, limited to audiences and a time.

use proto::authentication::v1::{TokenRequest, TokenRequestStatus};

use super::decode::{self, Body};
use super::options::WriteOptions;
use super::{Target, get};
use crate::admit::node_restriction;
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::admit::plugins::Plugin;
use crate::authenticate::User;
use crate::authenticate::token::{Bound, Grant};
use crate::registry::Versioned;
use crate::server::Server;
use crate::status::{Failure, Result, cause};

const SECONDS_DEFAULT: i64 = 3600;
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;

/// Issues the token that the TokenRequest in `body` asks for.
pub async fn request(
    server: &Server,
    user: &User,
    target: &Target,
    body: Body<'_>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    target.require_name()?;
    let kind = <TokenRequest as proto::Object>::kind_info();
    let object = decode::object(kind, body, options.field_validation, warnings)?;
    let said = Options::Write("CreateOptions", options);
    let asking = Asking { server, user, target, operation: Operation::Create, options: said };
    let mut object = asking.admit(object, None, 0, warnings).await?;
    let request = object.downcast_mut::<TokenRequest>().ok_or_else(Failure::no_resource)?;
    if server.runs(Plugin::NodeRestriction) {
        node_restriction::on_token(user, target, request)?;
    }
    let asked = request.clone();
    let seconds = request.spec.expiration_seconds.unwrap_or(SECONDS_DEFAULT);
    check(&target.name, seconds)?;
    if request.spec.audiences.is_empty() {
        request.spec.audiences = server.tokens.audiences().to_vec();
    }
    let account = get::newest(server, target).await?;
    let account = target.resource.decode(&account.bytes)?;
    let bound = match &request.spec.bound_object_ref {
        Some(reference) => Some(bound(server, user, target, &asked, reference).await?),
        None => None,
    };
    let grant = Grant {
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        uid: account.metadata().uid.clone(),
        audiences: request.spec.audiences.clone(),
        seconds,
        bound,
    };
    let now = server.now();
    let token = server.tokens.issue(&grant, now.seconds)?;
    request.metadata.name.clone_from(&target.name);
    request.metadata.namespace.clone_from(&target.namespace);
    request.metadata.creation_timestamp = now;
    request.spec.expiration_seconds = Some(seconds);
    request.status =
        TokenRequestStatus { token, expiration_timestamp: proto::meta::v1::Time::from_unix(now.seconds + seconds) };
    Ok(Versioned::of(object.as_ref(), 0))
}

fn check(name: &str, seconds: i64) -> Result<()> {
    let why = match seconds {
        ..SECONDS_MIN => "may not specify a duration less than 10 minutes",
        SECONDS_MIN..=SECONDS_MAX => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let message = format!("Invalid value: {seconds}: {why}");
    let causes = vec![cause("FieldValueInvalid", "spec.expirationSeconds", message)];
    Err(Failure::invalid("authentication.k8s.io", "TokenRequest", name, causes))
}

/// Looks up what the token is to be bound to.
async fn bound(
    server: &Server,
    user: &User,
    target: &Target,
    request: &TokenRequest,
    reference: &proto::authentication::v1::BoundObjectReference,
) -> Result<Bound> {
    let (plural, namespace) = match (reference.api_version.as_str(), reference.kind.as_str()) {
        ("v1" | "", "Pod") => ("pods", target.namespace.as_str()),
        ("v1" | "", "Secret") => ("secrets", target.namespace.as_str()),
        ("v1" | "", "Node") => ("nodes", ""),
        (version, kind) => {
            return Err(Failure::bad_request(format!(
                "cannot bind token for serviceaccount to object {version} {kind}"
            )));
        }
    };
    let resource = server.registry.core(plural)?;
    let place = Target {
        resource: resource.clone(),
        namespace: namespace.to_owned(),
        name: reference.name.clone(),
        subresource: String::new(),
    };
    let object = get::newest(server, &place).await?;
    let object = resource.decode(&object.bytes)?;
    let uid = &object.metadata().uid;
    if !reference.u_id.is_empty() && reference.u_id != *uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            reference.u_id
        );
        return Err(resource.conflict(&reference.name, &why));
    }
    let pod = object.downcast_ref::<proto::core::v1::Pod>();
    if let Some(pod) = pod
        && server.runs(Plugin::NodeRestriction)
    {
        node_restriction::on_token_of(user, target, request, pod)?;
    }
    let node = pod.map(|pod| pod.spec.node_name.clone());
    Ok(Bound {
        kind: reference.kind.clone(),
        name: reference.name.clone(),
        uid: uid.clone(),
        node: node.unwrap_or_default(),
    })
}
