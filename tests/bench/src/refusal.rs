//! Why a call was refused.
//!
//! Header blocks build on each other, and are decoded for nobody while calls succeed: they are kept as they come, a few bytes
//! each, until one of them must be understood.

use loona_hpack::Decoder;

/// The header blocks of one connection's answers.
#[derive(Default)]
pub struct Blocks {
    bytes: Vec<u8>,
    /// The stream of each, and where it ends.
    ends: Vec<(u32, usize)>,
}

impl Blocks {
    pub fn keep(&mut self, stream: u32, block: &[u8]) {
        self.bytes.extend_from_slice(block);
        self.ends.push((stream, self.bytes.len()));
    }

    /// What the answer of a stream says: status and message where it has them.
    pub fn told(&self, stream: u32) -> String {
        let (mut decoder, mut begin, mut told) = (Decoder::new(), 0, Vec::new());
        for (of, end) in &self.ends {
            let block = &self.bytes[begin..*end];
            begin = *end;
            match decoder.decode(block) {
                Ok(headers) if *of == stream => told.extend(headers),
                Ok(_) => {}
                Err(error) => return format!("a header block that cannot be read: {error:?}"),
            }
        }
        let line = |(name, value): &(Vec<u8>, Vec<u8>)| {
            format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        };
        let is_telling = |(name, _): &&(Vec<u8>, Vec<u8>)| name == b":status" || name.starts_with(b"grpc-");
        told.iter().filter(is_telling).map(line).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use loona_hpack::Encoder;

    use super::*;

    #[test]
    fn the_status_of_a_refused_call_is_found_among_other_answers() {
        let (mut encoder, mut blocks) = (Encoder::new(), Blocks::default());
        let mut keep = |stream: u32, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            blocks.keep(stream, &encoder.encode(headers));
        };
        keep(1, &[(":status", "200"), ("content-type", "application/grpc")]);
        keep(3, &[(":status", "200"), ("content-type", "application/grpc")]);
        keep(1, &[("grpc-status", "0")]);
        keep(3, &[("grpc-status", "14"), ("grpc-message", "etcdserver: request timed out")]);
        assert_eq!(blocks.told(3), ":status: 200, grpc-status: 14, grpc-message: etcdserver: request timed out");
    }
}
