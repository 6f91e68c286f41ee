//! The sizes of a terminal, as JSON documents one after the other.

use proto::keelson::api::v1::TerminalSize;
use serde::Deserialize;

/// Of an unfinished document so much is kept.
const DOCUMENT_BYTES_MAX: usize = 1024;

/// `{"Width": 80, "Height": 24}`.
#[derive(Debug, Deserialize)]
struct Size {
    #[serde(default, rename = "Width", alias = "width")]
    width: u16,
    #[serde(default, rename = "Height", alias = "height")]
    height: u16,
}

/// A decoder of sizes.
#[derive(Debug, Default)]
pub struct Resizes {
    rest: Vec<u8>,
    /// After what is no size nothing more is read, as upstream does it.
    broken: bool,
}

impl Resizes {
    /// Takes more bytes; the newest size in them, since the others are out of date.
    pub fn read(&mut self, bytes: &[u8]) -> Option<TerminalSize> {
        if self.broken {
            return None;
        }
        self.rest.extend_from_slice(bytes);
        let mut documents = serde_json::Deserializer::from_slice(&self.rest).into_iter::<Size>();
        let mut newest = None;
        let broken = loop {
            match documents.next() {
                Some(Ok(size)) => newest = Some(TerminalSize { width: size.width.into(), height: size.height.into() }),
                Some(Err(error)) if !error.is_eof() => break true,
                Some(Err(_)) | None => break false,
            }
        };
        let read = documents.byte_offset();
        self.rest.drain(..read);
        self.broken = broken || self.rest.len() > DOCUMENT_BYTES_MAX;
        if self.broken {
            self.rest = Vec::new();
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_arrive_in_any_pieces() {
        let mut resizes = Resizes::default();
        assert_eq!(resizes.read(br#"{"Width":80,"#), None);
        let size = |width, height| Some(TerminalSize { width, height });
        assert_eq!(resizes.read(b"\"Height\":24}\n"), size(80, 24));
        assert_eq!(resizes.read(br#"{"Width":1,"Height":2}{"Width":100,"Height":50}"#), size(100, 50));
        assert_eq!(resizes.read(br#"{"Width":"wide"}"#), None);
        assert_eq!(resizes.read(br#"{"Width":80,"Height":24}"#), None, "upstream stops reading, too");
    }

    #[test]
    fn a_document_that_never_ends_is_not_kept() {
        let mut resizes = Resizes::default();
        for _ in 0..100 {
            assert_eq!(resizes.read(br#"{"Width":80,   "x": ["#), None);
            assert!(resizes.rest.len() <= DOCUMENT_BYTES_MAX);
        }
    }
}
