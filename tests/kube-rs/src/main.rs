//! What programs written with kube-rs do, on a whole cluster.
//!
//! `test-kube-rs STEP NAMESPACE` runs one step with the credentials of `KUBECONFIG`, in a namespace that is there. The step
//! makes what it needs, and ends with an error at the first thing that is not as expected.

mod applies;
mod controls;
mod page;
mod streams;
mod watches;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::Client;

/// A step takes seconds; this is for a busy machine.
const LIMIT: Duration = Duration::from_secs(150);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [step, namespace] = &args[..] else {
        bail!("say a step (watches, streams, applies, controls) and a namespace");
    };
    let client = Client::try_default().await.context("reading the kubeconfig")?;
    let run = async {
        match step.as_str() {
            "watches" => watches::run(client, namespace).await,
            "streams" => streams::run(client, namespace).await,
            "applies" => applies::run(client, namespace).await,
            "controls" => controls::run(client, namespace).await,
            other => bail!("no step is called {other:?}"),
        }
    };
    tokio::time::timeout(LIMIT, run).await.with_context(|| format!("{step} took more than {LIMIT:?}"))?
}
