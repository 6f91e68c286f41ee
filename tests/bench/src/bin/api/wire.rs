//! HTTP/1.1 as the loads need it: requests as bytes, answers cut into their bodies' pieces. Pure.

use anyhow::{Context, Result, bail, ensure};

/// Heads of answers are small; more than this is no head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Appends a request.
pub fn request(out: &mut Vec<u8>, method: &str, path: &str, content_type: &str, accept: &str, body: &[u8]) {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nuser-agent: bench\r\n");
    out.extend_from_slice(head.as_bytes());
    if !body.is_empty() {
        out.extend_from_slice(format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// What a request of [`request`] says.
#[derive(Debug)]
pub struct Parts<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub accept: &'a str,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

/// Takes a request of [`request`] apart again, for another protocol.
pub fn parts(request: &[u8]) -> Option<Parts<'_>> {
    let end = find(request, b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&request[..end]).ok()?.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?, first.next()?);
    let mut parts = Parts { method, path, accept: "", content_type: "", body: &request[end + 4..] };
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name {
            "accept" => parts.accept = value,
            "content-type" => parts.content_type = value,
            _ => {}
        }
    }
    Some(parts)
}

/// Where a parser is in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the body follow.
    Body(usize),
    ChunkHead,
    Chunk(usize),
    /// The end of a chunk's line.
    ChunkEnd,
    /// The line after the last chunk.
    LastEnd,
    Done,
}

/// Reads one answer.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// 0 until the head was read.
    pub status: u16,
}

impl Default for Parser {
    fn default() -> Self {
        Self { state: State::Head, status: 0 }
    }
}

impl Parser {
    /// Whether the answer is whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what it can from `bytes`, gives the body's pieces to `take`, and says how many bytes are done with.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match self.state {
                State::Done => return Ok(used),
                State::Head => match find(rest, b"\r\n\r\n") {
                    Some(end) => {
                        self.head(&rest[..end])?;
                        used += end + 4;
                    }
                    None => {
                        ensure!(rest.len() < HEAD_BYTES_MAX, "the head of an answer does not end");
                        return Ok(used);
                    }
                },
                State::Body(left) | State::Chunk(left) => {
                    let len = left.min(rest.len());
                    if len > 0 {
                        take(&rest[..len]);
                    }
                    used += len;
                    self.state = match (self.state, left - len) {
                        (State::Body(_), 0) => State::Done,
                        (State::Body(_), left) => State::Body(left),
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::Chunk(left),
                    };
                    if left > len {
                        return Ok(used);
                    }
                }
                State::ChunkHead => {
                    let Some(end) = find(rest, b"\r\n") else { return Ok(used) };
                    let text = std::str::from_utf8(&rest[..end])?;
                    let digits = text.split(';').next().unwrap_or_default().trim();
                    let len =
                        usize::from_str_radix(digits, 16).with_context(|| format!("a chunk of {text:?} bytes"))?;
                    used += end + 2;
                    self.state = if len == 0 { State::LastEnd } else { State::Chunk(len) };
                }
                State::ChunkEnd | State::LastEnd => {
                    if rest.len() < 2 {
                        return Ok(used);
                    }
                    ensure!(rest.starts_with(b"\r\n"), "a chunk does not end where it should");
                    used += 2;
                    self.state = if self.state == State::LastEnd { State::Done } else { State::ChunkHead };
                }
            }
        }
    }

    fn head(&mut self, head: &[u8]) -> Result<()> {
        let head = std::str::from_utf8(head)?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        self.status =
            first.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(|| format!("{first:?}"))?;
        let mut length = None;
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { bail!("a header {line:?}") };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                ensure!(value.trim().eq_ignore_ascii_case("chunked"), "transfer-encoding {value:?}");
                self.state = State::ChunkHead;
                return Ok(());
            }
        }
        self.state = match length {
            Some(0) => State::Done,
            Some(length) => State::Body(length),
            None => bail!("an answer that says no length: {head}"),
        };
        Ok(())
    }
}

/// Where `wanted` begins.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds an answer in pieces of every size.
    #[track_caller]
    fn check(answer: &str, status: u16, body: &str) {
        for step in 1..=answer.len() {
            let (mut parser, mut got, mut inbox) = (Parser::default(), Vec::new(), Vec::new());
            for piece in answer.as_bytes().chunks(step) {
                inbox.extend_from_slice(piece);
                let used = parser.feed(&inbox, |bytes| got.extend_from_slice(bytes)).unwrap();
                inbox.drain(..used);
            }
            assert!(parser.is_done() && inbox.is_empty(), "pieces of {step}");
            assert_eq!((parser.status, String::from_utf8(got).unwrap().as_str()), (status, body), "pieces of {step}");
        }
    }

    #[test]
    fn bodies_come_out_however_the_bytes_arrive() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
        check(
            "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nA;x\r\nlo, world!\r\n0\r\n\r\n",
            201,
            "hello, world!",
        );
        check("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, "");
    }

    #[test]
    fn what_follows_an_answer_is_left() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1";
        let mut parser = Parser::default();
        assert_eq!(parser.feed(answer, |_| ()).unwrap(), answer.len() - 8);
    }

    #[test]
    fn a_request_says_its_length() {
        let mut out = Vec::new();
        request(&mut out, "POST", "/a", "application/json", "*/*", b"{}");
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("POST /a HTTP/1.1\r\n") && text.ends_with("content-length: 2\r\n\r\n{}"), "{text}");
    }
}
