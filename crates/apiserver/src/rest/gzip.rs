//! Answers compressed by gzip, as upstream: those of more than 128 KiB, at the fastest level, while they are sent.

use std::collections::VecDeque;
use std::io::Write;

use bytes::Bytes;
use daemon::serve::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderValue, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};

use crate::status::{Failure, Result};

/// Smaller answers are sent as they are.
const BYTES_MIN: usize = 128 << 10;
/// What an encoder holds.
pub const ENCODER_BYTES: u64 = 320 << 10;
/// Compressed bytes that are sent at once.
const PIECE_BYTES: usize = 16 << 10;

/// The answer, compressed where that is worth it. The beginning of a stream is read to know.
pub async fn compress(response: Response<Body>) -> Result<Response<Body>> {
    let (mut parts, mut body) = response.into_parts();
    if body.size_hint().upper().is_some_and(|size| size <= BYTES_MIN as u64) {
        return Ok(Response::from_parts(parts, body));
    }
    let (mut first, mut bytes) = (VecDeque::new(), 0);
    while bytes <= BYTES_MIN {
        let Some(frame) = body.frame().await else {
            let whole: Vec<Bytes> = first.into();
            return Ok(Response::from_parts(parts, Body::new(Full::new(Bytes::from(whole.concat())))));
        };
        let frame = frame.map_err(|error| Failure::internal(error.message()))?;
        if let Ok(data) = frame.into_data() {
            bytes += data.len();
            first.push_back(data);
        }
    }
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    parts.headers.remove(CONTENT_LENGTH);
    let encoder = GzEncoder::new(Vec::with_capacity(2 * PIECE_BYTES), Compression::fast());
    let pieces = futures::stream::unfold(Some(Encoding { first, body, encoder }), |encoding| async move {
        let mut encoding = encoding?;
        match encoding.piece().await {
            Ok((piece, true)) => Some((Ok(Frame::data(piece)), None)),
            Ok((piece, false)) => Some((Ok(Frame::data(piece)), Some(encoding))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(Response::from_parts(parts, Body::new(StreamBody::new(pieces))))
}

struct Encoding {
    first: VecDeque<Bytes>,
    body: Body,
    encoder: GzEncoder<Vec<u8>>,
}

impl Encoding {
    /// The next compressed piece, and whether it is the last.
    async fn piece(&mut self) -> std::io::Result<(Bytes, bool)> {
        loop {
            let data = match self.first.pop_front() {
                Some(data) => data,
                None => match self.body.frame().await {
                    Some(frame) => frame.map_err(std::io::Error::other)?.into_data().unwrap_or_default(),
                    None => {
                        self.encoder.try_finish()?;
                        return Ok((std::mem::take(self.encoder.get_mut()).into(), true));
                    }
                },
            };
            self.encoder.write_all(&data)?;
            if self.encoder.get_ref().len() >= PIECE_BYTES {
                let piece = std::mem::replace(self.encoder.get_mut(), Vec::with_capacity(2 * PIECE_BYTES));
                return Ok((piece.into(), false));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    async fn answer(pieces: Vec<Bytes>) -> Response<Body> {
        let frames = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
        let body = Body::new(StreamBody::new(futures::stream::iter(frames.collect::<Vec<_>>())));
        compress(Response::new(body)).await.expect("an answer")
    }

    #[tokio::test]
    async fn long_answers_are_compressed() {
        let pieces: Vec<Bytes> = (0..300_000_u32)
            .map(|at| at.to_string())
            .collect::<Vec<_>>()
            .chunks(1000)
            .map(|chunk| Bytes::from(chunk.concat()))
            .collect();
        let whole = pieces.concat();
        let response = answer(pieces).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()[VARY], "Accept-Encoding");
        let sent = response.into_body().collect().await.expect("all of it").to_bytes();
        assert!(sent.len() < whole.len() * 2 / 3, "{} of {}", sent.len(), whole.len());
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut read).expect("gzip");
        assert!(read == whole);
    }

    #[tokio::test]
    async fn short_answers_stay_as_they_are() {
        let response = answer(vec![Bytes::from(vec![b'x'; BYTES_MIN])]).await;
        assert!(!response.headers().contains_key(CONTENT_ENCODING));
        let sent = response.into_body().collect().await.expect("all of it").to_bytes();
        assert_eq!(sent.len(), BYTES_MIN);
    }
}
