//! What comes from outside as bytes never panics: each decoder is given mutations of good examples, and noise.
//!
//! A run is the same each time: `KEELSON_FUZZ_CASES` makes it longer, `KEELSON_FUZZ_SEED` makes it another one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kubelet::confine;
use kubelet::logs::format::{PART_BYTES_MAX, Record, Splitter, Stream};
use kubelet::logs::protocol::{Call, Reply};
use kubelet::observed::ObservedPod;
use kubelet::paths::PodPaths;
use kubelet::pod::DesiredPod;
use kubelet::record;
use kubelet::runtime::reference::Reference;
use kubelet::runtime::{image, registry};
use proto::core::v1::{Container, Secret};

const ROUNDS: u64 = 4_000;

/// A small generator of its own, so that the inputs never change under a test.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A good example with some of it changed, doubled, cut out, or made a number at a limit.
    fn mutate(&mut self, examples: &[&str]) -> Vec<u8> {
        const TOKENS: [&str; 14] = [
            "null",
            "[]",
            "{}",
            "\"\"",
            "-1",
            "0",
            "18446744073709551615",
            "9223372036854775808",
            "1e999",
            "\u{0}",
            "\\ud800",
            "\n",
            ":",
            "/",
        ];
        let mut bytes = examples[self.below(examples.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let to = (at + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] = self.next() as u8,
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..to)),
                3 => {
                    let copy = bytes[at..to].to_vec();
                    bytes.splice(at..at, copy);
                }
                4 => drop(bytes.splice(at..to, TOKENS[self.below(TOKENS.len())].bytes())),
                _ => {
                    let other = examples[self.below(examples.len())].as_bytes();
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes
    }
}

#[track_caller]
fn fuzz(examples: &[&str], decode: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("KEELSON_FUZZ_SEED").unwrap_or(0x5eed);
    let mut noise = Noise(seed.max(1));
    for example in examples {
        decode(example.as_bytes());
    }
    for round in 0..number("KEELSON_FUZZ_CASES").unwrap_or(ROUNDS) {
        let input = noise.mutate(examples);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| decode(&input))) {
            eprintln!("seed {seed}, round {round}: {:?}", String::from_utf8_lossy(&input));
            std::panic::resume_unwind(panic);
        }
    }
}

const DIGEST: &str = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";

fn manifest() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{DIGEST}","size":7}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{DIGEST}","size":18446744073709551615}},{{"mediaType":"x","digest":"{DIGEST}","size":9}}]}}"#
    )
}

fn index() -> String {
    format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{DIGEST}","size":7,"platform":{{"architecture":"amd64","os":"linux"}}}},{{"mediaType":"x","digest":"{DIGEST}","size":8,"platform":{{"architecture":"arm64","os":"linux","variant":"v8"}}}}]}}"#
    )
}

#[test]
fn manifests_and_indexes() {
    let (manifest, index) = (manifest(), index());
    fuzz(&[&manifest, &index], |bytes| {
        let _ = image::platform_manifest("x", bytes);
        if let Ok(manifest) = image::manifest("x", bytes) {
            let sizes = manifest.layers().iter().map(|layer| layer.size());
            let _ = sizes.fold(0, u64::saturating_add);
        }
    });
}

#[test]
fn configurations() {
    let good = format!(
        r#"{{"created":"2024-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{{"User":"1000:7","Env":["A=b"],"Entrypoint":["/x"],"Cmd":["y"],"WorkingDir":"/w","StopSignal":"SIGQUIT"}},"rootfs":{{"type":"layers","diff_ids":["{DIGEST}","{DIGEST}"]}}}}"#
    );
    assert!(image::configuration("x", good.as_bytes(), 2).is_ok());
    assert!(image::configuration("x", good.as_bytes(), 3).is_err(), "a layer of the manifest has no place");
    fuzz(&[&good], |bytes| {
        if let Ok(configuration) = image::configuration("x", bytes, 2) {
            assert_eq!(configuration.rootfs().diff_ids().len(), 2);
            assert!(image::chain_id(configuration.rootfs().diff_ids()).starts_with("sha256:"));
        }
    });
}

#[test]
fn references() {
    let digested = format!("registry.example:5000/a/b__c@{DIGEST}");
    fuzz(&["busybox", "me/app:1.2", "localhost:5000/app", "[::1]:5000/app:x", &digested], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(reference) = Reference::parse(&text) {
            // What was understood is understood again, as the same.
            assert_eq!(Reference::parse(&reference.full()).as_ref(), Ok(&reference), "{text:?}");
        }
    });
}

#[test]
fn pull_secrets() {
    let new = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6cGFzczp3b3Jk"},"*.r.io/a":{"username":"u","password":"p"}}}"#;
    let old = r#"{"r.io":{"username":"u","password":"p","email":"e"},"?":{"auth":"bWU="}}"#;
    fuzz(&[new, old], |bytes| {
        for key in [".dockerconfigjson", ".dockercfg"] {
            let mut secret = Secret::default();
            secret.data.insert(key.into(), bytes.to_vec());
            let all = registry::from_secret(&secret);
            for one in registry::matching(&all, "a.r.io:5000", "a/b") {
                assert!(all.contains(one));
            }
        }
    });
}

#[test]
fn lines_of_the_log_writers_socket() {
    let open =
        r#"{"open":{"run":"r","log":"/l/0.log","stdout":"/o","stderr":null,"limits":{"bytes_max":10,"files_max":2}}}"#;
    fuzz(
        &[open, r#"{"drained":{"run":"r"}}"#, r#"{"attach":{"run":"r"}}"#, "\"stop\"", r#"{"error":null}"#],
        |bytes| {
            if let Ok(call) = serde_json::from_slice::<Call>(bytes) {
                let text = serde_json::to_vec(&call).unwrap();
                assert_eq!(serde_json::from_slice::<Call>(&text).unwrap(), call);
            }
            let _ = serde_json::from_slice::<Reply>(bytes);
        },
    );
}

#[test]
fn log_records() {
    let good = [
        "2024-01-01T00:00:00.123456789Z stdout F text",
        "2024-02-30T25:61:61+99:99 stderr P:x part",
        "1969-12-31T23:59:59.9Z stdout F ",
        "9999-12-31T23:59:59-24:00 stderr P p",
    ];
    fuzz(&good, |bytes| {
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some(record) = Record::parse(line) {
                let _ = record.at();
            }
        }
    });
}

#[test]
fn what_a_container_writes_comes_back_as_it_was() {
    let long = "x".repeat(PART_BYTES_MAX * 2);
    fuzz(&["one\ntwo\n", "\n\n\n", "no end", &long], |bytes| {
        let (mut splitter, mut out) = (Splitter::default(), Vec::new());
        for chunk in bytes.chunks(7_001) {
            splitter.push(Stream::Stdout, chunk, 0, &mut out);
        }
        splitter.finish(Stream::Stdout, 0, &mut out);
        let mut text = Vec::new();
        for line in out.split_inclusive(|byte| *byte == b'\n') {
            let record = Record::parse(&line[..line.len() - 1]).expect("a writer's own record");
            text.extend_from_slice(record.text);
            if !record.partial {
                text.push(b'\n');
            }
        }
        assert_eq!(text, bytes);
    });
}

#[test]
fn logs_that_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let good =
        "2024-01-01T00:00:00.1Z stdout F one\n2024-01-01T00:00:00.2Z stderr P tw\n2024-01-01T00:00:00.3Z stderr F o\n";
    fuzz(&[good, "torn", ""], |bytes| {
        std::fs::write(&path, bytes).unwrap();
        for lines in [0, 1, usize::MAX] {
            let _ = kubelet::logs::read::last(&path, lines, 10).unwrap();
        }
    });
}

#[test]
fn seccomp_profiles_of_the_node() {
    use proto::core::v1::{Pod, SeccompProfile, SecurityContext};
    let dir = tempfile::tempdir().unwrap();
    let profile = SeccompProfile { r#type: "Localhost".into(), localhost_profile: Some("p.json".into()) };
    let context = SecurityContext { seccomp_profile: Some(profile), ..SecurityContext::default() };
    let container = Container { security_context: Some(context), ..Container::default() };
    fuzz(
        &[r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}"#],
        |bytes| {
            std::fs::write(dir.path().join("p.json"), bytes).unwrap();
            let _ = confine::seccomp(&Pod::default(), &container, &[], dir.path());
        },
    );
}

/// What a kubelet wrote before a power cut, or a disk gave back wrong.
#[test]
fn records_of_pods() {
    let dir = tempfile::tempdir().unwrap();
    let paths = PodPaths { dir: dir.path().to_owned(), run: dir.path().to_owned() };
    let mut pod = proto::core::v1::Pod::default();
    pod.metadata.name = "p".into();
    pod.spec.containers.push(Container { name: "c".into(), ..Container::default() });
    record::save_object(&paths, &pod).unwrap();
    record::save(&paths, &DesiredPod::new(std::sync::Arc::new(pod)), &ObservedPod::default()).unwrap();
    let good = std::fs::read_to_string(paths.record()).unwrap();
    fuzz(&[&good, &good.repeat(2)], |bytes| {
        std::fs::write(paths.record(), bytes).unwrap();
        let (desired, _) = record::load(&paths).expect("the object is whole");
        assert_eq!(desired.pod.metadata.name, "p");
    });
    let object = std::fs::read(paths.object()).unwrap();
    testkit::fuzz::damaged(ROUNDS, &[&object], |bytes| {
        std::fs::write(paths.object(), bytes).unwrap();
        let _ = record::load(&paths);
    });
}
