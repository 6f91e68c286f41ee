use proptest::prelude::*;

use super::*;

fn any_frame() -> impl Strategy<Value = Frame> {
    let stream = 0..=STREAM_MASK;
    let block = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    prop_oneof![
        (stream.clone(), any::<bool>(), block()).prop_map(|(stream, fin, block)| Frame::SynStream {
            stream,
            fin,
            block
        }),
        (stream.clone(), any::<bool>(), block()).prop_map(|(stream, fin, block)| Frame::SynReply {
            stream,
            fin,
            block
        }),
        (stream.clone(), any::<bool>(), block()).prop_map(|(stream, fin, block)| Frame::Headers { stream, fin, block }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, status)| Frame::RstStream { stream, status }),
        (stream.clone(), any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (stream.clone(), 0..=STREAM_MASK).prop_map(|(stream, delta)| Frame::WindowUpdate { stream, delta }),
        any::<u32>().prop_map(Frame::Ping),
        prop::collection::vec((0..1_u32 << 24, any::<u32>()), 0..5).prop_map(Frame::Settings),
        (stream, any::<bool>(), prop::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from))
            .prop_map(|(stream, fin, bytes)| Frame::Data { stream, fin, bytes }),
    ]
}

/// Puts the pieces of data frames together again.
fn joined(frames: Vec<Frame>, lengths: &mut impl Iterator<Item = usize>) -> Vec<Frame> {
    let mut out: Vec<Frame> = Vec::new();
    let mut left = 0;
    for frame in frames {
        match (frame, out.last_mut()) {
            (Frame::Data { fin, bytes, .. }, Some(Frame::Data { fin: last_fin, bytes: last, .. })) if left > 0 => {
                left -= bytes.len();
                *last = [last.as_ref(), bytes.as_ref()].concat().into();
                *last_fin = fin;
            }
            (frame, _) => {
                if let Frame::Data { bytes, .. } = &frame {
                    left = lengths.next().expect("as many data frames") - bytes.len();
                }
                out.push(frame);
            }
        }
    }
    out
}

proptest! {
    #[test]
    fn frames_come_back_from_any_pieces(
        frames in prop::collection::vec(any_frame(), 0..8),
        cuts in prop::collection::vec(1..50_usize, 1..40),
    ) {
        let mut wire = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut wire));
        let (mut decoder, mut read, mut at) = (Decoder::default(), Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            if at == wire.len() {
                break;
            }
            let end = (at + cut).min(wire.len());
            decoder.push(&wire[at..end]);
            at = end;
            while let Some(frame) = decoder.next().expect("our own frames") {
                read.push(frame);
            }
        }
        let mut lengths = frames.iter().filter_map(|frame| match frame {
            Frame::Data { bytes, .. } => Some(bytes.len()),
            _ => None,
        });
        prop_assert_eq!(joined(read, &mut lengths), frames);
    }
}

#[test]
fn frames_are_written_as_the_specification_draws_them() {
    let mut out = BytesMut::new();
    Frame::Ping(5).encode(&mut out);
    assert_eq!(out[..], [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 5]);
    out.clear();
    Frame::Data { stream: 3, fin: true, bytes: Bytes::from_static(b"ab") }.encode(&mut out);
    assert_eq!(out[..], [0, 0, 0, 3, 1, 0, 0, 2, b'a', b'b']);
    out.clear();
    Frame::WindowUpdate { stream: 1, delta: 256 }.encode(&mut out);
    assert_eq!(out[..], [0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 1, 0]);
}

#[test]
fn what_is_no_frame_is_refused_before_it_is_held() {
    let next = |bytes: &[u8]| {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        decoder.next()
    };
    assert_eq!(next(&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 5]), Err(FrameError::Version(2)));
    assert_eq!(next(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]), Err(FrameError::TooLarge(0xff_ffff)));
    assert_eq!(
        next(&[0x80, 3, 0, 6, 0, 0, 0, 3, 0, 0, 0]),
        Err(FrameError::Malformed { kind: 6, bytes: 3 }),
        "a ping has four bytes"
    );
    assert_eq!(next(&[0x80, 3, 0, 99, 0, 0, 0, 1, 0]), Ok(Some(Frame::Unknown(99))));
    assert_eq!(next(&[0, 0, 0, 1, 0, 0xff, 0xff, 0xff]), Ok(None), "only what arrived is held");
}
