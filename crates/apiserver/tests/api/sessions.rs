//! The streams of the REST API as clients speak them: WebSocket, SPDY, and SPDY in a WebSocket, through TLS and HTTP to a
//! kubelet that this test plays.

mod door;
mod kubectl;
mod kubelet;
mod spdy;
mod websocket;

use std::time::Duration;

use door::Door;
use spdy::{Seen, Spdy};
use websocket::Socket;

const PORT_FORWARD: &str = "portforward?";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

#[track_caller]
fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()))
}

/// The exit code that a status tells.
fn exit_code(status: &[u8]) -> String {
    let status = json(status);
    assert_eq!(status["reason"], "NonZeroExitCode", "{status}");
    status["details"]["causes"][0]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exec_and_attach_over_a_websocket() {
    let door = Door::open().await;

    let mut cat = Socket::open(&door, "exec?command=cat&stdin=1&stdout=1", "v5.channel.k8s.io").await;
    cat.send(0, b"hello ").await;
    cat.ping().await;
    cat.send(0, b"world").await;
    cat.send(255, &[0]).await;
    let all = cat.all().await;
    assert_eq!(all[0], (1, Vec::new()), "an empty message tells that the session has begun");
    assert_eq!(all.of(1), b"hello world");
    assert_eq!(json(&all.of(3))["status"], "Success");

    for (protocol, base64) in [("v4.channel.k8s.io", false), ("v4.base64.channel.k8s.io", true)] {
        let query = "exec?command=exit&command=7&stdout=1&stderr=1";
        let all = Socket::open_as(&door, query, protocol, base64).await.all().await;
        assert_eq!((all.of(1), all.of(2)), (b"out".to_vec(), b"err".to_vec()), "{protocol}");
        assert_eq!(exit_code(&all.of(3)), "7", "{protocol}");
    }
    let old = Socket::open(&door, "exec?command=exit&command=7&stdout=1", "channel.k8s.io").await.all().await;
    assert!(old.of(3).ends_with(b"exit code 7"), "{:?}", old.of(3).escape_ascii().to_string());
    assert_eq!(old.of(2), b"", "nobody asked for it");
    let old = Socket::open(&door, "exec?command=exit&command=0&stdout=1", "base64.channel.k8s.io");
    assert_eq!(old.await.all().await.of(3), b"");

    let mut sizes = Socket::open(&door, "exec?command=size&stdout=1&tty=1&stdin=1", "v5.channel.k8s.io").await;
    sizes.send(4, br#"{"Width":80,"Height":24}"#).await;
    assert_eq!(sizes.all().await.of(1), b"80x24");

    let failed = Socket::open(&door, "exec?command=fail&stdout=1", "v5.channel.k8s.io").await.all().await;
    let status = json(&failed.of(3));
    assert_eq!((status["code"].as_i64(), status["reason"].as_str()), (Some(500), Some("InternalError")));
    assert_eq!(status["message"], "Internal error occurred: container not found (\"c\")");

    let mut attached = Socket::open(&door, "attach?stdin=1&stdout=1&container=c", "v5.channel.k8s.io").await;
    attached.send(0, b"attached").await;
    attached.send(255, &[0]).await;
    let all = attached.all().await;
    assert_eq!((all.of(1), json(&all.of(3))["status"].as_str()), (b"attached".to_vec(), Some("Success")));

    let sleeping = Socket::open(&door, "exec?command=sleep&stdout=1", "v5.channel.k8s.io").await;
    door.wait_for_sleepers(1).await;
    drop(sleeping);
    door.wait_for_sleepers(0).await;
    door.close().await;
}

async fn exec(door: &Door, query: &str, protocol: &str, streams: &[&str]) -> (Spdy, Vec<u32>) {
    let (head, stream) = door.spdy(query, protocol).await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains(protocol), "{head}");
    let mut spdy = Spdy::over(stream);
    let mut numbers = Vec::new();
    for kind in streams {
        numbers.push(spdy.open(&[("Streamtype", kind)]).await);
    }
    (spdy, numbers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exec_over_spdy() {
    let door = Door::open().await;
    let query = "exec?command=cat&stdin=1&stdout=1";
    let (mut cat, of) = exec(&door, query, "v4.channel.k8s.io", &["error", "stdin", "stdout"]).await;
    let [error, stdin, stdout] = of[..] else { panic!("three streams") };
    cat.data(error, b"", true).await;
    cat.ping(41).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| at as u8).collect();
    cat.data(stdin, &sent, true).await;
    let seen = cat.all().await;
    assert!(seen.contains(&Seen::Reply(error)) && seen.contains(&Seen::Reply(stdout)));
    assert!(seen.contains(&Seen::Pong(41)));
    assert!(spdy::data(&seen, stdout) == sent, "{} bytes", spdy::data(&seen, stdout).len());
    assert_eq!(json(&spdy::data(&seen, error))["status"], "Success");
    assert!(spdy::finished(&seen, stdout) && spdy::finished(&seen, error));
    let room = |stream| spdy::room(&seen, stream);
    assert!(room(stdin) > 900_000 && room(0) > 900_000, "the client hears that there is room");
    assert_eq!(seen.last(), Some(&Seen::GoAway));

    let query = "exec?command=exit&command=7&stdout=1&stderr=1";
    for protocol in ["v4.channel.k8s.io", "v2.channel.k8s.io"] {
        let (spdy, of) = exec(&door, query, protocol, &["error", "stdout", "stderr"]).await;
        let seen = spdy.all().await;
        assert_eq!((spdy::data(&seen, of[1]), spdy::data(&seen, of[2])), (b"out".to_vec(), b"err".to_vec()));
        let end = spdy::data(&seen, of[0]);
        match protocol {
            "v4.channel.k8s.io" => assert_eq!(exit_code(&end), "7"),
            _ => assert!(end.ends_with(b"exit code 7")),
        }
    }

    let query = "exec?command=size&stdin=1&stdout=1&stderr=1&tty=1";
    let streams = ["error", "stdin", "stdout", "resize"];
    let (mut sizes, of) = exec(&door, query, "v4.channel.k8s.io", &streams).await;
    sizes.data(of[3], b"{\"Width\":100,\"Height\":50}\n", false).await;
    assert_eq!(spdy::data(&sizes.all().await, of[2]), b"100x50");

    let query = "exec?command=sleep&stdout=1";
    let (sleeping, _) = exec(&door, query, "v4.channel.k8s.io", &["error", "stdout"]).await;
    door.wait_for_sleepers(1).await;
    drop(sleeping);
    door.wait_for_sleepers(0).await;
    door.close().await;
}

/// What port-forward does, whatever carries it.
async fn ports_are_forwarded(mut spdy: Spdy) {
    let open = |kind: &'static str, port: &'static str, request: &'static str| {
        [("streamType", kind), ("port", port), ("requestID", request)]
    };
    let error_1 = spdy.open(&open("error", "80", "0")).await;
    spdy.data(error_1, b"", true).await;
    let data_1 = spdy.open(&open("data", "80", "0")).await;
    let data_2 = spdy.open(&open("data", "80", "1")).await;
    let error_2 = spdy.open(&open("error", "80", "1")).await;
    spdy.data(data_2, b"second", false).await;
    spdy.data(data_1, b"first", false).await;
    let seen = spdy.until(|seen| !spdy::data(seen, data_1).is_empty()).await;
    assert_eq!((spdy::data(&seen, data_1), spdy::data(&seen, data_2)), (b"first".to_vec(), b"second".to_vec()));
    spdy.data(data_1, b"!", true).await;
    let seen = spdy.until(|seen| spdy::finished(seen, data_1) && spdy::finished(seen, error_1)).await;
    assert_eq!((spdy::data(&seen, data_1), spdy::data(&seen, error_1)), (b"!".to_vec(), Vec::new()));

    spdy.reset(data_2).await;
    spdy.until(|seen| spdy::finished(seen, error_2)).await;

    let error_3 = spdy.open(&open("error", "81", "2")).await;
    let data_3 = spdy.open(&open("data", "81", "2")).await;
    let seen = spdy.until(|seen| spdy::finished(seen, data_3) && spdy::finished(seen, error_3)).await;
    let why = String::from_utf8(spdy::data(&seen, error_3)).expect("text");
    assert!(why.starts_with("error forwarding port 81 to pod p, uid "), "{why}");
    assert!(why.ends_with("connection refused"), "{why}");

    // The kubelet ends the whole call; the next connection begins another one.
    let error_4 = spdy.open(&open("error", "82", "3")).await;
    let data_4 = spdy.open(&open("data", "82", "3")).await;
    let seen = spdy.until(|seen| spdy::finished(seen, data_4)).await;
    assert!(!spdy::data(&seen, error_4).is_empty());
    let _error_5 = spdy.open(&open("error", "80", "4")).await;
    let data_5 = spdy.open(&open("data", "80", "4")).await;
    spdy.data(data_5, b"again", false).await;
    spdy.until(|seen| spdy::data(seen, data_5) == b"again").await;

    let odd = spdy.open(&[("streamType", "stdin"), ("port", "80")]).await;
    let twice = spdy.open(&open("data", "80", "5")).await;
    let thrice = spdy.open(&open("data", "80", "5")).await;
    spdy.data(twice, b"too early", false).await;
    spdy.until(|seen| [odd, twice, thrice].iter().all(|stream| seen.contains(&Seen::Reset(*stream)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_over_spdy_and_in_a_websocket() {
    let door = Door::open().await;
    let (head, stream) = door.spdy(PORT_FORWARD, "portforward.k8s.io").await;
    assert!(head.contains("portforward.k8s.io"), "{head}");
    ports_are_forwarded(Spdy::over(stream)).await;
    ports_are_forwarded(Spdy::over(websocket::tunnel(&door, PORT_FORWARD, TUNNEL).await)).await;

    let mut channels = Socket::open(&door, "portforward?ports=80&ports=81", "v4.channel.k8s.io").await;
    channels.send(0, b"hello").await;
    let seen = channels.until(|seen| seen.of(0).ends_with(b"hello") && seen.of(3).len() > 2).await;
    assert_eq!((seen.of(0), seen.of(1)), (b"\x50\0hello".to_vec(), b"\x50\0".to_vec()), "the port, then data");
    assert_eq!((seen.of(2), &seen.of(3)[..2]), (b"\x51\0".to_vec(), &b"\x51\0"[..]));
    assert!(seen.of(3).ends_with(b"connection refused"));
    drop(channels);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_cannot_be_served_are_told_why() {
    let door = Door::open().await;
    let check = async |pod: &str, query: &str, headers: &str, expect: &str, words: &str| {
        let answer = door.http(&format!("GET /api/v1/namespaces/default/pods/{pod}/{query}"), headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expect}")), "{pod} {query}: {answer}");
        assert!(answer.contains(words), "{pod} {query}: {answer}");
    };
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v9.channel.k8s.io\r\n";
    let spdy = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9.channel.k8s.io\r\n";
    let exec = "exec?command=ls&stdout=1";
    check("none", exec, websocket, "404", "pods \\\"none\\\" not found").await;
    check("pending", exec, websocket, "400", "pod pending does not have a host assigned").await;
    check("pending", "portforward", spdy, "400", "pod pending does not have a host assigned").await;
    check("lost", exec, websocket, "404", "pods \\\"nn\\\" not found").await;
    check("p", "exec?command=ls&stdout=1&container=x", websocket, "400", "container x is not valid for pod p").await;
    check("p", "exec?command=ls", websocket, "400", "at least 1 of stdin, stdout, stderr").await;
    check("p", "exec?stdout=1", websocket, "400", "at least 1 command").await;
    check("p", exec, "", "400", "Upgrade request required").await;
    check("p", "portforward", "", "400", "Upgrade request required").await;
    check("p", exec, websocket, "403", "client supports [v9.channel.k8s.io], server accepts [v5.channel.k8s.io").await;
    check("p", exec, spdy, "403", "x-accepted-stream-protocol-versions: v4.channel.k8s.io").await;
    check("p", "portforward", spdy, "403", "x-accepted-stream-protocol-versions: portforward.k8s.io").await;
    let unversioned = websocket.replace("Version: 13", "Version: 8");
    check("p", exec, &unversioned, "426", "only version 13").await;
    let channels = websocket.replace("v9", "v4");
    check("p", "portforward", &channels, "400", "query parameter \\\"ports\\\" is required").await;

    check("p", "log?tailLines=3", "", "200", "c tail 3").await;
    check("pending", "log", "", "204", "").await;
    check("p", "log?limitBytes=0", "", "422", "PodLogOptions \\\"p\\\" is invalid: limitBytes: Invalid value: 0").await;
    check("p", "log?previous=1", "", "400", "previous terminated container").await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_waits_for_its_sessions_and_then_ends_them() {
    let door = Door::open_with(|limits| limits.drain_timeout = Duration::from_secs(2)).await;
    let mut cat = Socket::open(&door, "exec?command=cat&stdin=1&stdout=1", "v5.channel.k8s.io").await;
    let sleeping = Socket::open(&door, "exec?command=sleep&stdout=1", "v5.channel.k8s.io").await;
    door.wait_for_sleepers(1).await;
    let closing = tokio::spawn(door.close());
    cat.send(0, b"still there").await;
    cat.send(255, &[0]).await;
    assert_eq!(cat.all().await.of(1), b"still there");
    closing.await.expect("no panic");
    drop(sleeping);
}
