//! The answer to a range, written past protobuf's structs: its length is known before a value is read, so that large answers
//! are made in pieces, each of a handy size, and no value is held twice.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint, message};
use proto::etcdserverpb::ResponseHeader;

use super::Selection;
use crate::mvcc::history::{Loc, Version};

/// Bytes of a piece, about.
const PIECE_BYTES: usize = 256 << 10;

/// The numbers of a RangeResponse's fields.
const HEADER: u32 = 1;
const KVS: u32 = 2;
const MORE: u32 = 3;
const COUNT: u32 = 4;
/// The numbers of a KeyValue's fields.
const KEY: u32 = 1;
const CREATE_REVISION: u32 = 2;
const MOD_REVISION: u32 = 3;
const VERSION: u32 = 4;
const VALUE: u32 = 5;
const LEASE: u32 = 6;

/// Wire types.
const NUMBER: u32 = 0;
const BYTES: u32 = 2;

/// A selection with its head, whose length is known.
pub struct Encoding {
    selection: Selection,
    head: BytesMut,
    len: usize,
}

impl Selection {
    /// Begins to encode; none for a selection that sorts by value, which needs them all first.
    pub fn encoding(self, header: &ResponseHeader) -> Result<Encoding, Self> {
        if self.by_value.is_some() {
            return Err(self);
        }
        let mut head = BytesMut::with_capacity(64);
        message::encode(HEADER, header, &mut head);
        let row_len = |(key, version): &(Bytes, Version)| bytes_len(row_len(key, version, self.value_len(version)));
        let rows: usize = self.rows.iter().map(row_len).sum();
        let len = head.len() + rows + number_len(i64::from(self.more)) + number_len(self.count);
        Ok(Encoding { selection: self, head, len })
    }

    fn value_len(&self, version: &Version) -> usize {
        if self.keys_only { 0 } else { version.loc.len as usize }
    }
}

impl Encoding {
    /// Bytes of the whole message.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where the values lie, in the order in which they are wanted.
    pub fn locs(&self) -> Vec<Loc> {
        match self.selection.keys_only {
            true => Vec::new(),
            false => self.selection.rows.iter().map(|(_, version)| version.loc).collect(),
        }
    }

    /// The message behind `prefix`, in pieces. `next` gives the values of [`Encoding::locs`]; one that is not as long as the
    /// index has it is an error, as the length of the message was told before.
    pub fn write(self, prefix: &[u8], mut next: impl FnMut() -> io::Result<Bytes>) -> io::Result<Vec<Bytes>> {
        let Self { selection, head, len } = self;
        let mut left = prefix.len() + len;
        let mut pieces = Vec::with_capacity(left / PIECE_BYTES + 1);
        let mut piece = BytesMut::with_capacity(left.min(PIECE_BYTES));
        piece.put_slice(prefix);
        piece.put_slice(&head);
        for (key, version) in &selection.rows {
            let value = if selection.keys_only { Bytes::new() } else { next()? };
            if value.len() != selection.value_len(version) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a value has another length than the index has",
                ));
            }
            let row = row_len(key, version, value.len());
            if piece.len() + row > PIECE_BYTES && !piece.is_empty() {
                left -= piece.len();
                pieces.push(std::mem::replace(&mut piece, BytesMut::with_capacity(left.min(PIECE_BYTES))).freeze());
            }
            put_tag(&mut piece, KVS, BYTES);
            encode_varint(row as u64, &mut piece);
            put_row(&mut piece, key, version, &value);
        }
        put_number(&mut piece, MORE, i64::from(selection.more));
        put_number(&mut piece, COUNT, selection.count);
        pieces.push(piece.freeze());
        Ok(pieces)
    }
}

fn row_len(key: &Bytes, version: &Version, value_len: usize) -> usize {
    let bytes = |len: usize| if len == 0 { 0 } else { bytes_len(len) };
    bytes(key.len())
        + number_len(version.create)
        + number_len(version.main)
        + number_len(version.version)
        + bytes(value_len)
        + number_len(version.lease)
}

fn put_row(out: &mut BytesMut, key: &[u8], version: &Version, value: &[u8]) {
    put_bytes(out, KEY, key);
    put_number(out, CREATE_REVISION, version.create);
    put_number(out, MOD_REVISION, version.main);
    put_number(out, VERSION, version.version);
    put_bytes(out, VALUE, value);
    put_number(out, LEASE, version.lease);
}

/// Of a field with so many bytes.
fn bytes_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn number_len(number: i64) -> usize {
    if number == 0 { 0 } else { 1 + encoded_len_varint(number as u64) }
}

fn put_tag(out: &mut BytesMut, field: u32, kind: u32) {
    out.put_u8((field << 3 | kind) as u8);
}

fn put_bytes(out: &mut BytesMut, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_tag(out, field, BYTES);
        encode_varint(bytes.len() as u64, out);
        out.put_slice(bytes);
    }
}

fn put_number(out: &mut BytesMut, field: u32, number: i64) {
    if number != 0 {
        put_tag(out, field, NUMBER);
        encode_varint(number as u64, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), 1..200_i64, any::<i64>()]
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 1..200), Just(vec![7; PIECE_BYTES / 3])]
    }

    prop_compose! {
        fn row()(key in bytes(), main in number(), create in number(), version in number(), lease in number(),
                 value in bytes()) -> ((Bytes, Version), Bytes) {
            let loc = Loc { len: value.len() as u32, ..Default::default() };
            ((key.into(), Version { main, create, version, lease, loc, ..Default::default() }), value.into())
        }
    }

    proptest! {
        #[test]
        fn an_encoded_answer_is_the_answer(
            rows in prop::collection::vec(row(), 0..8),
            (count, revision, more, keys_only) in (number(), number(), any::<bool>(), any::<bool>()),
        ) {
            let (rows, values): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let selection = || Selection { rows: rows.clone(), count, more, by_value: None, keys_only, revision };
            let header = ResponseHeader { cluster_id: 1 << 63, member_id: 7, revision, raft_term: 2 };
            let mut expect = selection().finish_all(|_| Ok(values.clone())).expect("memory");
            expect.header = Some(header);
            let Ok(encoding) = selection().encoding(&header) else { panic!("nothing is sorted by value") };
            let len = encoding.len();
            prop_assert_eq!(encoding.locs().len(), if keys_only { 0 } else { values.len() });
            let mut next = values.iter().cloned();
            let pieces = encoding.write(b"first", || Ok(next.next().expect("one for each"))).expect("memory");
            prop_assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES + 1000));
            let whole = pieces.concat();
            prop_assert_eq!(whole.len(), 5 + len);
            prop_assert!(whole[5..] == expect.encode_to_vec(), "not what protobuf makes of {:?}", expect);
        }
    }

    #[test]
    fn a_value_of_another_length_is_no_answer() {
        let loc = Loc { len: 3, ..Default::default() };
        let rows = vec![(Bytes::from_static(b"key"), Version { loc, ..Default::default() })];
        let selection = Selection { rows, count: 1, more: false, by_value: None, keys_only: false, revision: 1 };
        let Ok(encoding) = selection.encoding(&ResponseHeader::default()) else { panic!("nothing is sorted by value") };
        encoding.write(b"", || Ok(Bytes::from_static(b"four"))).expect_err("another value");
    }
}
