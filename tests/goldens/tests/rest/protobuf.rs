//! Objects and lists of every kind in protobuf, read by a decoder that knows only the recorded facts, are what they are in JSON.

use std::collections::BTreeSet;

use serde_json::{Value, json as value};
use test_goldens::decode::{Facts, plain};
use test_goldens::{cases, facts, json, read};

use crate::Tally;
use crate::cells::Made;
use crate::compare::difference;
use crate::door::{Answer, Door};
use crate::harness::Cluster;

/// Fewer would mean that something that worked does not.
const ANSWERS_MIN: usize = 400;
const KINDS_MIN: usize = 60;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_says_what_json_says() {
    let cluster = Cluster::restored(&facts().join("storage/etcd-3.6-snapshot.db"));
    let server = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16"]).await;
    let door = Door::new(&cluster, &server);
    let mut told = Told { facts: Facts::read(), tally: Tally::default(), kinds: BTreeSet::new() };
    for line in read("storage/objects.jsonl").lines() {
        let row: Value = serde_json::from_str(line).expect("facts hold valid JSON");
        told.both(&door, row["path"].as_str().expect("a path")).await;
    }
    // Kinds of which the backup has no object.
    for name in cases("tables", ".json") {
        let case = json(&format!("tables/{name}.json"));
        if case["object"].is_object()
            && case["crd"].is_null()
            && let Ok(made) = Made::make(&door, &case).await
        {
            told.both(&door, &made.one).await;
            made.remove(&door).await;
        }
    }
    server.stop().await;
    println!("{} kinds", told.kinds.len());
    assert!(told.kinds.len() >= KINDS_MIN, "only objects of {:?}", told.kinds);
    told.tally.report("protobuf", ANSWERS_MIN);
}

struct Told {
    facts: Facts,
    tally: Tally,
    kinds: BTreeSet<String>,
}

impl Told {
    /// An object, and the list that it is in.
    async fn both(&mut self, door: &Door, path: &str) {
        self.one(door, path).await;
        self.one(door, path.rsplit_once('/').expect("a collection").0).await;
    }

    async fn one(&mut self, door: &Door, path: &str) {
        let get = async |accept: &str| -> Answer {
            door.send(&value!({"method": "GET", "path": path, "headers": {"Accept": accept}})).await
        };
        let (protobuf, text) = (get(PROTOBUF).await, get("application/json").await);
        // Custom resources have no protobuf; what a controller took away is refused the same in both.
        if matches!(protobuf.code, 404 | 406) {
            return;
        }
        let wanted = plain(text.json());
        self.kinds.extend(wanted["kind"].as_str().map(str::to_owned));
        let found = match protobuf.code {
            200 => difference("", &self.facts.answer(&protobuf.bytes), &wanted),
            code => Some(format!("{code} {}", protobuf.text())),
        };
        self.tally.add(path, found);
    }
}
