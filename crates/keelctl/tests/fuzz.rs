//! No bytes that a user or a server gives make keelctl panic: manifests, kubeconfigs, JSONPath templates.
//!
//! A run is the same each time: `KEELSON_FUZZ_CASES` makes it longer, `KEELSON_FUZZ_SEED` makes it another one.

use keelctl::kubeconfig::{self, Kubeconfig};
use keelctl::manifest::{check, source, write};
use keelctl::output::jsonpath::Template;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;

const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata: &m
  name: web
  labels: {app: web, \"quoted\": 'single'}
spec:
  replicas: 0644
  template:
    metadata: {<<: *m, name: x}
    spec:
      containers:
      - name: c
        image: \"r.example/a:1\"
        args: [yes, no, ~, 1e3, 0x1f, .inf, 12:30:00]
        command: |
          sh -c
            'x'
        resources: {limits: {cpu: 1000m}}
---
{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}]}
";

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: a
preferences: {}
contexts:
- {name: a, context: {cluster: c, user: u, namespace: ns}}
clusters:
- {name: c, cluster: {server: 'https://one:6443', certificate-authority-data: TU9PTg==}}
users:
- {name: u, user: {token: t1, client-certificate: x.crt, client-key-data: TU9PTg==}}
- {name: v, user: {exec: {apiVersion: x, command: y, args: [z], env: [{name: A, value: b}]}}}
";

const TEMPLATES: [&str; 6] = [
    "{.items[*].metadata.name}",
    "{range .items[?(@.status.phase==\"Running\")]}{.metadata.name}{\"\\t\"}{end}",
    "{.a['b.c','d'][0:-1:2]}",
    "{..name} {@}",
    "{.items[-1:].x[?(@.y > 3)].z}",
    ".metadata.labels.app\\.kubernetes\\.io/name",
];

/// What to do to a text: change, cut, insert, repeat.
#[derive(Debug, Clone)]
enum Damage {
    Change(usize, char),
    Cut(usize),
    Insert(usize, String),
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    // Letters that mean something to the parsers, more often than others.
    let letter = || prop_oneof!["[-\\[\\]{}:,&*!|>'\"%@`#?.()<=~\\\\ \n\t0-9a-z]", ".{1}"];
    let one = prop_oneof![
        (any::<usize>(), letter()).prop_map(|(at, text)| Damage::Change(at, text.chars().next().unwrap_or('x'))),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), vec(letter(), 1..6)).prop_map(|(at, text)| Damage::Insert(at, text.concat())),
        (any::<usize>(), 1..40_usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
    ];
    vec(one, 1..5)
}

fn damaged(text: &str, damage: &[Damage]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for damage in damage {
        let len = letters.len().max(1);
        match damage {
            Damage::Change(at, letter) => {
                if let Some(found) = letters.get_mut(at % len) {
                    *found = *letter;
                }
            }
            Damage::Cut(at) => letters.truncate(at % len),
            Damage::Insert(at, more) => {
                let at = (at % len).min(letters.len());
                letters.splice(at..at, more.chars());
            }
            Damage::Repeat(at, count) => {
                let at = (at % len).min(letters.len());
                let part: Vec<char> = letters[at..letters.len().min(at + count)].to_vec();
                letters.splice(at..at, part);
            }
        }
    }
    letters.into_iter().collect()
}

fn config() -> ProptestConfig {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("KEELSON_FUZZ_CASES").map_or(1000, |cases| u32::try_from(cases).unwrap_or(u32::MAX));
    let rng_seed = RngSeed::Fixed(number("KEELSON_FUZZ_SEED").unwrap_or(1));
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

fn manifest(text: &str) {
    match source::parse("x.yaml", text) {
        Ok(documents) => {
            for document in &documents {
                check::check(document).iter().for_each(|problem| drop(problem.to_string()));
                let _ = write::to_yaml(&document.value);
            }
        }
        Err(problems) => drop(problems.to_string()),
    }
}

fn template(text: &str) {
    let root =
        json!({"items": [{"metadata": {"name": "a"}, "x": [{"y": 4, "z": null}]}, 1, "s"], "a": {"b.c": [1, 2, 3]}});
    for template in [Template::parse(text), Template::parse_relaxed(text)].into_iter().flatten() {
        let _ = template.render(&root);
        let _ = template.values(&root);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn manifests(damage in damage()) {
        manifest(&damaged(MANIFEST, &damage));
    }

    #[test]
    fn texts_that_were_never_manifests(text in "[-\\[\\]{}:,&*!|>'\"#? \n\ta-z0-9]{0,60}") {
        manifest(&text);
    }

    #[test]
    fn kubeconfigs(damage in damage()) {
        let text = damaged(KUBECONFIG, &damage);
        if let Ok(found) = serde_yaml::from_str::<Kubeconfig>(&text) {
            // What was read can be written and read again.
            let again: Result<Kubeconfig, _> = serde_yaml::from_str(&serde_yaml::to_string(&found).unwrap());
            prop_assert!(again.is_ok(), "{:?}", again.err());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, &text).unwrap();
        // Not resolved: a program that the file names is not to be run here.
        let path = Some(path.display().to_string());
        let _ = kubeconfig::load(&keelctl::cli::Global { kubeconfig: path, ..keelctl::cli::Global::default() });
    }

    #[test]
    fn templates(index in 0..TEMPLATES.len(), damage in damage()) {
        template(&damaged(TEMPLATES[index], &damage));
    }

    #[test]
    fn texts_that_were_never_templates(text in "[-.*@?()\\[\\]{}:,'\"\\\\<>=!&| a-z0-9]{0,40}") {
        template(&text);
    }
}
