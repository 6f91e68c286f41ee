//! Tells the end of a request: at once, or when what streams has ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use daemon::serve::Body;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use proto::meta::v1::Status;

use super::Draft;
use super::policy::Stage;
use crate::status::Failure;

/// Tells how a request was answered; `streams`: for as long as the client wants. Where the policy wants the answer's object, or the
/// answer is a refusal that is written already, it is read as a whole.
pub async fn end(
    response: Response<Body>,
    mut draft: Draft,
    refusal: Option<&Status>,
    streams: bool,
) -> Result<Response<Body>, Failure> {
    let code = response.status().as_u16();
    if let Some(refusal) = refusal {
        draft.answer(&proto::json::to_vec(refusal));
        draft.stage(Stage::ResponseComplete, code, Some(refusal));
        return Ok(response);
    }
    if streams {
        return Ok(streaming(response, draft));
    }
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if !(is_json && (code >= 400 || draft.wants_answer())) {
        draft.stage(Stage::ResponseComplete, code, None);
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|error| Failure::internal(error.message()))?.to_bytes();
    draft.answer(&bytes);
    let refusal: Option<Status> = (code >= 400).then(|| proto::json::from_slice(&bytes).ok()).flatten();
    draft.stage(Stage::ResponseComplete, code, refusal.as_ref());
    Ok(Response::from_parts(parts, Body::new(Full::new(bytes))))
}

/// Tells that an answer began, and once it has ended that it did.
pub fn streaming(response: Response<Body>, draft: Draft) -> Response<Body> {
    let code = response.status().as_u16();
    draft.stage(Stage::ResponseStarted, code, None);
    response.map(|body| Body::new(Streaming { body, _told: Told { draft, code } }))
}

/// Tells the last stage when it is dropped.
struct Told {
    draft: Draft,
    code: u16,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.draft.stage(Stage::ResponseComplete, self.code, None);
    }
}

struct Streaming {
    body: Body,
    _told: Told,
}

impl http_body::Body for Streaming {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
