//! Requests about a pod's streams: who may, then a session of `rest_streams`.

use daemon::serve::Body;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use proto::keelson::api::v1::{PodRef, ResourceRef};

use super::path::ResourcePath;
use super::respond::Streams;
use super::{Rest, respond};
use crate::admit::others::connect::{self, Connection};
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::passage::Passage;
use crate::rest_streams::{self, Kind, options};
use crate::status::{Failure, Result};

/// What is below a pod and streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Log,
    Exec,
    Attach,
    PortForward,
}

impl Stream {
    /// The stream that a path names.
    pub fn of(path: &ResourcePath) -> Option<Self> {
        if !path.group.is_empty() || path.version != "v1" || path.resource != "pods" || path.rest.is_some() {
            return None;
        }
        Some(match path.subresource.as_str() {
            "log" => Self::Log,
            "exec" => Self::Exec,
            "attach" => Self::Attach,
            "portforward" => Self::PortForward,
            _ => return None,
        })
    }

    /// The verb that a method means; a stream that runs something is created, however it is asked for.
    fn verb(self, method: &Method) -> Option<&'static str> {
        match (self, method) {
            (Self::Log, &Method::GET) => Some("get"),
            (Self::Exec | Self::Attach | Self::PortForward, &Method::GET | &Method::POST) => Some("create"),
            _ => None,
        }
    }
}

impl Rest {
    pub(super) async fn stream(
        &self,
        user: &User,
        stream: Stream,
        path: ResourcePath,
        request: Request<Incoming>,
        passage: &Passage,
    ) -> Result<Response<Body>> {
        let Some(verb) = stream.verb(request.method()) else { return Err(Failure::method_not_allowed()) };
        let ResourcePath { namespace, name, subresource, .. } = &path;
        let named = ResourceRef {
            version: "v1".to_owned(),
            resource: "pods".to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
            subresource: subresource.clone(),
            ..ResourceRef::default()
        };
        let counted = if stream == Stream::Log { "GET" } else { "CONNECT" };
        let seen = self.server.metrics.begin(&self.server.registry, counted, Some(&named), false);
        let run = async {
            let attributes =
                Attributes { verb, resource: "pods", subresource, namespace, name, ..Attributes::default() };
            passage.note(&self.server, user, &attributes);
            passage.add(|draft| draft.version("v1"));
            authorize::check(&self.server, user, &attributes)?;
            if namespace.is_empty() {
                return Err(Failure::no_resource());
            }
            let pod = PodRef { namespace: namespace.clone(), name: name.clone(), ..PodRef::default() };
            let (server, running) = (&*self.server, seen.runs());
            let mut warnings = Vec::new();
            self.ask_others(user, stream, &pod, request.uri().query().unwrap_or_default(), &mut warnings).await?;
            let answer = match stream {
                Stream::Log => {
                    rest_streams::logs(server, pod, request.uri().query().unwrap_or_default(), running).await
                }
                Stream::Exec => rest_streams::exec(server, request, Kind::Exec, pod, running).await,
                Stream::Attach => rest_streams::exec(server, request, Kind::Attach, pod, running).await,
                Stream::PortForward => rest_streams::port_forward(server, request, pod, running).await,
            };
            answer.map(|mut response| {
                respond::warn(response.headers_mut(), &warnings);
                response.extensions_mut().insert(Streams);
                response
            })
        };
        let outcome = run.await;
        seen.ended(outcome.as_ref().map_or_else(Failure::code, |response| i32::from(response.status().as_u16())));
        outcome
    }

    /// Webhooks and policies have a say in what connects to a pod.
    async fn ask_others(
        &self,
        user: &User,
        stream: Stream,
        pod: &PodRef,
        query: &str,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let start = |kind| options::exec(kind, pod.clone(), query);
        let (exec, ports);
        let connection = match stream {
            Stream::Log => return Ok(()),
            Stream::Exec => {
                exec = start(Kind::Exec);
                Connection::Exec(&exec)
            }
            Stream::Attach => {
                exec = start(Kind::Attach);
                Connection::Attach(&exec)
            }
            Stream::PortForward => {
                // Clients of SPDY name their ports later.
                ports = options::ports(query).unwrap_or_default();
                Connection::PortForward(&ports)
            }
        };
        connect::to_pod(&self.server, user, pod, connection, warnings).await
    }
}
