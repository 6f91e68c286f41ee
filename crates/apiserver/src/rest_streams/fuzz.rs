//! What clients of streams send, damaged: frames of SPDY, blocks of headers, messages of channels, sizes, options.

use bytes::{Bytes, BytesMut};
use proto::keelson::api::v1::PodRef;
use testkit::fuzz::damaged;
use tokio_tungstenite::tungstenite::Message;

use super::channel::{Codec, Received};
use super::options::{self, Kind};
use super::resize::Resizes;
use super::spdy::frame::{CONTROL_BYTES_MAX, Decoder, Frame};
use super::spdy::headers::testing::Deflater;
use super::spdy::headers::{BLOCK_BYTES_MAX, Headers, Inflater};

fn some_headers() -> Headers {
    let pairs = [("streamtype", "data"), ("port", "80"), ("requestid", "1")];
    Headers(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

#[test]
fn frames_of_spdy() {
    let block = Deflater::default().write(&some_headers());
    let wire = |frames: &[Frame]| {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        bytes.freeze()
    };
    let session = wire(&[
        Frame::SynStream { stream: 1, fin: false, block: block.clone() },
        Frame::Data { stream: 1, fin: true, bytes: Bytes::from_static(b"hello") },
        Frame::Ping(1),
        Frame::WindowUpdate { stream: 1, delta: 5 },
    ]);
    let rest = wire(&[
        Frame::Settings(vec![(7, 65_536)]),
        Frame::RstStream { stream: 1, status: 5 },
        Frame::Headers { stream: 1, fin: false, block },
        Frame::GoAway { last: 1, status: 0 },
    ]);
    damaged(3_000, &[&session, &rest], |bytes| {
        let (mut decoder, mut inflater, mut given) = (Decoder::default(), Inflater::default(), 0);
        'all: for chunk in bytes.chunks(7) {
            decoder.push(chunk);
            loop {
                match decoder.next() {
                    Ok(Some(Frame::Data { bytes, .. })) => given += bytes.len(),
                    Ok(Some(Frame::SynStream { block, .. } | Frame::Headers { block, .. })) => {
                        assert!(block.len() <= CONTROL_BYTES_MAX);
                        if inflater.read(&block).is_err() {
                            break 'all;
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'all,
                }
            }
        }
        assert!(given <= bytes.len(), "bytes come from nowhere");
    });
}

#[test]
fn blocks_of_headers() {
    let good = Deflater::default().write(&some_headers());
    let plain = super::spdy::headers::plain(&some_headers());
    damaged(3_000, &[&good, &plain], |bytes| {
        let _refused = Inflater::default().read(bytes);
        // As a client that compresses well and means badly.
        if let Ok(headers) = Inflater::default().read(&Deflater::default().squeeze(bytes)) {
            let size: usize = headers.0.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(size <= BLOCK_BYTES_MAX);
            assert_eq!(Inflater::default().read(&Deflater::default().write(&headers)), Ok(headers));
        }
    });
}

#[test]
fn messages_of_channels() {
    damaged(2_000, &[b"\0hello", b"\xff\0", b"4{\"Width\":80}", b"0aGVsbG8="], |bytes| {
        for (base64, closes) in [(false, false), (false, true), (true, false)] {
            let codec = Codec { base64, closes };
            let text = String::from_utf8_lossy(bytes).into_owned();
            for message in [Message::binary(bytes.to_vec()), Message::text(text)] {
                if let Received::Data(channel, data) = codec.decode(message)
                    && (!base64 || channel < 79)
                {
                    let again = codec.decode(codec.encode(channel, &data));
                    assert!(closes && channel == 255 || again == Received::Data(channel, data), "{again:?}");
                }
            }
        }
    });
}

#[test]
fn sizes_of_a_terminal() {
    let good = b"{\"Width\":80,\"Height\":24}\n{\"Width\":100,\"Height\":50}";
    damaged(2_000, &[good, b"{\"width\":1,\"height\":65535}"], |bytes| {
        let mut resizes = Resizes::default();
        for part in bytes.chunks(5) {
            if let Some(size) = resizes.read(part) {
                assert!(size.width <= 65_535 && size.height <= 65_535);
            }
        }
    });
}

#[test]
fn options_of_streams() {
    let logs = b"container=c&follow=1&sinceSeconds=5&tailLines=10&limitBytes=7&sinceTime=2020-01-01T00:00:00Z";
    let exec = b"command=sh&command=-c&stdin=true&stdout=1&tty=false&container=a%20b&ports=80,443&ports=8080";
    damaged(2_000, &[logs, exec], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(failure) = super::log_options(PodRef::default(), &text) {
            assert!(matches!(failure.code(), 400 | 422), "{failure}");
        }
        let start = options::exec(Kind::Exec, PodRef::default(), &text);
        assert!(!(start.tty && start.stderr));
        let _refused = options::check(Kind::Exec, &start);
        if let Ok(ports) = options::ports(&text) {
            assert!(!ports.is_empty() && !ports.contains(&0));
        }
    });
}
