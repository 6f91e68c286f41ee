//! A client of SPDY/3.1 that shares nothing with the server.

use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(20);
/// The first bytes of the dictionary: a part of it compresses as well, but has another name, so the whole is made here.
const WORDS: [&str; 64] = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
];
const REST: &str = "\0\0\0\x06origin100101201202205206300302303304305306307402405406407408409410411412413414415416417\
502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun \
Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,\
image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,\
sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let words = WORDS.iter().flat_map(|word| [&(word.len() as u32).to_be_bytes()[..], word.as_bytes()].concat());
    words.chain(REST.bytes()).collect()
}

/// What a server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Reply(u32),
    Data(u32, Vec<u8>),
    Finished(u32),
    Reset(u32),
    Pong(u32),
    Room(u32, u32),
    GoAway,
}

/// The bytes of a stream.
pub fn data(seen: &[Seen], stream: u32) -> Vec<u8> {
    let bytes = seen.iter().filter_map(|seen| match seen {
        Seen::Data(of, bytes) if *of == stream => Some(bytes.clone()),
        _ => None,
    });
    bytes.flatten().collect()
}

/// Whether the server has no more for a stream.
pub fn finished(seen: &[Seen], stream: u32) -> bool {
    seen.contains(&Seen::Finished(stream))
}

/// How much more room the server told of.
pub fn room(seen: &[Seen], stream: u32) -> u32 {
    let rooms = seen.iter().filter_map(|seen| match seen {
        Seen::Room(of, delta) if *of == stream => Some(*delta),
        _ => None,
    });
    rooms.sum()
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

pub struct Spdy {
    read: tokio::io::ReadHalf<Box<dyn Both>>,
    write: tokio::io::WriteHalf<Box<dyn Both>>,
    squeeze: Compress,
    swell: Decompress,
    next: u32,
}

impl Spdy {
    pub fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (read, write) = tokio::io::split(Box::new(stream) as Box<dyn Both>);
        let mut squeeze = Compress::new(Compression::best(), true);
        assert_eq!(squeeze.set_dictionary(&dictionary()).expect("at the beginning"), 0xe3c6_a7c2);
        Self { read, write, squeeze, swell: Decompress::new(true), next: 1 }
    }

    async fn control(&mut self, kind: u8, payload: &[u8]) {
        let length = payload.len() as u32;
        let head = [&[0x80, 3, 0, kind][..], &length.to_be_bytes(), payload].concat();
        self.write.write_all(&head).await.expect("sent");
        self.write.flush().await.expect("sent");
    }

    /// Opens a stream; its number.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let stream = self.next;
        self.next += 2;
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name.to_ascii_lowercase(), (*value).to_owned()]) {
            plain.extend_from_slice(&(text.len() as u32).to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        let mut block = Vec::with_capacity(1024);
        self.squeeze.compress_vec(&plain, &mut block, FlushCompress::Sync).expect("room");
        let payload = [&stream.to_be_bytes()[..], &[0; 6], &block].concat();
        self.control(1, &payload).await;
        stream
    }

    pub async fn data(&mut self, stream: u32, bytes: &[u8], fin: bool) {
        let mut parts: Vec<&[u8]> = bytes.chunks(60_000).collect();
        if parts.is_empty() {
            parts.push(b"");
        }
        let last = parts.len() - 1;
        for (at, part) in parts.into_iter().enumerate() {
            let second = (u32::from(fin && at == last) << 24) | part.len() as u32;
            let frame = [&stream.to_be_bytes()[..], &second.to_be_bytes(), part].concat();
            self.write.write_all(&frame).await.expect("sent");
        }
        self.write.flush().await.expect("sent");
    }

    pub async fn reset(&mut self, stream: u32) {
        self.control(3, &[&stream.to_be_bytes()[..], &5_u32.to_be_bytes()].concat()).await;
    }

    pub async fn ping(&mut self, id: u32) {
        self.control(6, &id.to_be_bytes()).await;
    }

    /// Everything until the server says goodbye and closes.
    pub async fn all(mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(next) = self.next().await {
            seen.extend(next);
        }
        seen
    }

    /// What comes until it is enough.
    pub async fn until(&mut self, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mut seen = Vec::new();
        while !enough(&seen) {
            match self.next().await {
                Some(next) => seen.extend(next),
                None => panic!("the server leaves; it said {seen:?}"),
            }
        }
        seen
    }

    /// What the next frame says; none at the end.
    async fn next(&mut self) -> Option<Vec<Seen>> {
        let mut head = [0; 8];
        let read = tokio::time::timeout(LIMIT, self.read.read_exact(&mut head)).await.expect("in time");
        read.ok()?;
        let number = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let (first, second) = (number(&head, 0), number(&head, 4));
        let mut payload = vec![0; (second & 0xff_ffff) as usize];
        self.read.read_exact(&mut payload).await.expect("a whole frame");
        let fin = second >> 24 == 1;
        if first >> 31 == 0 {
            let mut seen = vec![Seen::Data(first, payload)];
            if fin {
                seen.push(Seen::Finished(first));
            }
            return Some(seen);
        }
        assert_eq!((first >> 16) & 0x7fff, 3, "the version");
        let seen = match first & 0xffff {
            2 => {
                self.no_headers(&payload[4..]);
                Seen::Reply(number(&payload, 0))
            }
            3 => Seen::Reset(number(&payload, 0)),
            6 => Seen::Pong(number(&payload, 0)),
            7 => Seen::GoAway,
            9 => Seen::Room(number(&payload, 0), number(&payload, 4)),
            other => panic!("a frame of kind {other}"),
        };
        Some(vec![seen])
    }

    /// The block of a reply holds no headers.
    fn no_headers(&mut self, block: &[u8]) {
        let mut plain = Vec::with_capacity(1024);
        let begin = self.swell.total_in();
        let step = self.swell.decompress_vec(block, &mut plain, FlushDecompress::Sync);
        if step.is_err_and(|error| error.needs_dictionary().is_some()) {
            self.swell.set_dictionary(&dictionary()).expect("the same one");
            let taken = (self.swell.total_in() - begin) as usize;
            self.swell.decompress_vec(&block[taken..], &mut plain, FlushDecompress::Sync).expect("a block");
        }
        assert_eq!(plain, [0; 4]);
    }
}
