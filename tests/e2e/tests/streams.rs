//! What a user sees of logs, exec, cp and port-forward.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use daemon::tls::ClientIdentity;
use proto::keelson::api::v1::{LogsRequest, PodRef};
use proto::keelson::node::v1::node_client::NodeClient;
use test_e2e::space::LIMIT;
use test_e2e::{Space, World, manifest};
use testkit::pki::Authority;
use testkit::terminal::{self, Terminal};
use testkit::{http, namespace, wait};
use tonic::Code;

fn main() -> ExitCode {
    test_e2e::run(
        || World::start("streams", |_| {}),
        &[
            ("exec_carries_output_errors_and_the_exit_code", exec_carries_output_errors_and_the_exit_code),
            ("exec_carries_input", exec_carries_input),
            ("a_shell_on_a_terminal_is_as_if_one_sat_there", a_shell_on_a_terminal_is_as_if_one_sat_there),
            ("attach_speaks_to_the_main_process", attach_speaks_to_the_main_process),
            ("attach_to_a_terminal_is_as_if_one_sat_there", attach_to_a_terminal_is_as_if_one_sat_there),
            ("logs_follow_while_lines_are_written", logs_follow_while_lines_are_written),
            ("logs_of_the_previous_container_are_kept", logs_of_the_previous_container_are_kept),
            ("files_are_copied_both_ways", files_are_copied_both_ways),
            ("a_forwarded_port_serves_the_pods_page", a_forwarded_port_serves_the_pods_page),
            (
                "only_the_apiserver_and_administrators_reach_a_kubelet",
                only_the_apiserver_and_administrators_reach_a_kubelet,
            ),
        ],
    )
}

fn exec_carries_output_errors_and_the_exit_code(world: &World) -> Result<()> {
    let space = world.space("exec")?;
    space.apply(&manifest::pod("pod", "exec sleep 98721", ""))?;
    space.wait_ready("pod")?;
    let args = ["exec", "pod", "--", "sh", "-c", "echo out; echo err >&2; exit 7"];
    let output = world.keelctl().output(&space.with_namespace(&args))?;
    ensure!(output.stdout == b"out\n", "{output:?}");
    ensure!(output.stderr.starts_with(b"err\n"), "{output:?}");
    ensure!(output.status.code() == Some(7), "{output:?}");
    Ok(())
}

fn exec_carries_input(world: &World) -> Result<()> {
    let space = world.space("input")?;
    space.apply(&manifest::pod("pod", "exec sleep 98722", ""))?;
    space.wait_ready("pod")?;
    let text = "line of input\n".repeat(20_000);
    let args = space.with_namespace(&["exec", "-i", "pod", "--", "wc", "-c"]);
    let counted = world.keelctl().run_with_input(&args, &text)?;
    ensure!(counted.trim() == text.len().to_string(), "{counted} of {} bytes came", text.len());
    Ok(())
}

fn a_shell_on_a_terminal_is_as_if_one_sat_there(world: &World) -> Result<()> {
    let space = world.space("terminal")?;
    space.apply(&manifest::pod("pod", "exec sleep 98726", ""))?;
    space.wait_ready("pod")?;
    let (ours, theirs) = terminal::open(91, 33)?;
    let command = world.keelctl().command(&space.with_namespace(&["exec", "-it", "pod", "--", "sh"]));
    let mut child = terminal::on(theirs, &command)?.spawn()?;
    let mut terminal = Terminal::new(ours)?;
    let visit = visit_shell(&space, &mut terminal);
    if visit.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    visit?;
    ensure!(status.code() == Some(7), "{status}");
    ensure!(terminal.is_cooked()?, "the terminal is left raw");
    Ok(())
}

/// Types at a shell's prompt until it ends with exit code 7.
fn visit_shell(space: &Space<'_>, terminal: &mut Terminal) -> Result<()> {
    terminal.await_text("# ", LIMIT)?;
    ensure!(!terminal.is_cooked()?, "keys would not reach the container one by one");
    // What is typed is echoed: only the answer holds digits. The window's size travels beside the keys: asked until it came.
    let size_becomes = |terminal: &mut Terminal, want: &str| {
        wait::until("the window's size", LIMIT, || {
            terminal.press("stty size; echo asked=$?\n")?;
            let answer = terminal.await_text("asked=0", LIMIT)?;
            ensure!(answer.contains(&format!("\n{want}\r\n")), "{answer:?}");
            Ok(Some(()))
        })
    };
    size_becomes(terminal, "33 91")?;
    terminal.resize(120, 40)?;
    size_becomes(terminal, "40 120")?;

    let tails = || space.world.keelctl().output(&space.with_namespace(&["exec", "pod", "--", "pidof", "tail"]));
    terminal.press("tail -f /dev/null\n")?;
    wait::until("the foreground job", LIMIT, || Ok(tails()?.status.success().then_some(())))?;
    terminal.press("\x03")?;
    terminal.press("echo code=$?\n")?;
    terminal.await_text("code=130", LIMIT)?;
    wait::until("the end of the foreground job", LIMIT, || Ok((tails()?.status.code() == Some(1)).then_some(())))?;

    terminal.press("exit 7\n")?;
    terminal.await_text("command terminated with exit code 7", LIMIT)?;
    Ok(())
}

fn attach_speaks_to_the_main_process(world: &World) -> Result<()> {
    let space = world.space("attach")?;
    let script = "echo ready; while read line; do echo \"heard $line\"; echo \"wrong $line\" >&2; done; exit 5";
    // Stays a terminated container: how it ended is looked at. Its input ends with the first client's.
    let extra = "    stdin: true\n    stdinOnce: true\n  restartPolicy: Never";
    space.apply(&manifest::pod("main", script, extra))?;
    space.wait_ready("main")?;
    let mut child = world.keelctl().spawn(&space.with_namespace(&["attach", "-i", "main"]))?;
    let mut keys = child.stdin.take().context("a pipe")?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let mut seen = Vec::new();
    for word in ["one", "two"] {
        writeln!(keys, "{word}")?;
        // What was written before may come first.
        seen.extend(
            lines.by_ref().take_while(|line| !line.as_ref().is_ok_and(|line| *line == format!("heard {word}"))),
        );
    }
    drop(keys);
    let status = child.wait()?;
    let mut errors = String::new();
    child.stderr.take().context("a pipe")?.read_to_string(&mut errors)?;
    let seen: Vec<String> = seen.into_iter().collect::<std::io::Result<_>>()?;
    ensure!(seen.iter().all(|line| line == "ready"), "{seen:?} was printed, too");
    ensure!(errors.contains("wrong one\n") && errors.contains("wrong two\n"), "{status}: {errors}");
    // The process read the end of its input, and its log holds all of it.
    let ended = space.wait_for("its end", "pod", "main", |pod| pod["status"]["phase"] == "Failed")?;
    let code = ended.pointer("/status/containerStatuses/0/state/terminated/exitCode").cloned();
    ensure!(code == Some(5.into()), "it ended with {code:?}");
    let log = space.run(&["logs", "main"])?;
    ensure!(log.contains("ready\n") && log.contains("heard two\n") && log.contains("wrong two\n"), "{log}");
    Ok(())
}

fn attach_to_a_terminal_is_as_if_one_sat_there(world: &World) -> Result<()> {
    let space = world.space("attachtty")?;
    let extra = "    stdin: true\n    tty: true\n  restartPolicy: Never";
    space.apply(&manifest::pod("main", "exec sh", extra))?;
    space.wait_ready("main")?;
    let (ours, theirs) = terminal::open(77, 22)?;
    let command = world.keelctl().command(&space.with_namespace(&["attach", "-it", "main"]));
    let mut child = terminal::on(theirs, &command)?.spawn()?;
    let mut terminal = Terminal::new(ours)?;
    let visit = visit_main_process(&mut terminal);
    if visit.is_err() {
        child.kill()?;
    }
    child.wait()?;
    visit?;
    ensure!(terminal.is_cooked()?, "the terminal is left raw");
    let ended = space.wait_for("its end", "pod", "main", |pod| pod["status"]["phase"] == "Failed")?;
    let code = ended.pointer("/status/containerStatuses/0/state/terminated/exitCode").cloned();
    ensure!(code == Some(6.into()), "it ended with {code:?}");
    Ok(())
}

/// Types at the prompt of a container's own shell, and ends it.
fn visit_main_process(terminal: &mut Terminal) -> Result<()> {
    // The prompt was written before anybody came; what is typed is echoed, so only the answer holds a digit.
    terminal.press("\n")?;
    terminal.await_text("# ", LIMIT)?;
    ensure!(!terminal.is_cooked()?, "keys would not reach the container one by one");
    wait::until("the window's size", LIMIT, || {
        terminal.press("stty size; echo asked=$?\n")?;
        let answer = terminal.await_text("asked=0", LIMIT)?;
        ensure!(answer.contains("\n22 77\r\n"), "{answer:?}");
        Ok(Some(()))
    })?;
    terminal.press("echo pid=$$\n")?;
    terminal.await_text("pid=1\r\n", LIMIT)?;
    terminal.press("exit 6\n")?;
    Ok(())
}

fn logs_follow_while_lines_are_written(world: &World) -> Result<()> {
    let space = world.space("follow")?;
    let script = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.2; done; exec sleep 98723";
    space.apply(&manifest::pod("writer", script, ""))?;
    space.wait_ready("writer")?;
    let mut child = world.keelctl().spawn(&space.with_namespace(&["logs", "-f", "writer"]))?;
    let lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let seen: Vec<String> = lines.take(20).collect::<std::io::Result<_>>()?;
    child.kill()?;
    child.wait()?;
    let expect: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
    ensure!(seen == expect, "{seen:?}");
    let tail = space.run(&["logs", "writer", "--tail=2"])?;
    ensure!(tail == "line 18\nline 19\n", "{tail:?}");
    Ok(())
}

fn logs_of_the_previous_container_are_kept(world: &World) -> Result<()> {
    let space = world.space("previous")?;
    let script = "if [ -e /data/once ]; then echo second; exec sleep 98724; fi; touch /data/once; echo first; exit 1";
    let volume = "    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]";
    space.apply(&manifest::pod("twice", script, volume))?;
    wait::until("the second container", LIMIT, || Ok((space.run(&["logs", "twice"])? == "second\n").then_some(())))?;
    let first = space.run(&["logs", "twice", "--previous"])?;
    ensure!(first == "first\n", "{first:?}");
    Ok(())
}

fn files_are_copied_both_ways(world: &World) -> Result<()> {
    let space = world.space("copy")?;
    space.apply(&manifest::pod("pod", "exec sleep 98725", ""))?;
    space.wait_ready("pod")?;
    let folder = world.dir().join("copy");
    std::fs::create_dir_all(folder.join("there/deeper"))?;
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(folder.join("there/deeper/file"), &content)?;
    space.run(&["cp", &folder.join("there").display().to_string(), "pod:/tmp/there"])?;
    space.run(&["cp", "pod:/tmp/there/deeper/file", &folder.join("back").display().to_string()])?;
    ensure!(std::fs::read(folder.join("back"))? == content, "the file came back changed");
    Ok(())
}

fn a_forwarded_port_serves_the_pods_page(world: &World) -> Result<()> {
    let space = world.space("forward")?;
    space.apply(&manifest::web("web", 1, "forwarded", ""))?;
    space.wait_rollout("web")?;
    let pod = test_e2e::space::name(&space.list("pods", "app=web")?[0]);
    let mut child = world.keelctl().spawn(&space.with_namespace(&["port-forward", &pod, "18080:8080"]))?;
    let server = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18080);
    let pages: Result<Vec<String>> = (0..5)
        .map(|_| {
            wait::until("the page", Duration::from_secs(20), || {
                http::get(world.network(), server, "/").map(|answer| Some(answer.body))
            })
        })
        .collect();
    child.kill()?;
    child.wait()?;
    let mut complaint = String::new();
    child.stderr.take().context("a pipe")?.read_to_string(&mut complaint)?;
    let pages = pages.with_context(|| complaint)?;
    ensure!(pages.iter().all(|page| page == "forwarded\n"), "{pages:?}");
    std::io::stdout().flush()?;
    Ok(())
}

/// Asks the kubelet's own port for a pod's logs, with the certificate of that stem, or with none.
fn logs_of_the_kubelet(world: &World, pod: &PodRef, who: Option<&str>) -> Result<Result<String, Code>> {
    let pki = world.cluster.layout().pki();
    let pair = who.map(|who| (pki.certificate(who), pki.key(who)));
    let identity = ClientIdentity::load(pki.authority(Authority::Cluster), pair)?;
    let address = format!("https://{}:{}", world.node().address, world.cluster.settings.ports.kubelet);
    let request = LogsRequest { pod: Some(pod.clone()), ..LogsRequest::default() };
    namespace::inside(world.network(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut client = NodeClient::new(identity.channel(&address, None)?);
            let mut answer = match client.logs(request).await {
                Ok(answer) => answer.into_inner(),
                Err(status) => return Ok(Err(status.code())),
            };
            let mut text = Vec::new();
            while let Some(chunk) = answer.message().await? {
                text.extend(chunk.data);
            }
            Ok(Ok(String::from_utf8(text)?))
        })
    })
}

fn only_the_apiserver_and_administrators_reach_a_kubelet(world: &World) -> Result<()> {
    let space = world.space("strangers")?;
    space.apply(&manifest::pod("pod", "echo secret; exec sleep 98727", ""))?;
    space.wait_ready("pod")?;
    wait::until("the line", LIMIT, || Ok((space.run(&["logs", "pod"])? == "secret\n").then_some(())))?;
    let pod = PodRef { namespace: space.name.clone(), name: "pod".into(), ..PodRef::default() };
    for (who, expect) in [
        (None, Err(Code::Unauthenticated)),
        // Certificates of the same authority: other daemons, and the node's own.
        (Some("proxy"), Err(Code::PermissionDenied)),
        (Some("scheduler"), Err(Code::PermissionDenied)),
        (Some("kubelet"), Err(Code::PermissionDenied)),
        (Some("apiserver-kubelet-client"), Ok("secret\n".to_owned())),
        (Some("admin"), Ok("secret\n".to_owned())),
    ] {
        let got = logs_of_the_kubelet(world, &pod, who).with_context(|| format!("as {who:?}"))?;
        ensure!(got == expect, "{who:?} got {got:?}");
    }
    // One of another authority does not even come to a call.
    let foreign = logs_of_the_kubelet(world, &pod, Some("apiserver-etcd-client"))?;
    ensure!(matches!(foreign, Err(Code::Unavailable | Code::Unknown)), "{foreign:?}");
    Ok(())
}
