//! Config files, command lines and certificate files, damaged: refused with the file's name, or taken.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::Parser;
use testkit::fuzz::damaged;

use crate::cli::{self, Common, Error};
use crate::serve::direct::split;
use crate::tls::{ClientCerts, ClientIdentity, ServerIdentity};

#[derive(Parser, Debug)]
#[command(name = "keelson-fuzz")]
struct Flags {
    #[command(flatten)]
    _common: Common,
    #[arg(long = "leader-elect")]
    _leader_elect: bool,
    #[arg(long = "node-labels", value_delimiter = ',')]
    _node_labels: Vec<String>,
    #[arg(long = "port", default_value_t = 0)]
    _port: u16,
    #[arg(long = "kubeconfig")]
    _kubeconfig: Option<std::path::PathBuf>,
}

#[test]
fn config_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("own.yaml");
    let own = b"# ours\nv: 4\nleaderElect: true\nport: 10250\nnodeLabels: [a=b, c=d]\nkubeconfig: /etc/k\n";
    let upstreams = b"apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nleaderElection: {leaderElect: true}\nclientConnection:\n  kubeconfig: \"/k\"\nlogging: {verbosity: 3}\nprofiles: []\nnodeLabels: {a: b}\n";
    damaged(1_500, &[own, upstreams, b"a: &a [*a]", b"- 1", b"? {a: b}\n: c\n"], |bytes| {
        std::fs::write(&path, bytes).expect("written");
        let args = ["keelson-fuzz".into(), format!("--config={}", path.display()).into()];
        match cli::parse_from::<Flags>(args.to_vec()) {
            Ok(_) => {}
            // --help and --version are no keys, so whatever is wrong is the file's fault.
            Err(error) => assert!(error.to_string().contains("own.yaml"), "{error}"),
        }
    });
}

#[test]
fn messages_of_grpc() {
    let good = b"\0\0\0\0\x03one\0\0\0\0\0\0\0\0\0\x05three";
    damaged(1_500, &[good, b"\x01\0\0\0\x01x", b"\0\xff\xff\xff\xff"], |bytes| {
        let mut buffer = bytes::BytesMut::from(bytes);
        let mut taken = 0;
        while let Ok(Some(message)) = split(&mut buffer, 16) {
            assert!(message.len() <= 16, "a message over the bound");
            taken += 5 + message.len();
        }
        assert_eq!(taken + buffer.len(), bytes.len(), "bytes come from nowhere");
    });
}

#[test]
fn command_lines() {
    let good = b"--port=7\0--node-labels\0a=b,c=d\0--leader-elect=false\0-v4\0--kubeconfig\0/k";
    damaged(1_500, &[good, b"--help\0--prot=1", b"--\0x"], |bytes| {
        let words = bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
        // A damaged word may name a file to read.
        let words: Vec<_> = words.filter(|word| !word.to_string_lossy().contains("config")).collect();
        match cli::parse_from::<Flags>(std::iter::once("keelson-fuzz".into()).chain(words).collect()) {
            Ok(_) | Err(Error::Clap(_)) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn certificate_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let cert = params.self_signed(&key).expect("a certificate").pem();
    std::fs::write(path("good.crt"), &cert).expect("written");
    std::fs::write(path("good.key"), key.serialize_pem()).expect("written");
    let key = key.serialize_pem();
    damaged(300, &[cert.as_bytes(), key.as_bytes()], |bytes| {
        std::fs::write(path("odd.pem"), bytes).expect("written");
        let (odd, cert, key) = (path("odd.pem"), path("good.crt"), path("good.key"));
        // Two good files that do not belong together are told by either's name.
        let named = |error: String| assert!(error.contains("odd.pem") || error.contains("good."), "{error}");
        let loaded = [
            ClientIdentity::load(&odd, None).map(drop),
            ClientIdentity::load(&cert, Some((odd.clone(), key.clone()))).map(drop),
            ClientIdentity::load(&cert, Some((cert.clone(), odd.clone()))).map(drop),
            ServerIdentity::load(&odd, &key, ClientCerts::Ignored).map(drop),
            ServerIdentity::load(&cert, &key, ClientCerts::Required(odd)).map(drop),
        ];
        loaded.into_iter().filter_map(Result::err).for_each(|error| named(error.to_string()));
    });
}
