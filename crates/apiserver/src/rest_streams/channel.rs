//! The messages of a WebSocket that carries channels: a channel's number, then bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;

/// Since v5: the client has no more bytes for the channel that follows.
const CLOSE: u8 = 255;

/// How channels are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    /// A digit and base64, in text messages; else a byte and bytes, in binary ones.
    pub base64: bool,
    /// Whether a client can close a channel.
    pub closes: bool,
}

/// What a message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Bytes for a channel.
    Data(u8, Bytes),
    /// The client has no more bytes for a channel.
    Closed(u8),
    /// Nothing for a channel: a ping, or what upstream overlooks.
    Nothing,
    /// The client is about to leave.
    Gone,
}

impl Codec {
    /// Reads a message. What is malformed is overlooked, as upstream overlooks it.
    pub fn decode(self, message: Message) -> Received {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return Received::Gone,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Received::Nothing,
        };
        let Some(first) = bytes.first().copied() else { return Received::Nothing };
        let rest = bytes.slice(1..);
        if self.base64 {
            return match STANDARD.decode(&rest) {
                Ok(data) => Received::Data(first.wrapping_sub(b'0'), data.into()),
                Err(_) => Received::Nothing,
            };
        }
        match (first, rest.first()) {
            (CLOSE, Some(channel)) if self.closes && rest.len() == 1 => Received::Closed(*channel),
            (CLOSE, _) if self.closes => Received::Nothing,
            _ => Received::Data(first, rest),
        }
    }

    /// Writes bytes of a channel.
    pub fn encode(self, channel: u8, bytes: &[u8]) -> Message {
        if self.base64 {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(channel.wrapping_add(b'0')));
            STANDARD.encode_string(bytes, &mut text);
            return Message::text(text);
        }
        let mut message = BytesMut::with_capacity(1 + bytes.len());
        message.extend_from_slice(&[channel]);
        message.extend_from_slice(bytes);
        Message::binary(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Codec = Codec { base64: false, closes: false };
    const V5: Codec = Codec { base64: false, closes: true };
    const BASE64: Codec = Codec { base64: true, closes: false };

    #[test]
    fn channels_come_back_as_they_were_written() {
        for codec in [PLAIN, V5, BASE64] {
            for channel in [0, 1, 4, 78] {
                for bytes in [&b""[..], b"hello", &[0, 255, 10]] {
                    let read = codec.decode(codec.encode(channel, bytes));
                    assert_eq!(read, Received::Data(channel, Bytes::copy_from_slice(bytes)), "{codec:?}");
                }
            }
        }
        assert_eq!(BASE64.encode(1, b"\n"), Message::text("1Cg=="), "upstream's own example");
    }

    #[test]
    fn a_channel_is_closed_since_v5() {
        let close = || Message::binary(vec![255, 0]);
        assert_eq!(V5.decode(close()), Received::Closed(0));
        assert_eq!(PLAIN.decode(close()), Received::Data(255, Bytes::from_static(&[0])));
        assert_eq!(V5.decode(Message::binary(vec![255])), Received::Nothing);
        assert_eq!(V5.decode(Message::binary(vec![255, 0, 0])), Received::Nothing);
        assert_eq!(V5.decode(Message::Close(None)), Received::Gone);
        assert_eq!(PLAIN.decode(Message::binary(Vec::new())), Received::Nothing);
        assert_eq!(BASE64.decode(Message::text("0!")), Received::Nothing);
    }
}
