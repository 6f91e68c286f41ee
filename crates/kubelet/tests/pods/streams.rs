//! Logs and attach through the kubelet's own service, and what a killed writer may lose.

use std::time::Duration;

use daemon::tls::Peer;
use kubelet::logs::file::rotated;
use proto::core::v1::Pod;
use proto::keelson::api::v1::exec_input::Input;
use proto::keelson::api::v1::exec_output::Output;
use proto::keelson::api::v1::{ExecInput, ExecStart, LogsRequest, PortForwardFrame};
use tonic::{Code, Status};

use crate::lab::{Lab, eventually, on_lab};
use crate::{FOREVER, is_ready, pod, shell};

fn waiting(pod: &Pod) -> String {
    let status = pod.status.container_statuses.first();
    status.and_then(|status| status.state.waiting.clone()).unwrap_or_default().reason
}

#[test]
fn logs_give_a_part_the_run_before_and_what_comes() {
    on_lab(async |lab: &Lab| {
        let crash = pod("crash", "Always", vec![shell("echo run; exit 1")]);
        lab.create(&crash).await;
        lab.wait(&crash, "CrashLoopBackOff", |pod| waiting(pod) == "CrashLoopBackOff").await;
        // The run that just ended is what both show.
        for previous in [false, true] {
            let text = lab.logs(LogsRequest { previous, ..LogsRequest::default() }, &crash).await.unwrap();
            assert_eq!(text, "run\n", "previous: {previous}");
        }
        lab.delete(&crash, 0).await;

        let slow = pod("slow", "Never", vec![shell("echo old; sleep 3; echo new; echo newer")]);
        lab.create(&slow).await;
        lab.wait(&slow, "Ready", is_ready).await;
        let follow = lab.logs(LogsRequest { follow: true, ..LogsRequest::default() }, &slow).await.unwrap();
        assert_eq!(follow, "old\nnew\nnewer\n");
        let since = LogsRequest { since_seconds: Some(2), ..LogsRequest::default() };
        assert_eq!(lab.logs(since, &slow).await.unwrap(), "new\nnewer\n");
        let tail = LogsRequest { tail_lines: Some(1), ..LogsRequest::default() };
        assert_eq!(lab.logs(tail, &slow).await.unwrap(), "newer\n");
        lab.delete(&slow, 0).await;
        for pod in [&crash, &slow] {
            lab.wait_gone(pod).await;
        }
    });
}

#[test]
fn a_follower_of_a_log_that_is_rotated_misses_no_line() {
    on_lab(async |lab: &Lab| {
        const LINES: usize = 300_000;
        // Some 14 MiB: rotated once. The pause lets the follower come first.
        let pod = pod("long", "Never", vec![shell(&format!("sleep 1; seq 1 {LINES}"))]);
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        let text = lab.logs(LogsRequest { follow: true, ..LogsRequest::default() }, &pod).await.unwrap();
        assert!(text.lines().eq((1..=LINES).map(|n| n.to_string()).collect::<Vec<_>>()));
        assert_eq!(rotated(&lab.log_path(&running, "c", 0)).len(), 1);
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

/// docs/kubelet.md says what a killed writer may lose: this.
#[test]
fn a_writer_that_is_killed_in_a_burst_leaves_one_gap_and_no_torn_record() {
    on_lab(async |lab: &Lab| {
        const LINES: u64 = 250_000;
        /// What is read at once, and the line that was begun.
        const GAP_BYTES_MAX: u64 = 64 * 1024 + 16 * 1024;
        const KILLS: usize = 2;
        // Some 20 MiB of lines that all have the same length.
        let pod = pod(
            "burst",
            "Never",
            vec![shell(&format!("seq -w 1 {LINES} | sed 's/$/ ................................/'"))],
        );
        lab.create(&pod).await;
        let path = lab.log_path(&pod, "c", 0);
        for _ in 0..KILLS {
            let before = std::fs::metadata(&path).map_or(0, |meta| meta.len());
            eventually("more of the log", async || std::fs::metadata(&path).is_ok_and(|meta| meta.len() != before))
                .await;
            lab.kill_log_writer(&pod);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ended = lab.wait(&pod, "Succeeded", |pod| pod.status.phase == "Succeeded").await;
        let text = lab.logs(LogsRequest::default(), &ended).await.unwrap();
        let (mut gaps, mut last, mut torn) = (0, 0, 0);
        for line in text.lines() {
            let whole = line.len() == 6 + 33;
            let Some(n) = line.split(' ').next().and_then(|word| word.parse::<u64>().ok()).filter(|_| whole) else {
                // The rest of a line whose beginning was lost: only ever the first after a gap.
                torn += 1;
                continue;
            };
            assert!(n > last, "{n} after {last}");
            if n != last + 1 {
                gaps += 1;
                assert!((n - last - 1) * 40 <= GAP_BYTES_MAX, "{} lines are missing", n - last - 1);
            }
            last = n;
        }
        assert!(gaps <= KILLS && torn <= KILLS, "{gaps} gaps, {torn} torn lines");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

#[test]
fn attach_carries_standard_input_and_what_is_said_to_it() {
    on_lab(async |lab: &Lab| {
        let mut container = shell("echo early; while read line; do echo got $line; done; echo end");
        (container.stdin, container.stdin_once) = (true, true);
        let pod = pod("attached", "Never", vec![container]);
        lab.create(&pod).await;
        lab.wait(&pod, "Ready", is_ready).await;
        let start = ExecStart {
            pod: Some(Lab::reference(&pod)),
            stdin: true,
            stdout: true,
            stderr: true,
            ..ExecStart::default()
        };
        let (tx, rx) = tokio::sync::mpsc::channel(4);
        let say = |input| ExecInput { input: Some(input) };
        tx.send(say(Input::Start(start))).await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(rx);
        let mut answers = lab.client().await.attach(stream).await.unwrap().into_inner();
        let first = answers.message().await.unwrap().unwrap().output;
        assert_eq!(first, Some(Output::Started(true)));
        tx.send(say(Input::Stdin("one\ntwo\n".into()))).await.unwrap();
        tx.send(say(Input::StdinClosed(true))).await.unwrap();
        let mut text = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            match answer.output {
                Some(Output::Stdout(bytes)) => text.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
        // What was written before somebody attached is in the log alone.
        assert_eq!(String::from_utf8(text).unwrap(), "got one\ngot two\nend\n");
        let ended = lab.wait(&pod, "Succeeded", |pod| pod.status.phase == "Succeeded").await;
        assert_eq!(lab.log(&ended, "c", 0), "early\ngot one\ngot two\nend\n");
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}

/// What each call answers to a caller who names a pod and a command that are there.
async fn answers(lab: &Lab, pod: &Pod, peer: Option<Peer>) -> [Result<(), Status>; 4] {
    let mut client = lab.client_as(peer).await;
    let command = ["touch", "/tmp/was-here"].map(String::from).to_vec();
    let start = ExecStart { pod: Some(Lab::reference(pod)), stdout: true, command, ..ExecStart::default() };
    let input = || tokio_stream::iter([ExecInput { input: Some(Input::Start(start.clone())) }]);
    let logs = LogsRequest { pod: Some(Lab::reference(pod)), ..LogsRequest::default() };
    [
        client.logs(logs).await.map(drop),
        client.exec(input()).await.map(drop),
        client.attach(input()).await.map(drop),
        client.port_forward(tokio_stream::empty::<PortForwardFrame>()).await.map(drop),
    ]
}

#[test]
fn strangers_reach_nothing_of_the_kubelet() {
    on_lab(async |lab: &Lab| {
        let pod = pod("private", "Always", vec![shell(FOREVER)]);
        lab.create(&pod).await;
        let running = lab.wait(&pod, "Ready", is_ready).await;
        let named = |name: &str, groups: &[&str]| {
            let organizations = groups.iter().map(|group| (*group).to_owned()).collect();
            Some(Peer { common_name: name.into(), organizations })
        };
        for (peer, code) in [
            (None, Code::Unauthenticated),
            (named("system:node:other", &["system:nodes"]), Code::PermissionDenied),
            (named("system:node:lab", &["system:nodes"]), Code::PermissionDenied),
            (named("system:masters", &["system:authenticated"]), Code::PermissionDenied),
            (named("", &[]), Code::PermissionDenied),
        ] {
            for answer in answers(lab, &running, peer.clone()).await {
                assert_eq!(answer.map_err(|status| status.code()), Err(code), "{peer:?}");
            }
        }
        let (code, _) = lab.exec(&running, "c", &["test", "-e", "/tmp/was-here"]).await;
        assert_eq!(code, 1, "a stranger's command ran");
        // The same calls of those who may.
        for peer in [named("kube-apiserver-kubelet-client", &[]), named("anna", &["staff", "system:masters"])] {
            for answer in answers(lab, &running, peer.clone()).await {
                let code = answer.map_err(|status| status.code());
                assert!(!matches!(code, Err(Code::Unauthenticated | Code::PermissionDenied)), "{peer:?}: {code:?}");
            }
        }
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}
