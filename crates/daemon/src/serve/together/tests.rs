use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn what_is_flushed_leaves_with_the_next_read() {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let mut holding = Holding::new(far);
    let held = holding.held();
    for part in ["one ", "two ", "three"] {
        holding.write_all(part.as_bytes()).await.unwrap();
        holding.flush().await.unwrap();
    }
    assert!(held.wants_writing());
    let mut nothing = [0; 8];
    assert!(futures::poll!(std::pin::pin!(holding.read(&mut nothing))).is_pending());
    assert!(!held.wants_writing());
    let mut got = [0; 13];
    near.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"one two three");
}

#[tokio::test]
async fn a_slow_reader_stops_the_writer_and_loses_nothing() {
    let (mut near, far) = tokio::io::duplex(1000);
    let mut holding = Holding::new(far);
    let writer = tokio::spawn(async move {
        for at in 0..3000_u32 {
            holding.write_all(&at.to_be_bytes().repeat(16)).await.unwrap();
            holding.flush().await.unwrap();
        }
        holding.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    near.read_to_end(&mut got).await.unwrap();
    writer.await.unwrap();
    let expect: Vec<u8> = (0..3000_u32).flat_map(|at| at.to_be_bytes().repeat(16)).collect();
    assert!(got == expect, "{} bytes", got.len());
}

#[tokio::test]
async fn much_is_written_behind_what_waits() {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let mut holding = Holding::new(far);
    holding.write_all(b"first").await.unwrap();
    let (one, two) = (vec![1; HELD_BYTES_MAX], vec![2; 10]);
    let parts = [io::IoSlice::new(&one), io::IoSlice::new(&two)];
    let mut written = holding.write_vectored(&parts).await.unwrap();
    assert!(!holding.held().wants_writing(), "nothing is held back");
    if written == one.len() {
        written += holding.write(&two).await.unwrap();
    }
    holding.shutdown().await.unwrap();
    let mut got = Vec::new();
    near.read_to_end(&mut got).await.unwrap();
    assert_eq!(written, one.len() + two.len());
    assert!(got == [&b"first"[..], &one, &two].concat());
}

#[tokio::test]
async fn what_was_written_past_is_flushed_where_the_stream_buffers() {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let mut holding = Holding::new(tokio::io::BufWriter::with_capacity(1 << 20, far));
    let much = vec![1; HELD_BYTES_MAX];
    assert_eq!(holding.write_vectored(&[io::IoSlice::new(&much)]).await.unwrap(), much.len());
    holding.flush().await.unwrap();
    let mut got = vec![0; much.len()];
    near.read_exact(&mut got).await.unwrap();
    assert!(got == much);
}

/// Calls and the connection wake each other, and are woken by other threads at any moment: none is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost() {
    const CALLS: usize = 8;
    const MESSAGES: usize = 3000;
    let mut running = Running::default();
    let executor = running.executor();
    let (to_connection, mut from_calls) = tokio::sync::mpsc::channel(1);
    let mut echoes = Vec::new();
    for _ in 0..CALLS {
        let (tx, mut rx) = tokio::sync::mpsc::channel::<usize>(1);
        let (echo, mut echoed) = tokio::sync::mpsc::channel(1);
        let to_connection = to_connection.clone();
        hyper::rt::Executor::execute(&executor, async move {
            while let Some(message) = rx.recv().await {
                to_connection.send(()).await.unwrap();
                echo.send(message).await.unwrap();
            }
        });
        // The next message leaves when the last is back: one lost wake-up would be the end.
        echoes.push(tokio::spawn(async move {
            for message in 0..MESSAGES {
                tx.send(message).await.unwrap();
                assert_eq!(echoed.recv().await, Some(message));
            }
        }));
    }
    drop(to_connection);
    let connection = async move {
        let mut count = 0;
        while from_calls.recv().await.is_some() {
            count += 1;
        }
        count
    };
    let serving = tokio::spawn(async move {
        let (mut connection, held) = (std::pin::pin!(connection), Held::default());
        std::future::poll_fn(|cx| running.poll(connection.as_mut(), &held, cx)).await
    });
    let all = async {
        for echo in echoes {
            echo.await.unwrap();
        }
        serving.await.unwrap()
    };
    let count = tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("a wake-up was lost");
    assert_eq!(count, CALLS * MESSAGES);
}

#[tokio::test]
async fn a_call_that_wakes_itself_lets_others_run() {
    let (mut running, held) = (Running::default(), Held::default());
    hyper::rt::Executor::execute(
        &running.executor(),
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }),
    );
    let mut connection = std::pin::pin!(std::future::pending::<()>());
    let polled = std::future::poll_fn(|cx| Poll::Ready(running.poll(connection.as_mut(), &held, cx))).await;
    assert!(polled.is_pending());
}

#[tokio::test]
async fn a_connection_that_never_reads_lets_others_run() {
    let (mut running, held) = (Running::default(), Held::default());
    held.bytes.store(true, Ordering::Relaxed);
    let mut connection = std::pin::pin!(std::future::pending::<()>());
    let polled = std::future::poll_fn(|cx| Poll::Ready(running.poll(connection.as_mut(), &held, cx))).await;
    assert!(polled.is_pending());
}

#[tokio::test]
async fn calls_run_with_their_connection() {
    let mut running = Running::default();
    let executor = running.executor();
    let (tx, rx) = tokio::sync::oneshot::channel();
    let (end, ended) = tokio::sync::oneshot::channel();
    hyper::rt::Executor::execute(&executor, async move {
        end.send(rx.await.unwrap()).unwrap();
    });
    tx.send(7).unwrap();
    let mut connection = std::pin::pin!(ended);
    let held = Held::default();
    let got = std::future::poll_fn(|cx| running.poll(connection.as_mut(), &held, cx)).await;
    assert_eq!(got, Ok(7));
}
