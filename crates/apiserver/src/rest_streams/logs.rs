//! `GET pods/NAME/log`.

use daemon::serve::Body;
use futures::StreamExt;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use proto::keelson::api::v1::PodRef;

use super::{log_options, status};
use crate::metrics::Running;
use crate::relay;
use crate::server::Server;
use crate::status::Result;

/// Answers with the log of a container, as text, while it is read; `running` is held until its end.
///
/// # Errors
/// What [`log_options::parse`] refuses; a pod, a container or a node that is not there; what the kubelet refuses. A pod on no
/// node has no log: 204.
pub async fn logs(server: &Server, pod: PodRef, query: &str, running: Running) -> Result<Response<Body>> {
    let mut request = log_options::parse(pod.clone(), query)?;
    let object = relay::pod(server, &pod).await?;
    request.container = relay::container(&object, &request.container)?;
    if object.spec.node_name.is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let mut kubelet = super::kubelet(server, &object).await?;
    request.pod = Some(PodRef { uid: object.metadata.uid.clone(), ..pod });
    let chunks = kubelet.logs(request).await.map_err(|error| status::failure(&error))?.into_inner();
    // A log that breaks off ends the connection, so that nobody takes it for a whole one.
    let frames = chunks.map(move |chunk| {
        let _held = &running;
        chunk.map(|chunk| Frame::data(chunk.data))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
