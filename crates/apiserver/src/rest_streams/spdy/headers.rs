//! Blocks of headers: pairs of names and values, compressed by zlib with SPDY/3's dictionary.
//!
//! One zlib stream runs through all blocks of a direction, so a block that cannot be read ends the connection.

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::dictionary;
use super::{put_u32, u32_at};

/// What a block may hold once it is decompressed.
pub const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Room that a block begins with.
const BLOCK_BYTES: usize = 1 << 10;
/// Pairs in a block.
const PAIRS_MAX: usize = 256;

/// Why a block cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    /// No zlib stream with SPDY/3's dictionary.
    #[error("a block of headers that is not compressed as SPDY/3 compresses: {0}")]
    Zlib(String),
    /// Larger than [`BLOCK_BYTES_MAX`], or of more pairs than [`PAIRS_MAX`].
    #[error("a block of headers with more than {BLOCK_BYTES_MAX} bytes or {PAIRS_MAX} pairs")]
    TooLarge,
    /// Lengths that do not fit.
    #[error("a block of headers whose lengths do not fit")]
    Malformed,
}

/// The headers of a stream; names are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The value of a name, which is given in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the blocks of one direction.
#[derive(Debug)]
pub struct Inflater {
    zlib: Decompress,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { zlib: Decompress::new(true) }
    }
}

impl Inflater {
    /// Reads a block.
    ///
    /// # Errors
    /// No block can be read after one that cannot.
    pub fn read(&mut self, block: &[u8]) -> Result<Headers, HeadersError> {
        let plain = self.inflate(block)?;
        parse(&plain)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, HeadersError> {
        let mut plain = Vec::with_capacity(BLOCK_BYTES);
        loop {
            let before = self.zlib.total_in();
            let step = self.zlib.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let taken = usize::try_from(self.zlib.total_in() - before).unwrap_or(usize::MAX);
            block = block.get(taken..).unwrap_or_default();
            match step {
                Ok(Status::StreamEnd) => return Err(HeadersError::Zlib("it ends".to_owned())),
                Ok(_) if plain.len() < plain.capacity() && block.is_empty() => return Ok(plain),
                Ok(_) if plain.len() >= BLOCK_BYTES_MAX => return Err(HeadersError::TooLarge),
                Ok(_) if plain.len() == plain.capacity() => plain.reserve(plain.len().min(BLOCK_BYTES_MAX)),
                Ok(_) if taken == 0 => return Err(HeadersError::Zlib("it does not go on".to_owned())),
                Ok(_) => {}
                Err(error) if error.needs_dictionary() == Some(dictionary::ID) => {
                    let set = self.zlib.set_dictionary(&dictionary::BYTES);
                    set.map_err(|error| HeadersError::Zlib(error.to_string()))?;
                }
                Err(error) => return Err(HeadersError::Zlib(error.to_string())),
            }
        }
    }
}

fn parse(plain: &[u8]) -> Result<Headers, HeadersError> {
    let count = u32_at(plain, 0).ok_or(HeadersError::Malformed)? as usize;
    if count > PAIRS_MAX {
        return Err(HeadersError::TooLarge);
    }
    let mut rest = &plain[4..];
    let mut text = || {
        let length = u32_at(rest, 0)? as usize;
        let (text, after) = rest.get(4..)?.split_at_checked(length)?;
        rest = after;
        std::str::from_utf8(text).ok().map(str::to_owned)
    };
    let pairs = (0..count).map(|_| Some((text()?.to_ascii_lowercase(), text()?)));
    let pairs: Option<Vec<_>> = pairs.collect();
    match pairs {
        Some(pairs) if rest.is_empty() => Ok(Headers(pairs)),
        _ => Err(HeadersError::Malformed),
    }
}

/// Writes headers as they are before they are compressed.
pub fn plain(headers: &Headers) -> Bytes {
    let mut out = BytesMut::new();
    let length = |text: &str| u32::try_from(text.len()).expect("headers are short");
    put_u32(&mut out, u32::try_from(headers.0.len()).expect("headers are few"));
    for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
        put_u32(&mut out, length(text));
        out.extend_from_slice(text.as_bytes());
    }
    out.freeze()
}

/// Writes the blocks of one direction, stored and not squeezed: replies carry no headers, and a compressor would hold a
/// quarter of a megabyte for each connection.
#[derive(Debug, Default)]
pub struct Stored {
    begun: bool,
}

impl Stored {
    /// Writes a block of at most 64 KiB.
    pub fn write(&mut self, headers: &Headers) -> Bytes {
        let plain = plain(headers);
        let length = u16::try_from(plain.len()).expect("a block of ours is small");
        let mut out = BytesMut::with_capacity(plain.len() + 16);
        if !std::mem::replace(&mut self.begun, true) {
            // A window of 32 KiB, and a dictionary.
            out.extend_from_slice(&[0x78, 0xbb]);
            out.put_u32(dictionary::ID);
        }
        // Go hands out what it has read at an empty block only, as flushing compressors write one.
        for (length, bytes) in [(length, &plain[..]), (0, &[])] {
            // Not the last block, stored, from the next byte on; then its length, twice.
            out.put_u8(0);
            out.put_u16_le(length);
            out.put_u16_le(!length);
            out.extend_from_slice(bytes);
        }
        out.freeze()
    }
}

#[cfg(test)]
pub mod testing {
    //! A client's compressor.

    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    /// Writes the blocks of one direction, squeezed.
    pub struct Deflater(Compress);

    impl Default for Deflater {
        fn default() -> Self {
            let mut zlib = Compress::new(Compression::best(), true);
            zlib.set_dictionary(&dictionary::BYTES).expect("before the first block");
            Self(zlib)
        }
    }

    impl Deflater {
        /// Writes a block.
        pub fn write(&mut self, headers: &Headers) -> Bytes {
            self.squeeze(&plain(headers))
        }

        /// Squeezes bytes that need not be headers.
        pub fn squeeze(&mut self, mut plain: &[u8]) -> Bytes {
            let mut out = Vec::with_capacity(plain.len() + 64);
            loop {
                let before = self.0.total_in();
                self.0.compress_vec(plain, &mut out, FlushCompress::Sync).expect("memory");
                plain = &plain[usize::try_from(self.0.total_in() - before).expect("small")..];
                if plain.is_empty() && out.len() < out.capacity() {
                    return out.into();
                }
                out.reserve(256);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::Deflater;
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    proptest! {
        #[test]
        fn blocks_come_back_squeezed_or_stored(
            blocks in prop::collection::vec(prop::collection::vec(("[a-z-]{1,12}", ".{0,80}"), 0..6), 0..6),
        ) {
            let (mut deflater, mut stored) = (Deflater::default(), Stored::default());
            let (mut first, mut second) = (Inflater::default(), Inflater::default());
            for block in blocks.into_iter().map(Headers) {
                let squeezed = first.read(&deflater.write(&block));
                prop_assert_eq!(squeezed.as_ref(), Ok(&block));
                let kept = stored.write(&block);
                prop_assert!(kept.ends_with(&[0, 0, 0, 0xff, 0xff]), "Go's zlib waits for this");
                prop_assert_eq!(second.read(&kept), Ok(block));
            }
        }
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let block = Deflater::default().write(&headers(&[("Streamtype", "stdin"), ("port", "80")]));
        let read = Inflater::default().read(&block).expect("a block");
        assert_eq!((read.get("streamtype"), read.get("port"), read.get("x")), (Some("stdin"), Some("80"), None));
    }

    #[test]
    fn a_block_that_swells_is_given_up() {
        let mut deflater = Deflater::default();
        let bomb = deflater.squeeze(&vec![0; 10 << 20]);
        assert!(bomb.len() < super::super::frame::CONTROL_BYTES_MAX, "{} bytes", bomb.len());
        assert_eq!(Inflater::default().read(&bomb), Err(HeadersError::TooLarge));
        let large = headers(&[("a", &"x".repeat(BLOCK_BYTES_MAX - 100))]);
        let mut deflater = Deflater::default();
        assert_eq!(Inflater::default().read(&deflater.write(&large)), Ok(large));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let read = |plain: &[u8]| Inflater::default().read(&Deflater::default().squeeze(plain));
        assert_eq!(read(&[0, 0, 0, 1, 0, 0, 0, 9, b'a']), Err(HeadersError::Malformed));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff]), Err(HeadersError::TooLarge));
        assert_eq!(read(&[0, 0, 0, 0, 1]), Err(HeadersError::Malformed), "bytes after the last pair");
        assert_eq!(read(&[0, 0]), Err(HeadersError::Malformed));
        for noise in [&b"hello"[..], &[0x78, 0x9c, 0xff, 0xff], &[0x78, 0xbb, 1, 2, 3, 4, 5]] {
            assert!(matches!(Inflater::default().read(noise), Err(HeadersError::Zlib(_))), "{noise:?}");
        }
    }
}
