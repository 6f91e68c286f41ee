//! What a user sees when a daemon is started wrongly: an error that names the mistake and the mend, and no process.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use test_e2e::world::programs;
use testkit::settings::{Daemon, Node, Settings};
use testkit::{cluster::Cluster, flags, wait};

/// Runs a daemon that is expected to end by itself.
fn run(daemon: Daemon, args: &[String]) -> Output {
    let mut child = Command::new(programs().unwrap().join(daemon.program()))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = wait::until(&format!("{daemon} to refuse {args:?}"), Duration::from_secs(20), || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(ended.is_ok(), "{daemon} {args:?} runs on: {}", text(&output));
    output
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn check_refused(daemon: Daemon, args: &[String], expect: &[&str]) {
    let output = run(daemon, args);
    assert!(!output.status.success(), "{daemon} {args:?} succeeded: {}", text(&output));
    for part in expect {
        assert!(text(&output).contains(part), "{daemon} {args:?}: {part:?} is missing in {}", text(&output));
    }
}

#[test]
fn an_unknown_flag_is_refused_with_the_nearest_name() {
    for (daemon, wrong, right) in [
        (Daemon::Store, "--listen-client-url=http://127.0.0.1:1", "--listen-client-urls"),
        (Daemon::Apiserver, "--etcd-server=http://127.0.0.1:1", "--etcd-servers"),
        (Daemon::ControllerManager, "--cluster-cdir=10.0.0.0/8", "--cluster-cidr"),
        (Daemon::Scheduler, "--kubeconfg=/nowhere", "--kubeconfig"),
        (Daemon::Kubelet, "--root-dirr=/nowhere", "--root-dir"),
        (Daemon::Proxy, "--cluster-cdir=10.0.0.0/8", "--cluster-cidr"),
        (Daemon::Dns, "--kubeconfg=/nowhere", "--kubeconfig"),
    ] {
        check_refused(daemon, &[wrong.to_owned()], &[right]);
    }
}

#[test]
fn an_unknown_config_key_is_refused_with_file_line_and_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    for daemon in Daemon::ALL {
        let file = folder.path().join(format!("{daemon}.yaml"));
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../deploy/config/{daemon}.yaml"));
        let config = fs::read_to_string(config).unwrap();
        // A mistake in the last key of a file that is right otherwise.
        let last = config.lines().rev().find(|line| !line.starts_with('#') && line.contains(": ")).unwrap();
        let key = last.split(':').next().unwrap();
        let wrong = config.replace(&format!("\n{key}:"), &format!("\n{key}x:"));
        fs::write(&file, &wrong).unwrap();
        let line = wrong.lines().position(|line| line.starts_with(&format!("{key}x:"))).unwrap() + 1;
        let expect = [format!("{key}x"), format!("line {line}"), file.display().to_string()];
        let expect: Vec<&str> = expect.iter().map(String::as_str).chain([key]).collect();
        check_refused(daemon, &[format!("--config={}", file.display())], &expect);
    }
}

/// The flags of a whole cluster on ports that nobody uses by habit.
fn cluster(dir: &Path) -> Cluster {
    let node = Node { name: "one".to_owned(), address: std::net::Ipv4Addr::LOCALHOST.into(), network: None };
    let cluster = Cluster::new(Settings::new(dir.canonicalize().unwrap(), programs().unwrap(), node));
    cluster.prepare().unwrap();
    cluster
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = cluster(folder.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    cluster.settings.ports.store = taken.local_addr().unwrap().port();
    cluster.settings.ports.store_peer = 0;
    let spec = flags::spec(&cluster.settings, cluster.layout(), Daemon::Store, cluster.settings.first_node()).unwrap();
    check_refused(Daemon::Store, &spec.args, &[&cluster.settings.ports.store.to_string(), "in use"]);
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let pki = cluster.layout().pki();
    fs::remove_file(pki.certificate("store")).unwrap();
    let spec = flags::spec(&cluster.settings, cluster.layout(), Daemon::Store, cluster.settings.first_node()).unwrap();
    check_refused(Daemon::Store, &spec.args, &["store.crt"]);
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let pki = cluster.layout().pki();
    fs::copy(pki.key("scheduler"), pki.key("store")).unwrap();
    let spec = flags::spec(&cluster.settings, cluster.layout(), Daemon::Store, cluster.settings.first_node()).unwrap();
    check_refused(Daemon::Store, &spec.args, &["store.key", "does not belong"]);
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    for daemon in [Daemon::ControllerManager, Daemon::Scheduler, Daemon::Proxy, Daemon::Dns] {
        check_refused(daemon, &["--kubeconfig=/nowhere/kubeconfig".to_owned()], &["/nowhere/kubeconfig"]);
    }
}

#[test]
fn every_program_tells_its_version_and_helps() {
    for daemon in Daemon::ALL {
        for flag in ["--version", "--help"] {
            let output = run(daemon, &[flag.to_owned()]);
            assert!(output.status.success(), "{daemon} {flag}: {}", text(&output));
            assert!(text(&output).contains("keelson"), "{daemon} {flag}: {}", text(&output));
        }
    }
}
