//! What a user sees of bad input and of a machine that runs out: an error that names the object and the mend, and nothing half-done.
//!
//! The store and containerd of this cluster lie on small file systems of their own, which tests fill and empty.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_e2e::space::{LIMIT, condition, is_ready};
use test_e2e::{World, manifest};
use testkit::flags::STORE_CLIENT;
use testkit::pki::{Authority, Identity, Pki};
use testkit::process::run;
use testkit::settings::Daemon;
use testkit::{flags, namespace, wait};

fn main() -> ExitCode {
    test_e2e::run(
        start,
        &[
            ("a_mistake_is_told_with_file_line_and_column", a_mistake_is_told_with_file_line_and_column),
            ("a_bad_second_document_leaves_nothing_half_done", a_bad_second_document_leaves_nothing_half_done),
            ("an_old_version_is_a_conflict", an_old_version_is_a_conflict),
            ("an_object_that_is_too_large_is_refused_by_its_name", an_object_that_is_too_large_is_refused_by_its_name),
            ("why_tells_what_an_unscheduled_pod_waits_for", why_tells_what_an_unscheduled_pod_waits_for),
            ("a_full_disk_under_the_store_loses_nothing", a_full_disk_under_the_store_loses_nothing),
            ("a_full_disk_under_containerd_is_explained", a_full_disk_under_containerd_is_explained),
            ("a_kubelet_waits_for_containerd_and_says_so", a_kubelet_waits_for_containerd_and_says_so),
            ("a_taken_port_is_named_by_each_daemon", a_taken_port_is_named_by_each_daemon),
            ("an_expired_certificate_is_named_by_each_daemon", an_expired_certificate_is_named_by_each_daemon),
            ("a_certificate_of_another_authority_is_told", a_certificate_of_another_authority_is_told),
            ("another_authority_is_named_by_each_daemon", another_authority_is_named_by_each_daemon),
        ],
    )
}

fn start() -> Result<World> {
    let world = World::prepare("bad", 1, |_| {})?;
    let layout = world.cluster.layout();
    for folder in [layout.store_data(), layout.node(world.node()).containerd_root()] {
        fs::create_dir_all(&folder)?;
        run("mount", ["-t", "tmpfs", "-o", "size=192m,mode=0700", "tmpfs", &folder.display().to_string()])?;
    }
    world.cluster.prepare()?;
    world.cluster.start(&mut |step| println!("  {step}"))?;
    world.cluster.import_hello()?;
    Ok(world)
}

/// A file that takes all the room there is; it is gone when this is dropped.
struct Filler(PathBuf);

impl Filler {
    fn fill(folder: &Path) -> Result<Self> {
        let file = folder.join("filler");
        let filler = Self(file.clone());
        // dd fails when the disk is full: that is what it is for.
        let _ = run("dd", ["if=/dev/zero", &format!("of={}", file.display()), "bs=64k"]);
        Ok(filler)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The complaint of something that must fail, which contains these.
#[track_caller]
fn complaint(answer: Result<String>, expect: &[&str]) -> Result<String> {
    let complaint = format!("{:#}", answer.err().context("it was accepted")?);
    for part in expect {
        ensure!(complaint.contains(part), "{part:?} is missing in {complaint}");
    }
    Ok(complaint)
}

fn a_mistake_is_told_with_file_line_and_column(world: &World) -> Result<()> {
    let space = world.space("places")?;
    let file = world.dir().join("mistake.yaml");
    let name = file.display().to_string();
    for (text, place, hints) in [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndta:\n  k: v\n", "5:1", &["dta", "data"][..]),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n  k: w\n", "7:3", &["k"]),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: 5\n", "5:11", &["labels"]),
        ("apiVersion: v1\nkind: ConfigMop\nmetadata:\n  name: a\n", "2:7", &["ConfigMop", "ConfigMap"]),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\n", "4:1", &[]),
    ] {
        fs::write(&file, text)?;
        let mut expect = vec![format!("{name}:{place}:")];
        expect.extend(hints.iter().map(|hint| (*hint).to_owned()));
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        complaint(space.run(&["apply", "-f", &name]), &expect)?;
    }
    ensure!(space.run(&["get", "configmap", "a", "--ignore-not-found"])?.trim().is_empty(), "half of it was done");
    Ok(())
}

fn a_bad_second_document_leaves_nothing_half_done(world: &World) -> Result<()> {
    let space = world.space("second")?;
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\n";
    for bad in [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndatta: {}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: [1]\n",
        "apiVersion: v1\nkind: NoSuchKind\nmetadata: {name: bad}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad\n",
    ] {
        complaint(space.apply(&format!("{good}{bad}")), &[])?;
        let there = space.run(&["get", "configmaps", "good", "bad", "--ignore-not-found", "-o", "name"])?;
        ensure!(there.trim().is_empty(), "{bad:?} left {there}");
    }
    Ok(())
}

fn an_old_version_is_a_conflict(world: &World) -> Result<()> {
    let space = world.space("versions")?;
    space.run(&["create", "configmap", "map", "--from-literal=a=first"])?;
    let old = space.get("configmap", "map")?;
    space.run(&["label", "configmap", "map", "touched=yes"])?;
    let mut stale = old;
    stale["data"]["a"] = "stale".into();
    let text = serde_json::to_string(&stale)?;
    complaint(space.apply(&text), &["map", "the object has been modified"])?;
    let now = space.get("configmap", "map")?;
    ensure!(now["data"]["a"] == "first" && now["metadata"]["labels"]["touched"] == "yes", "{now:#}");
    Ok(())
}

fn an_object_that_is_too_large_is_refused_by_its_name(world: &World) -> Result<()> {
    let space = world.space("sizes")?;
    let map = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata: {{text: {text}}}\n")
    };
    // A ConfigMap's own limit, an object's, a message's.
    complaint(space.run_with_input(&["create", "-f", "-"], &map(1_048_577)), &["big", "1048576"])?;
    let pod = |bytes: usize| manifest::pod("big", &"x".repeat(bytes), "");
    complaint(space.run_with_input(&["create", "-f", "-"], &pod(1_700_000)), &["Pod \"big\"", "1572864", "smaller"])?;
    let huge = space.run_with_input(&["create", "-f", "-"], &pod(9_000_000));
    complaint(huge, &["bytes", "8388608", "--max-request-bytes"])?;
    let there = space.run(&["get", "pods,configmaps", "big", "--ignore-not-found", "-o", "name"])?;
    ensure!(there.trim().is_empty(), "{there}");
    // As large as may be, it is stored and read back whole.
    space.run_with_input(&["create", "-f", "-"], &map(1_048_000))?;
    let text = space.get("configmap", "big")?["data"]["text"].as_str().map_or(0, str::len);
    ensure!(text == 1_048_000, "{text} bytes came back");
    Ok(())
}

fn why_tells_what_an_unscheduled_pod_waits_for(world: &World) -> Result<()> {
    let space = world.space("why")?;
    space.apply(&manifest::pod("giant", "sleep 1", "    resources: {requests: {cpu: '1000'}}"))?;
    wait::until("the scheduler's reason", LIMIT, || {
        let said = space.run(&["why", "pod", "giant"])?;
        ensure!(said.contains("Insufficient cpu") && said.contains(&world.node().name), "{said}");
        Ok(Some(()))
    })
}

fn a_full_disk_under_the_store_loses_nothing(world: &World) -> Result<()> {
    let space = world.space("fullstore")?;
    let map = |name: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: \"{}\"}}\n",
            "v".repeat(100_000)
        )
    };
    space.apply(&map("before"))?;
    let filler = Filler::fill(&world.cluster.layout().store_data())?;
    // Room that the log has already takes some more.
    let mut acknowledged = vec!["before".to_owned()];
    let (name, refused) = loop {
        let name = format!("during-{}", acknowledged.len());
        match space.apply(&map(&name)) {
            Ok(_) => acknowledged.push(name),
            Err(error) => break (name, format!("{error:#}")),
        }
        ensure!(acknowledged.len() < 3000, "the disk is full and everything is stored");
    };
    for part in ["no room on the disk of --data-dir", "make some there", &name] {
        ensure!(refused.contains(part), "{part:?} is missing in {refused}");
    }
    drop(filler);
    // A store that had to stop is started again by its supervisor: the unit files, or here.
    wait::until("writes to work again", LIMIT, || {
        world.cluster.start_one(Daemon::Store, world.node())?;
        space.apply(&map("after")).map(Some)
    })?;
    for name in acknowledged {
        space.get("configmap", &name)?;
    }
    Ok(())
}

fn a_full_disk_under_containerd_is_explained(world: &World) -> Result<()> {
    let space = world.space("fullnode")?;
    let filler = Filler::fill(&world.cluster.layout().node(world.node()).containerd_root())?;
    space.apply(&manifest::pod("cramped", "exec sleep 98801", ""))?;
    wait::until("the reason", LIMIT, || {
        let said = space.run(&["describe", "pod", "cramped"])?;
        ensure!(said.contains("no space left on device"), "{said}");
        Ok(Some(()))
    })?;
    drop(filler);
    space.wait_within(LIMIT * 4, "the pod to run", "pod", "cramped", is_ready).map(drop)
}

fn a_kubelet_waits_for_containerd_and_says_so(world: &World) -> Result<()> {
    let space = world.space("late")?;
    let cluster = &world.cluster;
    let node = world.node();
    cluster.stop_one(Daemon::Kubelet, node)?;
    cluster.processes().stop(&flags::containerd_name(&cluster.settings, node), LIMIT)?;
    let spec = flags::spec(&cluster.settings, cluster.layout(), Daemon::Kubelet, node)?;
    cluster.processes().start(&spec, LIMIT)?;
    let get_node = || world.keelctl().json(&["get", "node", &node.name]);
    wait::until("the node to say what it lacks", LIMIT, || {
        let seen = get_node()?;
        let conditions = seen["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
        ensure!(ready["status"] == "False", "{ready}");
        let message = ready["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains("containerd") || message.contains("container runtime"), "{message}");
        Ok(Some(()))
    })?;
    cluster.start_containerd(node)?;
    wait::until("the node to be ready", LIMIT, || Ok((condition(&get_node()?, "Ready") == "True").then_some(())))?;
    space.apply(&manifest::pod("pod", "exec sleep 98802", ""))?;
    space.wait_ready("pod").map(drop)
}

/// Starts a daemon as the cluster does, and waits until it has ended; gives what it wrote meanwhile.
fn refused_start(world: &World, daemon: Daemon) -> Result<String> {
    let cluster = &world.cluster;
    let spec = flags::spec(&cluster.settings, cluster.layout(), daemon, world.node())?;
    let log = cluster.processes().log(&spec.name);
    let before = usize::try_from(fs::metadata(&log)?.len())?;
    cluster.processes().start(&spec, LIMIT)?;
    let ended = wait::until(&format!("{daemon} to refuse"), Duration::from_secs(30), || {
        let runs = cluster.processes().record(&spec.name).is_some_and(|record| record.is_alive());
        Ok((!runs).then_some(()))
    });
    let text = fs::read(&log)?;
    let said = String::from_utf8_lossy(&text[before..]).into_owned();
    ended.with_context(|| said.clone())?;
    Ok(said)
}

fn a_taken_port_is_named_by_each_daemon(world: &World) -> Result<()> {
    let ports = world.cluster.settings.ports;
    let mut wrong = Vec::new();
    for (daemon, port) in [
        (Daemon::Store, ports.store),
        (Daemon::Store, ports.store_peer),
        (Daemon::Apiserver, ports.apiserver),
        (Daemon::ControllerManager, ports.controller_manager),
        (Daemon::Scheduler, ports.scheduler),
        (Daemon::Kubelet, ports.kubelet),
        (Daemon::Kubelet, ports.kubelet_health),
        (Daemon::Proxy, ports.proxy_health),
        (Daemon::Dns, ports.dns),
        (Daemon::Dns, ports.dns_health),
    ] {
        world.cluster.stop_one(daemon, world.node())?;
        let taken = wait::until("the port to be free", LIMIT, || {
            namespace::inside(world.network(), || {
                let udp = UdpSocket::bind(("0.0.0.0", port))?;
                Ok(Some((TcpListener::bind(("0.0.0.0", port))?, udp)))
            })
        })?;
        let said = refused_start(world, daemon);
        drop(taken);
        world.cluster.start_one(daemon, world.node())?;
        match said {
            Ok(said) if said.contains(&port.to_string()) && said.contains("in use") => {}
            Ok(said) => wrong.push(format!("{daemon}, {port}: it ended with {said}")),
            Err(error) => wrong.push(format!("{daemon}, {port}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The identity of a daemon's certificate.
fn identity(world: &World, daemon: Daemon) -> Result<Identity> {
    let identities = flags::identities(&world.cluster.settings)?;
    identities.into_iter().find(|identity| identity.file == daemon.name()).context("the daemon has a certificate")
}

fn an_expired_certificate_is_named_by_each_daemon(world: &World) -> Result<()> {
    let pki = world.cluster.layout().pki();
    let mut wrong = Vec::new();
    for daemon in Daemon::ALL {
        let identity = identity(world, daemon)?;
        world.cluster.stop_one(daemon, world.node())?;
        pki.expire(&identity)?;
        let said = match daemon {
            // These show it to the apiserver only.
            Daemon::Proxy | Daemon::Dns => waits_and_says(world, daemon, &["expired"]),
            _ => refused_start(world, daemon),
        };
        pki.ensure(&flags::identities(&world.cluster.settings)?)?;
        world.cluster.start_one(daemon, world.node())?;
        let file = format!("{daemon}.crt");
        match said {
            Ok(said) if said.contains(&file) && said.contains("expired") && said.contains("issue a new one") => {}
            Ok(said) => wrong.push(format!("{daemon}: it said {said}")),
            Err(error) => wrong.push(format!("{daemon}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Starts a daemon that goes on, or ends, and gives what it wrote once that contains these.
fn waits_and_says(world: &World, daemon: Daemon, expect: &[&str]) -> Result<String> {
    says_with(world, daemon, &[], expect)
}

/// As [`waits_and_says`], with more flags.
fn says_with(world: &World, daemon: Daemon, more: &[String], expect: &[&str]) -> Result<String> {
    let cluster = &world.cluster;
    let mut spec = flags::spec(&cluster.settings, cluster.layout(), daemon, world.node())?;
    spec.args.extend(more.iter().cloned());
    let log = cluster.processes().log(&spec.name);
    let before = usize::try_from(fs::metadata(&log)?.len())?;
    cluster.processes().start(&spec, LIMIT)?;
    let said = wait::until(&format!("{daemon} to say {expect:?}"), Duration::from_secs(30), || {
        let said = String::from_utf8_lossy(&fs::read(&log)?[before..]).into_owned();
        ensure!(expect.iter().all(|part| said.contains(part)), "{said}");
        Ok(Some(said))
    });
    cluster.stop_one(daemon, world.node())?;
    said
}

/// A daemon that trusts another CA than its server's, or shows a certificate of one, names the file and the mend.
fn another_authority_is_named_by_each_daemon(world: &World) -> Result<()> {
    let strange = Pki::new(world.dir().join("other-pki"));
    strange.ensure(&flags::identities(&world.cluster.settings)?)?;
    let mut wrong = Vec::new();
    let mut check = |daemon: Daemon, flags: &[String], expect: &[&str]| -> Result<()> {
        world.cluster.stop_one(daemon, world.node())?;
        if let Err(error) = says_with(world, daemon, flags, expect) {
            wrong.push(format!("{daemon} {flags:?}: {error:#}"));
        }
        world.cluster.start_one(daemon, world.node()).map(drop)
    };
    let shown = |path: PathBuf| path.display().to_string();
    for daemon in [Daemon::ControllerManager, Daemon::Scheduler, Daemon::Kubelet, Daemon::Proxy, Daemon::Dns] {
        let name = daemon.name();
        let config: Value = serde_json::from_slice(&fs::read(world.cluster.layout().kubeconfig(name))?)?;
        let kubeconfig = |change: &dyn Fn(&mut Value)| -> Result<Vec<String>> {
            let mut config = config.clone();
            change(&mut config);
            let file = world.dir().join(format!("other-{name}.kubeconfig"));
            fs::write(&file, serde_json::to_vec(&config)?)?;
            Ok(vec![format!("--kubeconfig={}", file.display())])
        };
        let ca = shown(strange.authority(Authority::Cluster));
        let flags =
            kubeconfig(&|config| config["clusters"][0]["cluster"]["certificate-authority"] = ca.as_str().into())?;
        check(daemon, &flags, &[&ca, "is not signed by", "give the one that signed it"])?;
        let (certificate, key) = (shown(strange.certificate(name)), shown(strange.key(name)));
        let flags = kubeconfig(&|config| {
            config["users"][0]["user"] = serde_json::json!({"client-certificate": certificate, "client-key": key});
        })?;
        check(daemon, &flags, &[&certificate, "refuses our certificate", "--client-ca-file"])?;
    }
    let ca = shown(strange.authority(Authority::Store));
    check(
        Daemon::Apiserver,
        &[format!("--etcd-cafile={ca}")],
        &[&ca, "is not signed by", "give the CA that signed it"],
    )?;
    let (certificate, key) = (shown(strange.certificate(STORE_CLIENT)), shown(strange.key(STORE_CLIENT)));
    let flags = [format!("--etcd-certfile={certificate}"), format!("--etcd-keyfile={key}")];
    check(Daemon::Apiserver, &flags, &[&certificate, "refuses our certificate", "--trusted-ca-file"])?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn a_certificate_of_another_authority_is_told(world: &World) -> Result<()> {
    let strange = Pki::new(world.dir().join("strange-pki"));
    strange.ensure(&flags::identities(&world.cluster.settings)?)?;
    // A client of another cluster: its own kubeconfig, another's authority.
    let config: Value = serde_json::from_slice(&fs::read(world.cluster.layout().admin_kubeconfig())?)?;
    let mut config = config;
    config["clusters"][0]["cluster"] = serde_json::json!({
        "server": config["clusters"][0]["cluster"]["server"],
        "certificate-authority": strange.authority(Authority::Cluster),
    });
    let mut keelctl = world.keelctl();
    keelctl.kubeconfig = world.dir().join("strange.kubeconfig");
    fs::write(&keelctl.kubeconfig, serde_json::to_vec(&config)?)?;
    complaint(keelctl.run(&["get", "pods"]), &["signed by"]).map(drop)
}
