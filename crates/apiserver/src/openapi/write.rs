//! Writing JSON and keeping it: documents are large, repeat themselves, and are asked for rarely.

use std::io::{self, BufWriter, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ring::digest::{Context, SHA256};
use serde::Serialize;

use crate::document::hex;

/// Bytes that an encoder gathers before they are compressed.
const BUFFER: usize = 64 * 1024;

/// Writes an object whose members are made one by one.
pub fn members<'a, T: Serialize>(out: &mut dyn Write, members: impl Iterator<Item = (&'a str, T)>) -> io::Result<()> {
    out.write_all(b"{")?;
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b":")?;
        serde_json::to_writer(&mut *out, &value)?;
    }
    out.write_all(b"}")
}

/// A document as it is kept: compressed, with its digest.
#[derive(Debug, Clone)]
pub struct Packed {
    gzip: Bytes,
    /// Length of the plain bytes.
    len: usize,
    /// Upper-case hexadecimal of the plain bytes' SHA-256.
    pub digest: String,
}

impl Packed {
    /// Keeps what `write` writes.
    pub fn of(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        let mut packer = BufWriter::with_capacity(BUFFER, Packer { encoder, digest: Context::new(&SHA256), len: 0 });
        write(&mut packer)?;
        let packer = packer.into_inner().map_err(io::IntoInnerError::into_error)?;
        let gzip = packer.encoder.finish()?.into();
        Ok(Self { gzip, len: packer.len, digest: hex(packer.digest.finish().as_ref()) })
    }

    /// The compressed bytes.
    pub fn gzip(&self) -> Bytes {
        self.gzip.clone()
    }

    /// The plain bytes, for the few clients that do not take compressed ones.
    pub fn plain(&self) -> io::Result<Bytes> {
        let mut plain = Vec::with_capacity(self.len);
        GzDecoder::new(&*self.gzip).read_to_end(&mut plain)?;
        Ok(plain.into())
    }
}

/// Half the time of the best compression for a fifth more bytes.
const LEVEL: u32 = 3;

/// Compresses and digests at once.
struct Packer {
    encoder: GzEncoder<Vec<u8>>,
    digest: Context,
    len: usize,
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder.write_all(bytes)?;
        self.digest.update(bytes);
        self.len += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::digest;

    #[test]
    fn what_is_kept_is_what_was_written() {
        let rows = [("a", 1), ("b \"quoted\"", 2)];
        let packed = Packed::of(|out| members(out, rows.into_iter())).expect("memory takes everything");
        let plain = packed.plain().expect("our own bytes");
        assert_eq!(&plain[..], br#"{"a":1,"b \"quoted\"":2}"#);
        assert_eq!(packed.digest, digest(&plain));
        assert_eq!(packed.gzip()[..2], [0x1f, 0x8b]);
    }
}
