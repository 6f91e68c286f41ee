//! Commands, logs, files and ports of containers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail, ensure};
use test_e2e::space::LIMIT;
use test_e2e::{World, manifest};
use testkit::wait;

use crate::kubectl::Kubectl;

/// Both ways in which kubectl speaks to containers.
const WAYS: [&str; 2] = ["true", "false"];

pub fn streams_reach_containers(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "streams")?;
    k.space.apply(&manifest::pod("box", "echo began; exec sleep 98743", ""))?;
    k.space.wait_ready("box")?;
    k.says(&["logs", "box"], "began")?;
    k.says(&["logs", "box", "--timestamps", "--tail=1", "--since=1h"], "began")?;
    for websockets in WAYS {
        let spawn = |args: &[&str]| {
            let mut command = k.kubectl.command(&k.space.with_namespace(args));
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        };
        let with_input = |args: &[&str], input: &str| -> Result<std::process::Output> {
            let mut child = spawn(args)?;
            child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
            Ok(child.wait_with_output()?)
        };
        let output = with_input(&["exec", "-i", "box", "--", "cat"], "to and fro")?;
        ensure!(output.stdout == b"to and fro", "{websockets}: {output:?}");
        let output = with_input(&["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"], "")?;
        ensure!(output.status.code() == Some(7), "{websockets}: {output:?}");
        ensure!(
            output.stdout == b"out\n" && String::from_utf8_lossy(&output.stderr).starts_with("err\n"),
            "{output:?}"
        );
        let folder = tempfile::tempdir()?;
        let (there, back) = (folder.path().join("there"), folder.path().join("back"));
        std::fs::write(&there, vec![b'x'; 300_000])?;
        let path = |path: &Path| path.display().to_string();
        for args in [["cp", &path(&there), "box:/tmp/file"], ["cp", "box:/tmp/file", &path(&back)]] {
            let output = with_input(&args, "")?;
            ensure!(output.status.success(), "{websockets}: {output:?}");
        }
        ensure!(std::fs::read(&back)?.len() == 300_000, "{websockets}: a file came back shorter");
        let name = format!("run-{websockets}");
        let args = ["run", &name, "-i", "--rm", "--image=keelson.io/hello:1", "--restart=Never", "--", "cat"];
        let output = with_input(&args, "through a pod\n")?;
        ensure!(String::from_utf8_lossy(&output.stdout).contains("through a pod"), "{websockets}: {output:?}");
    }
    Ok(())
}

/// A process of which more than the end counts: its input stays open, its output is read line by line.
struct Talk(Child);

impl Talk {
    fn begin(k: &Kubectl<'_>, websockets: &str, args: &[&str]) -> Result<Self> {
        let mut command = k.kubectl.command(&k.space.with_namespace(args));
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?))
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.0.stdin.as_mut().context("a pipe")?;
        input.write_all(line.as_bytes())?;
        Ok(input.flush()?)
    }

    fn end(mut self) -> Result<String> {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }
}

/// Says each line that it reads, and ends at one of them: another run of it begins.
const LISTENER: &str = "echo began; while read line; do echo heard $line; [ $line = end ] && exit 3; done; sleep 98755";

pub fn running_containers_are_attached_to(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "attached")?;
    k.space.apply(&manifest::pod("box", LISTENER, "    stdin: true"))?;
    k.space.wait_ready("box")?;
    for websockets in WAYS {
        let mut talk = Talk::begin(&k, websockets, &["attach", "-i", "box"])?;
        talk.say(&format!("{websockets}\n"))?;
        let heard = format!("heard {websockets}");
        wait::until("the container to hear", LIMIT, || k.says(&["logs", "box"], &heard).map(Some))?;
        // The container's input stays open for whoever comes next.
        let output = talk.0.stdout.take().context("a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == heard, "attached with websockets {websockets}: {line:?}");
        talk.0.kill()?;
        talk.0.wait()?;
    }
    let mut talk = Talk::begin(&k, "true", &["attach", "-i", "box"])?;
    talk.say("end\n")?;
    talk.end()?;
    k.says(
        &["wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/box", "--timeout=60s"],
        "met",
    )?;
    k.says(&["logs", "--previous", "box"], "heard end")?;
    k.says(&["get", "pod", "box", "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}"], "3")
}

pub fn containers_are_debugged(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "debugged")?;
    k.space.apply(&manifest::pod("box", "exec sleep 98756", ""))?;
    k.space.wait_ready("box")?;
    let debug = ["debug", "box", "--image=keelson.io/hello:1", "--container=look", "--", "sh", "-c", "echo looked"];
    k.run(&debug)?;
    wait::until("the debugging container's output", LIMIT, || {
        let found = k.run(&["logs", "box", "-c", "look"])?;
        ensure!(found.contains("looked"), "{found}");
        Ok(Some(()))
    })?;
    let copy = [
        "debug",
        "box",
        "--image=keelson.io/hello:1",
        "--copy-to=copy",
        "--container=beside",
        "--share-processes=false",
    ];
    k.run(&[&copy[..], &["--", "sleep", "98757"]].concat())?;
    k.says(&["wait", "--for=condition=Ready", "pod/copy", "--timeout=60s"], "condition met")?;
    k.says(&["get", "pod", "copy", "-o", "jsonpath={.spec.containers[*].name}"], "main beside")?;
    let node =
        ["debug", "node/node-0", "--image=keelson.io/hello:1", "--profile=general", "--", "ls", "/host/etc/hostname"];
    let said = k.kubectl.output(&k.space.with_namespace(&node))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    let pod = said.split(' ').find(|word| word.starts_with("node-debugger-")).context(said.clone())?;
    wait::until("the node's file", LIMIT, || k.says(&["logs", pod], "/host/etc/hostname").map(Some))
}

pub fn the_api_is_proxied(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "proxied")?;
    k.run(&["create", "configmap", "one", "--from-literal=a=b"])?;
    let mut child = k
        .kubectl
        .command(&k.space.with_namespace(&["proxy", "--port=0"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
    let server = line.trim().strip_prefix("Starting to serve on ").map(str::to_owned);
    let answers = server.as_deref().map(|server| -> Result<[String; 2]> {
        let server: std::net::SocketAddr = server.parse()?;
        let get = |path: &str| Ok::<_, anyhow::Error>(testkit::http::get(world.network(), server, path)?.body);
        Ok([get("/api/v1/namespaces/proxied/configmaps/one")?, get("/version")?])
    });
    child.kill()?;
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut said)?;
    }
    child.wait()?;
    let [map, version] = answers.with_context(|| format!("kubectl says {line:?} {said}"))??;
    ensure!(map.contains("\"name\":\"one\"") || map.contains("\"name\": \"one\""), "{map}");
    ensure!(version.contains("v1.36"), "{version}");
    Ok(())
}

pub fn ports_are_forwarded(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "ports")?;
    k.space.apply(&manifest::web("web", 1, "forwarded", ""))?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    for websockets in WAYS {
        let mut command = k.kubectl.command(&k.space.with_namespace(&["port-forward", "service/web", ":80"]));
        let mut child = command
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let page = page_of(world, &mut child);
        child.kill()?;
        let said = child.wait_with_output()?;
        let page = page.with_context(|| format!("{websockets}: {said:?}"))?;
        ensure!(page == "forwarded\n", "{websockets}: another page: {page}");
    }
    Ok(())
}

/// The page behind the port that kubectl names in its first line.
fn page_of(world: &World, child: &mut Child) -> Result<String> {
    let mut line = String::new();
    // Open until the page is there: kubectl writes a line for each connection, and ends when nobody hears it.
    let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
    output.read_line(&mut line)?;
    let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split(' ').next());
    let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) else {
        bail!("kubectl says {line:?}");
    };
    let server = (std::net::Ipv4Addr::LOCALHOST, port).into();
    Ok(testkit::http::get(world.network(), server, "/")?.body)
}
