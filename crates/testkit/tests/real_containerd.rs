//! Our containerd and our image on the real thing; needs root and the packages that `cargo xtask up` installs.

use std::net::Ipv4Addr;
use std::time::Duration;

use testkit::cluster::Cluster;
use testkit::containerd::ctr;
use testkit::image::HELLO;
use testkit::packages;
use testkit::settings::{Node, Settings};
use testkit::{leftovers, wait};

fn cluster(dir: &std::path::Path) -> Cluster {
    let missing = packages::missing(&[packages::RUN]);
    assert!(missing.is_empty(), "install {}", missing.join(", "));
    let node = Node { name: "one".to_owned(), address: Ipv4Addr::LOCALHOST.into(), network: None };
    Cluster::new(Settings::new(dir.canonicalize().expect("it was just made"), "/nowhere".into(), node))
}

#[test]
fn a_container_of_our_image_runs_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let node = cluster.settings.first_node();
    let files = cluster.layout().node(node);
    cluster.prepare().unwrap();
    cluster.start_containerd(node).unwrap();
    cluster.import_hello().unwrap();
    cluster.import_hello().unwrap();
    assert_eq!(ctr(&files, &["images", "ls", "-q"]).unwrap().trim(), HELLO);

    let said = ctr(&files, &["run", "--rm", HELLO, "short", "echo", "it runs"]).unwrap();
    assert_eq!(said.trim(), "it runs");
    ctr(&files, &["run", "-d", HELLO, "long", "sleep", "1000"]).unwrap();
    assert!(leftovers::processes(&cluster.settings.dir).len() >= 2);
    assert!(!leftovers::mounts(&cluster.settings.dir).is_empty());

    cluster.stop(&mut |_| {}).unwrap();
    assert!(leftovers::processes(&cluster.settings.dir).is_empty());
    assert!(leftovers::mounts(&cluster.settings.dir).is_empty());
    assert!(!std::path::Path::new("/run/containerd/runc/k8s.io/long").exists());
    assert!(cluster.layout().remove().unwrap().is_empty());
    assert!(!cluster.settings.dir.exists());
}

#[test]
fn a_containerd_that_died_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let node = cluster.settings.first_node();
    cluster.prepare().unwrap();
    cluster.start_containerd(node).unwrap();
    let first = cluster.processes().record("containerd").unwrap();
    testkit::process::kill_all(&[first.pid]).unwrap();
    wait::until("the record to be stale", Duration::from_secs(5), || Ok((!first.is_alive()).then_some(()))).unwrap();
    cluster.start_containerd(node).unwrap();
    assert!(cluster.processes().record("containerd").unwrap().is_alive());
    cluster.stop(&mut |_| {}).unwrap();
}
