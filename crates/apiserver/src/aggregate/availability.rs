//! Asks extension servers whether they are there, and what they serve.
//!
//! Each round looks at every APIService that others serve: the Service and its endpoints first, then their own discovery.
//! What is found becomes the condition `Available` and the group versions that this server tells.

use std::sync::Arc;
use std::time::Duration;

use daemon::serve::Body;
use futures::future::join_all;
use http::{Request, header};
use proto::apiregistration::v1::ApiService;
use proto::dynamic::DynObject;
use proto::meta::v1::{ApiResource, ApiResourceList, Time};
use tokio_util::sync::CancellationToken;

use super::status::{self, Finding};
use super::{Remote, Told, identity, openapi};
use crate::authenticate::User;
use crate::authorize::MASTERS;
use crate::outbound::{Answer, Bounds, Error, Place};
use crate::server::Server;
use crate::status::Result;
use crate::verbs::Target;
use crate::verbs::write::{Decision, Mutation, change};

/// Between two rounds while all are there.
const INTERVAL: Duration = Duration::from_secs(10);
/// And while one is not.
const SOON: Duration = Duration::from_secs(1);
/// For an answer of discovery, as upstream.
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(6), answer_bytes_max: 4 << 20 };
/// Attempts of which one has to pass: one endpoint of several may be gone.
const ATTEMPTS: u32 = 3;

/// Looks until stopped.
pub async fn keep(server: Arc<Server>, stop: CancellationToken) {
    loop {
        let all_there = round(&server).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = server.aggregator.changed.notified() => {}
            () = tokio::time::sleep(if all_there { INTERVAL } else { SOON }) => {}
        }
    }
}

/// Looks at all of them once. True: all are there.
async fn round(server: &Server) -> bool {
    let remotes = server.aggregator.remotes();
    let before = server.aggregator.told();
    let looks = remotes.iter().map(|remote| async {
        let (finding, told) = look(server, remote, &before).await;
        if let Err(failure) = write(server, remote, &finding).await {
            tracing::warn!(%failure, name = remote.name, "the state of an APIService cannot be written");
        }
        told
    });
    let told = join_all(looks).await;
    let all_there = told.iter().all(|told| told.remote.available);
    server.aggregator.tell(told);
    all_there
}

async fn look(server: &Server, remote: &Remote, before: &[Told]) -> (Finding, Told) {
    let known = before.iter().find(|told| told.remote.group_version() == remote.group_version());
    let mut told = Told {
        remote: Remote { available: false, ..remote.clone() },
        resources: known.map(|told| told.resources.clone()).unwrap_or_default(),
        openapi: known.and_then(|told| told.openapi.clone()),
    };
    if let Some(finding) = amiss(server, remote) {
        return (finding, told);
    }
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match discover(server, remote).await {
            Ok(resources) => {
                told.remote.available = true;
                told.resources = resources;
                told.openapi = openapi::address(server, remote).await;
                return (Finding::passed(), told);
            }
            Err(why) => last = why,
        }
    }
    (Finding::failed(last), told)
}

fn amiss(server: &Server, remote: &Remote) -> Option<Finding> {
    let Place::Service { namespace, name, port } = &remote.to.place else { return None };
    let services = server.outbound.services();
    let service = services.get(namespace, name).ok();
    let slices = services.slices(namespace, name).unwrap_or_default();
    status::amiss(service.as_ref(), &slices, (namespace, name, *port))
}

/// The resources that it says it has. An error is a sentence of upstream's.
async fn discover(server: &Server, remote: &Remote) -> std::result::Result<Vec<ApiResource>, String> {
    let path = format!("/apis/{}", remote.group_version());
    let failing = |why: String| format!("failing or missing response from {}: {why}", url(remote, &path));
    let answer = get(server, remote, &path, BOUNDS).await.map_err(|error| failing(error.to_string()))?;
    if !answer.status.is_success() {
        return Err(failing(format!("bad status from {}: {}", url(remote, &path), answer.status.as_u16())));
    }
    // What answers well but cannot be read is served nevertheless, as upstream: only nobody hears of its resources.
    let list = proto::json::from_slice::<ApiResourceList>(&answer.body);
    Ok(list.map(|list| list.resources).unwrap_or_default())
}

/// Asks as the aggregator itself, who may read everywhere.
pub(super) async fn get(
    server: &Server,
    remote: &Remote,
    path: &str,
    bounds: Bounds,
) -> std::result::Result<Answer, Error> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().map_err(|_| Error::Destination(format!("{path:?} is no path")))?;
    request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    request.headers_mut().insert(header::USER_AGENT, header::HeaderValue::from_static(crate::outbound::USER_AGENT));
    let aggregator =
        User { name: "system:kube-aggregator".to_owned(), groups: vec![MASTERS.to_owned()], ..User::default() };
    identity::tell(request.headers_mut(), &aggregator);
    server.outbound.short(&remote.to, request, bounds).await
}

fn url(remote: &Remote, path: &str) -> String {
    match &remote.to.place {
        Place::Service { namespace, name, port } => format!("https://{name}.{namespace}.svc:{port}{path}"),
        Place::Origin(origin) | Place::Guarded(origin) => format!("{origin}{path}"),
    }
}

async fn write(server: &Server, remote: &Remote, finding: &Finding) -> Result<()> {
    let resource = ("apiregistration.k8s.io", "v1", "apiservices");
    let target = Target::resolve(&server.registry, resource, "", &remote.name, "")?;
    match change(server, &target, false, &mut Record { finding, now: server.now() }).await {
        // It was deleted meanwhile.
        Err(failure) if failure.is_not_found() => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

struct Record<'a> {
    finding: &'a Finding,
    now: Time,
}

#[async_trait::async_trait]
impl Mutation for Record<'_> {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let Some(service) = current.downcast_mut::<ApiService>() else { return Ok(Decision::Keep) };
        // It may have become our own since it was looked at.
        if service.spec.service.is_none() {
            return Ok(Decision::Keep);
        }
        let before = service.status.clone();
        status::record(service, self.finding, self.now);
        Ok(if service.status == before { Decision::Keep } else { Decision::Write(current) })
    }
}
