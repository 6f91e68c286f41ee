//! A backup of a real cluster's etcd 3.6, restored into keelson-store: its objects are served as a real server served them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::Cluster;

fn facts(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api/storage").join(name);
    assert!(path.exists(), "the facts of the Kubernetes API are expected beside the checkout: {}", path.display());
    path
}

/// How many of a resource may be served otherwise: a lease was written after the backup, and some Jobs and claims differ
/// in what this apiserver fills in when it reads them (docs/open-work.md).
const OTHERWISE: [(&str, usize); 3] = [("jobs", 5), ("leases", 1), ("persistentvolumeclaims", 2)];

/// Group, version, plural, namespace and name of a REST path.
fn parts(path: &str) -> [&str; 5] {
    let mut words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let group = if words.remove(0) == "api" { "" } else { words.remove(0) };
    let version = words.remove(0);
    match words[..] {
        ["namespaces", namespace, plural, name] => [group, version, plural, namespace, name],
        [plural, name] => [group, version, plural, "", name],
        _ => panic!("{path} is no object's path"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_of_etcd_3_6_is_served() {
    let cluster = Cluster::restored(&facts("etcd-3.6-snapshot.db"));
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let served = admin.api_resources().await.expect("discovery");
    let served = |group: &str, plural: &str| served.iter().any(|row| row.group == group && row.plural == plural);
    let text = std::fs::read_to_string(facts("objects.jsonl")).expect("facts");
    let (mut equal, mut rewritten, mut unserved) = (0, Vec::new(), BTreeMap::<String, usize>::new());
    let mut different = BTreeMap::<String, Vec<String>>::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("facts hold valid JSON");
        let path = row["path"].as_str().expect("a path");
        let [group, version, plural, namespace, name] = parts(path);
        if !served(group, plural) {
            *unserved.entry(plural.to_owned()).or_default() += 1;
            continue;
        }
        match admin.dynamic(group, version, plural).get(namespace, name, "").await {
            // The server's own controllers may have written since: then it is theirs, not the backup's.
            Ok(object) if row["mod_revision"].as_i64() != Some(object.resource_version) => {
                rewritten.push(path.to_owned())
            }
            Ok(object) if object.to_json().expect("an object") == row["served_json"] => equal += 1,
            Ok(_) => different.entry(plural.to_owned()).or_default().push(format!("{path} is served otherwise")),
            Err(error) => different.entry(plural.to_owned()).or_default().push(format!("{path}: {error}")),
        }
    }
    println!("{equal} objects are served as they were; rewritten since: {rewritten:?}; not served: {unserved:?}");
    let known = |plural: &str| OTHERWISE.iter().find(|(known, _)| *known == plural).map_or(0, |(_, count)| *count);
    different.retain(|plural, texts| texts.len() > known(plural));
    assert!(different.is_empty(), "{different:#?}");
    assert!(equal >= 198 && rewritten.len() < 10, "{equal} equal, rewritten: {rewritten:?}");
    server.stop().await;
}
