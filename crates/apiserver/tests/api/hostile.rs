//! Clients that mean no good: whatever they send, the others are served, and an administrator soon.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::harness::{Cluster, Engine};
use crate::raw::{Caller, read};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/none";

/// An administrator's request takes no longer, though the attackers run in this process, too.
const SERVED_WITHIN: Duration = Duration::from_secs(3);

#[track_caller]
fn is_served(begin: Instant, what: &str) {
    assert!(begin.elapsed() < SERVED_WITHIN, "{what}: {:?}", begin.elapsed());
}

async fn serves(admin: &Caller, what: &str) {
    let begin = Instant::now();
    assert_eq!(admin.get(MAP).await.code, 404, "{what}");
    is_served(begin, what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_bodies_are_bounded() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&["--request-timeout=5s"]).await;
    let (admin, alice) =
        (Caller::new(&cluster, server.address, "admin"), Caller::new(&cluster, server.address, "alice"));

    // Many heads that do not end, and many bodies.
    let mut slow = Vec::new();
    for at in 0..100 {
        let mut stream = alice.h1().await;
        let begin: &[u8] = match at % 2 {
            0 => b"GET /api HTTP/1.1\r\nHost: l\r\nX-Slow: ",
            _ => b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: l\r\nContent-Length: 1000\r\n\r\n{",
        };
        stream.write_all(begin).await.expect("sent");
        slow.push(stream);
    }
    serves(&admin, "slow heads and bodies").await;
    let late = tokio::time::timeout(Duration::from_secs(20), read(&mut slow[1])).await.expect("bodies have a deadline");
    assert_eq!(late.code, 504);
    drop(slow);

    let long = "x".repeat(300 << 10);
    let refused = admin.ask("GET", MAP, &format!("X-Long: {long}\r\n"), b"").await;
    assert!(matches!(refused.code, 431 | 0), "{}", refused.head);
    let refused = admin.get(&format!("{MAP}?{long}")).await;
    assert!(matches!(refused.code, 414 | 431 | 0), "{}", refused.head);
    let many: String = (0..10_000).map(|at| format!("X-{at}: y\r\n")).collect();
    let refused = admin.ask("GET", MAP, &many, b"").await;
    assert!(matches!(refused.code, 431 | 0), "{}", refused.head);
    let refused = admin.ask("POST", MAPS, "", &vec![b' '; 9 << 20]).await;
    assert!(matches!(refused.code, 413 | 0), "{} {}", refused.code, refused.head);
    serves(&admin, "large heads and bodies").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_traps_are_refused() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let admin = Caller::new(&cluster, server.address, "admin");
    let deep_json = format!(r#"{{"metadata":{{"name":"a"}},"data":{}"#, "[".repeat(200_000));
    let deep_maps = format!(r#"{{"x":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let deep_yaml = format!("a: {}", "[".repeat(200_000));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..12 {
        let inner = format!("*a{}, ", at - 1).repeat(9);
        bomb.push_str(&format!("a{at}: &a{at} [{inner}]\n"));
    }
    let not_utf8 = [br#"{"metadata":{"name":""#.as_slice(), &[0xff, 0xfe, 0xc0], br#""}}"#].concat();
    let json = "Content-Type: application/json\r\n";
    let yaml = "Content-Type: application/yaml\r\n";
    let protobuf = "Content-Type: application/vnd.kubernetes.protobuf\r\n";
    // A message in a message in a message.
    let mut nested = vec![0x0a, 0x00];
    while nested.len() < 100_000 {
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.extend_from_slice(&nested[..nested.len().min(60_000)]);
        if outer.len() <= nested.len() {
            break;
        }
        nested = outer;
        if nested.len() > 2000 {
            break;
        }
    }
    let nested = [b"k8s\0".as_slice(), &nested].concat();
    for (what, headers, body) in [
        ("nested lists in JSON", json, deep_json.as_bytes()),
        ("nested maps in JSON", json, deep_maps.as_bytes()),
        ("nested lists in YAML", yaml, deep_yaml.as_bytes()),
        ("aliases of aliases in YAML", yaml, bomb.as_bytes()),
        ("no UTF-8", json, &not_utf8),
        ("no UTF-8 in YAML", yaml, &not_utf8),
        ("nested messages", protobuf, &nested),
    ] {
        let begin = Instant::now();
        let refused = admin.ask("POST", MAPS, headers, body).await;
        assert!((400..500).contains(&refused.code), "{what}: {} {}", refused.head, refused.body.escape_ascii());
        assert!(begin.elapsed() < Duration::from_secs(5), "{what}: {:?}", begin.elapsed());
        serves(&admin, what).await;
    }
    server.stop().await;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// GET https://x/
const REQUEST: [u8; 6] = [0x82, 0x87, 0x84, 0x41, 0x01, b'x'];
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Sends frames as fast as they are taken, until the server ends the connection or the time is over.
async fn flood(alice: Caller, until: Instant, mut next: impl FnMut(u32) -> Vec<u8> + Send) {
    let mut stream: TlsStream<TcpStream> = alice.h2().await;
    if stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.is_err() {
        return;
    }
    let (mut from, mut to) = tokio::io::split(stream);
    let reading = tokio::spawn(async move {
        let mut piece = vec![0; 64 << 10];
        while matches!(from.read(&mut piece).await, Ok(len) if len > 0) {}
    });
    let mut at = 0;
    while Instant::now() < until {
        let mut many = Vec::new();
        for _ in 0..100 {
            many.extend(next(at));
            at += 1;
        }
        let sent = tokio::time::timeout(Duration::from_secs(1), to.write_all(&many)).await;
        if matches!(sent, Ok(Err(_))) {
            break;
        }
    }
    reading.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_stop_nobody() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let (admin, alice) =
        (Caller::new(&cluster, server.address, "admin"), Caller::new(&cluster, server.address, "alice"));
    type Next = Box<dyn FnMut(u32) -> Vec<u8> + Send>;
    type Make = fn() -> Next;
    let floods: [(&str, Make); 7] = [
        ("requests that are given up at once", || {
            Box::new(|at| {
                let stream = 2 * at + 1;
                [
                    frame(HEADERS, END_HEADERS | END_STREAM, stream, &REQUEST),
                    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
                ]
                .concat()
            })
        }),
        ("settings", || Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]))),
        ("pings", || Box::new(|_| frame(PING, 0, 0, &[1; 8]))),
        ("empty data", || {
            Box::new(|at| match at {
                0 => frame(HEADERS, END_HEADERS, 1, &REQUEST),
                _ => frame(DATA, 0, 1, &[]),
            })
        }),
        ("heads without end", || {
            Box::new(|at| match at {
                0 => frame(HEADERS, 0, 1, &REQUEST),
                _ => frame(CONTINUATION, 0, 1, &[0x00, 0x01, b'a', 0x01, b'b']),
            })
        }),
        ("empty continuations", || {
            Box::new(|at| match at {
                0 => frame(HEADERS, 0, 1, &REQUEST),
                _ => frame(CONTINUATION, 0, 1, &[]),
            })
        }),
        ("windows of one byte", || {
            Box::new(|at| {
                [
                    frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &REQUEST),
                    frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
                ]
                .concat()
            })
        }),
    ];
    for (what, make) in floods {
        let until = Instant::now() + Duration::from_secs(2);
        let mut attackers = JoinSet::new();
        for _ in 0..2 {
            attackers.spawn(flood(alice.clone(), until, make()));
        }
        let mut served = 0;
        while !attackers.is_empty() && Instant::now() < until {
            serves(&admin, what).await;
            served += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(served > 0, "{what}");
        attackers.shutdown().await;
        serves(&admin, what).await;
    }
    server.stop().await;
}
