//! `keelson.api.v1.Streams`, relayed to the kubelet of the pod's node.

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use proto::keelson::api::v1::exec_input::Input;
use proto::keelson::api::v1::port_forward_frame::Frame;
use proto::keelson::api::v1::streams_server::Streams;
use proto::keelson::api::v1::{ExecInput, ExecOutput, LogsChunk, LogsRequest, PodRef, PortForwardFrame};
use tonic::{Request, Response, Status, Streaming};

use super::{Grpc, limited, passage, status};
use crate::admit::others::connect::{self, Connection};
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::metrics::Request as Seen;
use crate::passage::Passage;
use crate::relay::{self, Place, container};
use crate::server::Server;
use crate::status::{Failure, Result};

type Chunks<T> = BoxStream<'static, std::result::Result<T, Status>>;
type Answer<T> = std::result::Result<Response<T>, Status>;

/// Which of the two calls with the same messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exec,
    Attach,
}

#[tonic::async_trait]
impl Streams for Grpc {
    type LogsStream = Chunks<LogsChunk>;

    async fn logs(&self, request: Request<LogsRequest>) -> Answer<Self::LogsStream> {
        let seen = self.seen_stream("GET", "log");
        let run = async {
            let user = self.user(request.metadata(), request.extensions()).await?;
            let passage = passage(request.extensions(), &self.server);
            let mut asked = request.into_inner();
            may(&self.server, &passage, &user, "get", "log", asked.pod.as_ref())?;
            let mut place = relay::place(&self.server, asked.pod.as_ref()).await?;
            asked.container = container(&place.object, &asked.container)?;
            asked.pod = Some(place.pod.clone());
            Ok(place.kubelet.logs(asked).await)
        };
        relayed(&seen, run.await)
    }

    type ExecStream = Chunks<ExecOutput>;

    async fn exec(&self, request: Request<Streaming<ExecInput>>) -> Answer<Self::ExecStream> {
        self.run(request, Kind::Exec).await
    }

    type AttachStream = Chunks<ExecOutput>;

    async fn attach(&self, request: Request<Streaming<ExecInput>>) -> Answer<Self::AttachStream> {
        self.run(request, Kind::Attach).await
    }

    type PortForwardStream = Chunks<PortForwardFrame>;

    async fn port_forward(&self, request: Request<Streaming<PortForwardFrame>>) -> Answer<Self::PortForwardStream> {
        let seen = self.seen_stream("CONNECT", "portforward");
        let run = async {
            let user = self.user(request.metadata(), request.extensions()).await?;
            let passage = passage(request.extensions(), &self.server);
            let mut frames = request.into_inner();
            let mut first = first(&mut frames, self.server.request_bytes_max).await?;
            let Some(Frame::Open(open)) = &mut first.frame else {
                return Err(Failure::bad_request("the first frame of a port-forward must open a connection"));
            };
            may(&self.server, &passage, &user, "create", "portforward", open.pod.as_ref())?;
            let port = [u16::try_from(open.port).unwrap_or_default()];
            self.ask_others(&user, open.pod.as_ref(), Connection::PortForward(&port)).await?;
            let mut place = relay::place(&self.server, open.pod.as_ref()).await?;
            open.pod = Some(place.pod.clone());
            Ok(place.kubelet.port_forward(onwards(first, frames)).await)
        };
        relayed(&seen, run.await)
    }
}

impl Grpc {
    /// Webhooks and policies have a say in what connects to a pod. A stream has no place for what they warn of.
    async fn ask_others(&self, user: &User, pod: Option<&PodRef>, connection: Connection<'_>) -> Result<()> {
        let pod = pod.cloned().unwrap_or_default();
        connect::to_pod(&self.server, user, &pod, connection, &mut Vec::new()).await
    }

    async fn run(&self, request: Request<Streaming<ExecInput>>, kind: Kind) -> Answer<Chunks<ExecOutput>> {
        let subresource = if kind == Kind::Exec { "exec" } else { "attach" };
        let seen = self.seen_stream("CONNECT", subresource);
        let run = async {
            let user = self.user(request.metadata(), request.extensions()).await?;
            let passage = passage(request.extensions(), &self.server);
            let mut inputs = request.into_inner();
            let mut first = first(&mut inputs, self.server.request_bytes_max).await?;
            let Some(Input::Start(start)) = &mut first.input else {
                return Err(Failure::bad_request("the first message must say what to start"));
            };
            may(&self.server, &passage, &user, "create", subresource, start.pod.as_ref())?;
            if kind == Kind::Exec && start.command.is_empty() {
                return Err(Failure::bad_request("you must specify at least 1 command for the container"));
            }
            let connection = if kind == Kind::Exec { Connection::Exec(start) } else { Connection::Attach(start) };
            self.ask_others(&user, start.pod.as_ref(), connection).await?;
            let Place { pod, object, mut kubelet } = relay::place(&self.server, start.pod.as_ref()).await?;
            relay::check_not_completed(&object, subresource)?;
            start.container = container(&object, &start.container)?;
            start.pod = Some(pod);
            let inputs = onwards(first, inputs);
            Ok(match kind {
                Kind::Exec => kubelet.exec(inputs).await,
                Kind::Attach => kubelet.attach(inputs).await,
            })
        };
        relayed(&seen, run.await)
    }
}

fn may(
    server: &Server,
    passage: &Passage,
    user: &User,
    verb: &str,
    subresource: &str,
    pod: Option<&PodRef>,
) -> Result<()> {
    let (namespace, name) = pod.map(|pod| (pod.namespace.as_str(), pod.name.as_str())).unwrap_or_default();
    let attributes = Attributes { verb, resource: "pods", subresource, namespace, name, ..Attributes::default() };
    passage.note(server, user, &attributes);
    authorize::check(server, user, &attributes)
}

async fn first<T>(stream: &mut Streaming<T>, bytes_max: usize) -> Result<T> {
    match stream.message().await {
        Ok(Some(first)) => Ok(first),
        Ok(None) => Err(Failure::bad_request("the stream ended before its first message")),
        Err(error) => Err(limited::refusal(&error, bytes_max).unwrap_or_else(|| Failure::bad_request(error.message()))),
    }
}

/// The first message again, then the rest. A client that breaks off ends the stream towards the kubelet.
fn onwards<T: Send + 'static>(first: T, rest: Streaming<T>) -> impl Stream<Item = T> + Send + 'static {
    futures::stream::iter([first]).chain(
        rest.take_while(|next| std::future::ready(next.is_ok())).filter_map(|next| std::future::ready(next.ok())),
    )
}

/// What the kubelet answers goes back as it is; that it cannot be reached is said as such.
fn relayed<T: Send + 'static>(seen: &Seen, outcome: Result<Answer<Streaming<T>>>) -> Answer<Chunks<T>> {
    let answer = match seen.end(outcome) {
        Ok(answer) => answer,
        Err(failure) => return Err(status::of(failure)),
    };
    match answer {
        Ok(answer) => {
            let running = seen.runs();
            Ok(Response::new(answer.into_inner().inspect(move |_| _ = &running).boxed()))
        }
        Err(error) if error.details().is_empty() && std::error::Error::source(&error).is_some() => {
            let text = crate::status::chain(&error);
            Err(status::of(Failure::unavailable(format!("the kubelet of the pod's node cannot be reached: {text}"))))
        }
        Err(error) => {
            Err(Status::with_details(error.code(), error.message(), bytes::Bytes::copy_from_slice(error.details())))
        }
    }
}
