//! What containers, programs and users hand to keelctl, damaged: archives, credentials, manifests, templates.

use std::path::Path;

use client::config::Credentials;
use testkit::fuzz::damaged;

use crate::command::cp;
use crate::kubeconfig::exec::Plugin;
use crate::manifest::source;
use crate::output::jsonpath::Template;
use crate::{kubeconfig, merge};

/// An archive as a container's tar writes it, with what a bad one would put in: links, and ways out.
fn archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, name: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_size(data.len() as u64);
        // Written as it stands: the builder itself refuses ways out.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.as_old_mut().linkname[..9].copy_from_slice(b"/etc/pass");
        }
        header.set_cksum();
        archive.append(&header, data).expect("in memory");
    };
    add(tar::EntryType::Directory, "src/", b"");
    add(tar::EntryType::Regular, "src/a.txt", b"hello");
    add(tar::EntryType::Symlink, "src/link", b"");
    add(tar::EntryType::Regular, "src/link/b.txt", b"through a link");
    add(tar::EntryType::Link, "src/hard", b"");
    add(tar::EntryType::Fifo, "src/fifo", b"");
    add(tar::EntryType::Regular, "src/../../escaped", b"out");
    add(tar::EntryType::Regular, "/tmp/keelson-escaped", b"out");
    archive.into_inner().expect("in memory")
}

/// Everything below a folder.
fn below(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), found);
        }
    }
}

#[test]
fn archives_from_a_container() {
    let whole = archive();
    // Headers whose sums are right again, so that damage reaches what is behind them.
    let resealed = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for block in bytes.chunks_exact_mut(512) {
            if block[257..262] == *b"ustar" {
                block[148..156].copy_from_slice(b"        ");
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        bytes
    };
    // Sparse files and long names are written as long as they say; those are tar's own forms, tried without damage.
    damaged(300, &[&whole, &whole[..3 * 512], b""], |bytes| {
        let outer = tempfile::tempdir().expect("a temporary folder");
        let inner = outer.path().join("inner");
        let to = inner.join("out");
        std::fs::create_dir_all(&inner).expect("made");
        let bytes = resealed(bytes);
        let _refused = cp::unpack(bytes.as_slice(), "src", &to);
        let mut found = Vec::new();
        below(outer.path(), &mut found);
        for path in found.iter().filter(|path| **path != inner) {
            assert!(path.starts_with(&to), "{} is outside", path.display());
            assert!(!path.is_symlink(), "{} is a link", path.display());
        }
        assert!(!Path::new("/tmp/keelson-escaped").exists());
    });
}

#[test]
fn credentials_from_a_program() {
    let config = "{apiVersion: client.authentication.k8s.io/v1, command: helper}";
    let plugin: Plugin = serde_yaml::from_str(config).expect("as a kubeconfig has it");
    let token = br#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}"#;
    let pair = br#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientCertificateData":"c","clientKeyData":"k"}}"#;
    assert!(plugin.read(token).is_ok() && plugin.read(pair).is_ok());
    damaged(3_000, &[token, pair], |bytes| match plugin.read(bytes) {
        Ok((credentials, token)) => assert!(token.is_some() || credentials != Credentials::Anonymous),
        Err(error) => assert!(format!("{error:#}").contains("helper"), "{error:#}"),
    });
}

#[test]
fn manifests() {
    let pod = b"apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: &l {a: 'b', <<: {c: d}}}\nspec:\n  containers:\n  - name: c\n    image: \"x\\ty\"\n    args: [0644, yes, 1e3, ~]\n    command:\n    - |\n      text\n";
    let list = b"%YAML 1.2\n---\n{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{\"kind\": \"ConfigMap\", \"apiVersion\": \"v1\"}]}\n---\n# nothing\n...\n";
    damaged(2_000, &[pod, list, b"a: &a [*a, *a]", b"!!binary x: !y z", b"? a\n: b"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match source::parse("own.yaml", &text) {
            Ok(documents) => documents.iter().for_each(|document| drop(crate::manifest::check::check(document))),
            Err(problems) => assert!(problems.to_string().contains("own.yaml"), "{problems}"),
        }
    });
}

#[test]
fn json_paths() {
    let root = serde_json::json!({"items": [{"a": {"b.c": 1}, "name": "x"}, {"a": null, "name": "y"}]});
    let good: [&[u8]; 4] = [
        b"{.items[*].name}",
        b"{range .items[?(@.name=='x')]}{.a.b\\.c}{'\\n'}{end}",
        b"{.items[-1:0:2]['a','name']}",
        b"{..name}",
    ];
    damaged(3_000, &good, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for parsed in [Template::parse(&text), Template::parse_relaxed(&text)].into_iter().flatten() {
            let _shown = parsed.render(&root);
        }
    });
}

#[test]
fn kubeconfig_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("own.config");
    let good = b"apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u, namespace: n}}\nclusters:\n- {name: c, cluster: {server: 'https://x', certificate-authority: ca.crt}}\nusers:\n- name: u\n  user: {token: t, exec: {apiVersion: v, command: ./x, args: null}}\npreferences: {}\n";
    let global = crate::cli::Global { kubeconfig: Some(path.display().to_string()), ..Default::default() };
    damaged(1_000, &[good, b"contexts: null\n", b"- 1"], |bytes| {
        std::fs::write(&path, bytes).expect("written");
        match kubeconfig::read(&path) {
            Ok(found) => drop((kubeconfig::context(&found, &global), serde_yaml::to_string(&found))),
            Err(error) => assert!(format!("{error:#}").contains("own.config"), "{error:#}"),
        }
    });
}

/// The annotation of an object in the cluster: anybody may have written it.
#[test]
fn what_was_applied_last() {
    let good = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","ports":[{"containerPort":80}]}]}}"#;
    let modified: serde_json::Value = serde_json::from_slice(good).expect("JSON");
    let schema = <proto::core::v1::Pod as proto::Kind>::info();
    damaged(2_000, &[good, b"[]", b"null"], |bytes| {
        let mut current = modified.clone();
        current["metadata"]["annotations"] =
            serde_json::json!({"kubectl.kubernetes.io/last-applied-configuration": String::from_utf8_lossy(bytes)});
        let original = merge::last_applied(&current).unwrap_or_default();
        let patch = merge::three_way(&original, &modified, &current, Some(schema));
        assert!(patch.is_object(), "{patch}");
    });
}
