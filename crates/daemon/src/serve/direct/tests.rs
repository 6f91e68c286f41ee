use std::sync::atomic::AtomicUsize;

use super::*;

fn framed(parts: &[&[u8]]) -> BytesMut {
    let mut out = BytesMut::new();
    for part in parts {
        out.put_u8(0);
        out.put_u32(part.len() as u32);
        out.put_slice(part);
    }
    out
}

#[test]
fn messages_are_cut_where_they_end() {
    let mut buffer = framed(&[b"one", b"", b"three"]);
    let last = buffer.split_off(buffer.len() - 1);
    assert_eq!(split(&mut buffer, 10).unwrap().unwrap(), "one");
    assert_eq!(split(&mut buffer, 10).unwrap().unwrap(), "");
    assert!(split(&mut buffer, 10).unwrap().is_none());
    buffer.unsplit(last);
    assert_eq!(split(&mut buffer, 10).unwrap().unwrap(), "three");
    assert!(buffer.is_empty());
}

#[test]
fn lengths_are_checked_before_they_are_believed() {
    let mut buffer = BytesMut::from(&[0, 0xff, 0xff, 0xff, 0xff][..]);
    assert_eq!(split(&mut buffer, 10).unwrap_err().code(), tonic::Code::ResourceExhausted);
    let mut buffer = BytesMut::from(&[1, 0, 0, 0, 1, 7][..]);
    assert_eq!(split(&mut buffer, 10).unwrap_err().code(), tonic::Code::Unimplemented);
}

fn talk(count: u8, outgoing: &Outgoing) -> Talk {
    let theirs = outgoing.clone();
    let session = async move {
        for at in 0..count {
            if !theirs.write(|out| out.put_slice(&[at; 8 << 10])) {
                theirs.room().await;
            }
        }
        Status::not_found("no more")
    };
    Talk::new(session, outgoing.clone())
}

#[tokio::test]
async fn a_session_says_what_it_says_and_how_it_ended() {
    let mut talk = talk(50, &Outgoing::default());
    let mut got = Vec::new();
    while let Some(frame) = talk.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => got.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                assert_eq!(trailers[Status::GRPC_STATUS], "5");
            }
        }
    }
    let expect: Vec<u8> = (0..50).flat_map(|at| [at; 8 << 10]).collect();
    assert!(got == expect, "{} bytes", got.len());
}

#[tokio::test]
async fn a_session_is_polled_when_it_is_woken_and_only_then() {
    let polls = Arc::new(AtomicUsize::new(0));
    let (tx, mut rx) = tokio::sync::mpsc::channel(1);
    let (counted, outgoing) = (polls.clone(), Outgoing::default());
    let theirs = outgoing.clone();
    let session = std::future::poll_fn(move |cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        while let Poll::Ready(message) = rx.poll_recv(cx) {
            match message {
                Some(byte) => assert!(theirs.write(|out| out.put_u8(byte))),
                None => return Poll::Ready(Status::ok("")),
            }
        }
        Poll::Pending
    });
    let mut talk = Talk::new(session, outgoing);
    for byte in 0..10_u8 {
        for _ in 0..3 {
            assert!(futures::poll!(talk.frame()).is_pending());
        }
        tx.send(byte).await.unwrap();
        assert_eq!(talk.frame().await.unwrap().unwrap().into_data().unwrap(), &[byte][..]);
    }
    drop(tx);
    assert!(talk.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(polls.load(Ordering::Relaxed), 12);
}

#[tokio::test]
async fn a_session_waits_for_a_caller_that_is_behind() {
    let outgoing = Outgoing::default();
    let mut talk = talk(50, &outgoing);
    let first = talk.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), WAITING_BYTES_MAX);
    assert!(outgoing.take().is_none(), "it runs only when it is asked");
}
