//! HTML pages with links that lead through the proxy, rewritten while they stream.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use daemon::serve::Body;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use futures::{StreamExt, stream};
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use lol_html::send::{HtmlRewriter, Settings};
use lol_html::{OutputSink, element};

use super::rewrite::Prefix;

/// Elements, and which of their attributes are addresses: those that upstream rewrites.
const ADDRESSES: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// The answer with its links rewritten, where it is a page that can be read.
pub fn rewrite(answer: Response<Body>, prefix: Prefix, host: &str) -> Response<Body> {
    let text = |name| answer.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let kind = text(CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("text/html") {
        return answer;
    }
    let compressed = match text(CONTENT_ENCODING) {
        None | Some("" | "identity") => false,
        Some("gzip") => true,
        Some(other) => {
            tracing::debug!("links of a page are not rewritten: it is compressed by {other}");
            return answer;
        }
    };
    let (mut head, body) = answer.into_parts();
    // It is another page now, of another length.
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(ETAG);
    let page = Page::new(prefix, host.to_owned(), compressed);
    Response::from_parts(head, stream_through(body, page))
}

fn stream_through(body: Body, page: Page) -> Body {
    let frames = stream::unfold(Some((BodyStream::new(body), page)), |state| async move {
        let (mut body, mut page) = state?;
        loop {
            let (made, more) = match body.next().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => (page.write(&bytes), true),
                    Err(frame) => return Some((Ok(frame), Some((body, page)))),
                },
                Some(Err(error)) => return Some((Err(error), None)),
                None => {
                    let last = page.end();
                    return Some((last.map(Frame::data).map_err(broken), None));
                }
            };
            match made {
                Ok(bytes) if bytes.is_empty() && more => {}
                Ok(bytes) => return Some((Ok(Frame::data(bytes)), Some((body, page)))),
                Err(error) => return Some((Err(broken(error)), None)),
            }
        }
    });
    Body::new(StreamBody::new(Box::pin(frames)))
}

fn broken(error: io::Error) -> tonic::Status {
    tonic::Status::internal(error.to_string())
}

/// A page on its way.
struct Page {
    rewriter: HtmlRewriter<'static, Sink>,
    made: Sink,
    /// Where the page comes and goes compressed.
    packing: Option<(GzDecoder<Vec<u8>>, GzEncoder<Vec<u8>>)>,
}

/// What the rewriter has written, until it is taken.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(chunk);
    }
}

impl Page {
    fn new(prefix: Prefix, host: String, compressed: bool) -> Self {
        let made = Sink::default();
        let handlers = ADDRESSES.iter().map(|(name, attributes)| {
            let (prefix, host) = (prefix.clone(), host.clone());
            element!(*name, move |element| {
                for attribute in *attributes {
                    let Some(address) = element.get_attribute(attribute) else { continue };
                    let rewritten = prefix.rewrite(&address, &host);
                    if rewritten != address {
                        element.set_attribute(attribute, &rewritten)?;
                    }
                }
                Ok(())
            })
        });
        let settings = Settings { element_content_handlers: handlers.collect(), ..Settings::new_send() };
        let packing = || (GzDecoder::new(Vec::new()), GzEncoder::new(Vec::new(), Compression::fast()));
        Self { rewriter: HtmlRewriter::new(settings, made.clone()), made, packing: compressed.then(packing) }
    }

    /// Takes a part in, and gives what is ready to go out.
    fn write(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        let Some((unpack, _)) = &mut self.packing else {
            self.rewriter.write(bytes).map_err(io::Error::other)?;
            return Ok(self.made.take().into());
        };
        unpack.write_all(bytes)?;
        let plain = std::mem::take(unpack.get_mut());
        self.rewriter.write(&plain).map_err(io::Error::other)?;
        self.pack()
    }

    fn pack(&mut self) -> io::Result<Bytes> {
        let made = self.made.take();
        let Some((_, pack)) = &mut self.packing else { return Ok(made.into()) };
        pack.write_all(&made)?;
        Ok(std::mem::take(pack.get_mut()).into())
    }

    fn end(self) -> io::Result<Bytes> {
        let Self { mut rewriter, made, packing } = self;
        let Some((unpack, mut pack)) = packing else {
            rewriter.end().map_err(io::Error::other)?;
            return Ok(made.take().into());
        };
        let plain = unpack.finish()?;
        rewriter.write(&plain).map_err(io::Error::other)?;
        rewriter.end().map_err(io::Error::other)?;
        pack.write_all(&made.take())?;
        Ok(pack.finish()?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;
    use http_body_util::{BodyExt, Full};

    use super::*;

    const PAGE: &str = "<html><!-- <a href=\"/no\"> --><a class=x href='/a?b=1&amp;c=2'>/a</a>\
        <img src=\"https://other.example/i\"><script>var x = \"<a href='/no'>\";</script><form action=/f></form></html>";
    const EXPECT: &str = "<html><!-- <a href=\"/no\"> --><a class=x href=\"/p/a?b=1&amp;c=2\">/a</a>\
        <img src=\"https://other.example/i\"><script>var x = \"<a href='/no'>\";</script><form action=\"/p/f\"></form></html>";

    fn written(parts: &[&[u8]], compressed: bool) -> Vec<u8> {
        let mut page = Page::new(Prefix::of("/p/", "/"), String::new(), compressed);
        let mut out = Vec::new();
        for part in parts {
            out.extend(page.write(part).expect("a page"));
        }
        out.extend(page.end().expect("a page"));
        out
    }

    #[test]
    fn links_lead_through_the_proxy_however_the_page_is_cut() {
        for size in [1, 7, PAGE.len()] {
            let parts: Vec<&[u8]> = PAGE.as_bytes().chunks(size).collect();
            assert_eq!(String::from_utf8(written(&parts, false)).expect("text"), EXPECT);
        }
    }

    #[test]
    fn a_compressed_page_stays_compressed() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(PAGE.as_bytes()).expect("written");
        let packed = packed.finish().expect("packed");
        let out = written(&packed.chunks(11).collect::<Vec<_>>(), true);
        let mut text = String::new();
        MultiGzDecoder::new(out.as_slice()).read_to_string(&mut text).expect("a whole page");
        assert_eq!(text, EXPECT);
    }

    #[test]
    fn damaged_pages_end_or_pass() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(PAGE.as_bytes()).expect("written");
        let packed = packed.finish().expect("packed");
        testkit::fuzz::damaged(500, &[PAGE.as_bytes(), &packed], |bytes| {
            for compressed in [false, true] {
                let mut page = Page::new(Prefix::of("/p/", "/"), String::new(), compressed);
                if page.write(bytes).is_ok() {
                    let _ = page.end();
                }
            }
        });
    }

    #[tokio::test]
    async fn only_pages_are_touched() {
        for (kind, expect) in [("text/html; charset=utf-8", EXPECT), ("application/json", PAGE)] {
            let mut answer = Response::new(Body::new(Full::new(Bytes::from(PAGE))));
            answer.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("a value"));
            let answer = rewrite(answer, Prefix::of("/p/", "/"), "");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(body, expect, "{kind}");
        }
    }
}
