//! Commands, logs and ports of a pod.

use anyhow::{Context, Result, ensure};
use futures::AsyncBufReadExt;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, AttachParams, DeleteParams, LogParams, PostParams};
use kube::runtime::conditions::{is_deleted, is_pod_running};
use kube::runtime::wait::await_condition;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAME: &str = "box";
const SCRIPT: &str =
    "mkdir /tmp/www; echo a page >/tmp/www/index.html; echo began; echo went on; exec httpd -f -p 8080 -h /tmp/www";

pub async fn run(client: Client, namespace: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "main", "image": "keelson.io/hello:1", "command": ["sh", "-c", SCRIPT]},
        ]},
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    let pod = await_condition(pods.clone(), NAME, is_pod_running()).await?.context("the pod is gone")?;
    commands_run(&pods).await?;
    logs_are_read(&pods).await?;
    ports_are_forwarded(&pods).await?;
    pods.delete(NAME, &DeleteParams::default()).await?;
    let uid = pod.metadata.uid.context("a uid")?;
    await_condition(pods, NAME, is_deleted(&uid)).await?;
    Ok(())
}

async fn commands_run(pods: &Api<Pod>) -> Result<()> {
    let mut process = pods.exec(NAME, ["cat"], &AttachParams::default().stdin(true).stderr(false)).await?;
    let mut input = process.stdin().context("a standard input")?;
    let mut output = process.stdout().context("a standard output")?;
    input.write_all(b"to and fro").await?;
    input.shutdown().await?;
    drop(input);
    let mut text = String::new();
    output.read_to_string(&mut text).await?;
    ensure!(text == "to and fro", "cat wrote {text:?}");
    process.join().await?;

    let script = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    let mut process = pods.exec(NAME, script, &AttachParams::default()).await?;
    let status = process.take_status().context("a status")?;
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout().context("a standard output")?.read_to_string(&mut out).await?;
    process.stderr().context("a standard error")?.read_to_string(&mut err).await?;
    ensure!((out.as_str(), err.as_str()) == ("out\n", "err\n"), "{out:?} and {err:?}");
    let status = status.await.context("the status never came")?;
    ensure!(status.reason.as_deref() == Some("NonZeroExitCode"), "{status:?}");
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    ensure!(causes.iter().any(|cause| cause.message.as_deref() == Some("7")), "{causes:?}");

    let unknown = pods.exec(NAME, ["true"], &AttachParams::default().container("none")).await;
    ensure!(unknown.is_err(), "a container that is not there ran a command");
    Ok(())
}

async fn logs_are_read(pods: &Api<Pod>) -> Result<()> {
    let text = pods.logs(NAME, &LogParams::default()).await?;
    ensure!(text == "began\nwent on\n", "the log is {text:?}");
    let last = LogParams { tail_lines: Some(1), follow: true, limit_bytes: Some(8), ..LogParams::default() };
    let mut lines = pods.log_stream(NAME, &last).await?.lines();
    let line = lines.try_next().await?.context("a line")?;
    ensure!(line == "went on", "the last line is {line:?}");
    Ok(())
}

async fn ports_are_forwarded(pods: &Api<Pod>) -> Result<()> {
    let mut forward = pods.portforward(NAME, &[8080]).await?;
    let mut stream = forward.take_stream(8080).context("a stream")?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.ends_with("a page\n"), "the port answered {answer:?}");
    drop(stream);
    forward.abort();
    Ok(())
}
