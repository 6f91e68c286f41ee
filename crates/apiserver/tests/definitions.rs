//! What a thousand definitions that nobody uses cost an apiserver. The only test of its program: what else runs in this
//! process would be measured with it.

#[allow(dead_code, reason = "the other tests use more of it")]
#[path = "api/harness.rs"]
mod harness;

use std::time::{Duration, Instant};

use client::Api;
use futures::{StreamExt, TryStreamExt};
use harness::{Cluster, Engine};
use proto::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

const DEFINITIONS: usize = 1000;
/// Resident bytes that one idle definition may cost, its client in this process included.
const BYTES_MAX: usize = 200 << 10;
const LIMIT: Duration = Duration::from_secs(240);

/// A definition of the size that operators have: some dozens of fields.
fn definition(index: usize) -> CustomResourceDefinition {
    let field = |name: String| (name, json!({"type": "string", "description": "What this field of the object says."}));
    let fields: serde_json::Map<String, Value> = (0..40).map(|index| field(format!("field{index}"))).collect();
    let (plural, group) = (format!("idles{index}"), format!("g{}.idle.example.com", index % 50));
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": format!("Idle{index}")},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": fields}}}}}]}});
    proto::json::from_value(definition).expect("a definition")
}

/// Resident bytes of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
    let pages: usize = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second number");
    pages * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_definition_costs_little() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let client = cluster.client(&server, "admin");
    let definitions: Api<CustomResourceDefinition> = client.api();
    definitions.create(&definition(DEFINITIONS)).await.expect("created");
    let before = resident();
    let begin = Instant::now();
    let made = futures::stream::iter(0..DEFINITIONS).map(|index| {
        let definitions = &definitions;
        async move { definitions.create(&definition(index)).await }
    });
    made.buffer_unordered(8).try_for_each(|_| std::future::ready(Ok(()))).await.expect("created");
    let created = begin.elapsed();
    loop {
        let served = client.api_resources().await.expect("discovery");
        let established = served.iter().filter(|row| row.group.ends_with(".idle.example.com")).count();
        if established == DEFINITIONS + 1 {
            break;
        }
        assert!(begin.elapsed() < LIMIT, "{established} of {DEFINITIONS} definitions are served");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let each = resident().saturating_sub(before) / DEFINITIONS;
    println!(
        "{DEFINITIONS} definitions: created in {created:?}, served after {:?}, {} KiB each",
        begin.elapsed(),
        each >> 10
    );
    let last = client.dynamic("g0.idle.example.com", "v1", "idles0");
    assert!(last.list(&client::ListParams::default()).await.expect("served").items.is_empty());
    assert!(each < BYTES_MAX, "an idle definition costs {each} bytes");
    server.stop().await;
}
