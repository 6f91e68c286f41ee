//! In which form answers begin, by what a client accepts.

use serde_json::{Value, json as value};
use test_goldens::json;

use crate::Tally;
use crate::door::{Answer, Door};
use crate::harness::{Cluster, Engine};

const MAPS: &str = "/api/v1/namespaces/formed/configmaps";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_begin_as_recorded() {
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver().await;
    let door = Door::new(&cluster, &server);
    door.namespace("formed").await;
    let map = value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"v": "1"}});
    assert_eq!(door.send(&value!({"method": "POST", "path": MAPS, "body": map})).await.code, 201);
    let recorded = json("watch-list/content-types.json");
    let recorded = recorded.as_array().expect("a list");
    let mut tally = Tally::default();
    for (index, case) in recorded.iter().enumerate() {
        // Those that name no path are watches.
        let path = match case["path"].as_str() {
            Some(_) => format!("{MAPS}/a"),
            None => format!("{MAPS}?watch=true&timeoutSeconds=1&resourceVersion=0"),
        };
        let answer = door.send(&value!({"method": "GET", "path": path, "headers": {"Accept": case["accept"]}})).await;
        tally.add(&format!("{index}: {}", case["accept"]), differs(case, &answer));
    }
    server.stop().await;
    tally.report("forms", recorded.len());
}

fn differs(case: &Value, answer: &Answer) -> Option<String> {
    let header = |name: &str| Value::from(answer.header(name).first().cloned());
    let found = value!({"code": answer.code, "content_type": header("content-type")});
    for field in ["code", "content_type"] {
        if case[field] != found[field] {
            return Some(format!("{field}: expected {}, found {}", case[field], found[field]));
        }
    }
    for (field, name) in [("transfer_encoding", "transfer-encoding"), ("cache_control", "cache-control")] {
        if !case[field].is_null() && case[field] != header(name) {
            return Some(format!("{name}: expected {}, found {}", case[field], header(name)));
        }
    }
    let wanted = case["first_bytes_hex"].as_str().unwrap_or_default();
    let begin: String = answer.bytes.iter().take(wanted.len() / 2).map(|byte| format!("{byte:02x}")).collect();
    // A length before the first event depends on the object's.
    let prefix = 2 * usize::try_from(case["first_frame_length_prefix_bytes"].as_u64().unwrap_or(0)).unwrap_or(0);
    let same = begin.get(prefix..).zip(wanted.get(prefix..)).is_some_and(|(found, wanted)| found == wanted);
    (!same).then(|| format!("begins with {begin}, expected {wanted}"))
}
