//! The rules in a real kernel: every form through the installed `nft`, and traffic through them, in network namespaces that the
//! test makes and removes. Needs root, nftables, iproute2, procps, util-linux and conntrack.
//!
//! ```text
//! client 192.0.2.9 ---- 192.0.2.1 node 10.244.0.1 (bridge) ---- pod a 10.244.0.2, pod b 10.244.0.3
//! ```

#[path = "support/net.rs"]
mod net;

use std::path::Path;
use std::sync::Arc;

use net::Net;
use proxy::conntrack;
use proxy::diff::{Ruleset, diff, reconcile};
use proxy::kernel::Kernel;
use proxy::nft::Nft;
use proxy::render::{NodePortAddresses, Renderer};
use proxy::ruleset::ruleset;
use proxy::service::ServiceName;
use proxy::table::{Family, Op, Rule};
use proxy::testing::{parse_script, settings};

fn rules(script: &str) -> Ruleset {
    let (services, endpoints) = parse_script(script);
    ruleset(&services, &endpoints, &settings())
}

fn kernel(net: &Net) -> Nft {
    let renderer = Renderer { node_ports: NodePortAddresses::All, masquerade_mark: 0x4000 };
    Nft { program: net.enter(&net.node, &["nft"]), renderer }
}

/// Replaces the rules of the node by those of a script.
async fn set(kernel: &Nft, script: &str) {
    let found = kernel.read().await.expect("the tables can be read");
    kernel.apply(&reconcile(&found, &rules(script))).await.expect("the tables can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_taken_and_read_back() {
    let net = Net::node_only("forms");
    let kernel = kernel(&net);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    let mut now = Ruleset::default();
    for script in &scripts {
        let text = std::fs::read_to_string(script).unwrap();
        let next = rules(text.split_once("----\n").unwrap().0);
        let mut step = now.clone();
        for name in now.names() {
            kernel.apply(&step.replace(name, None)).await.unwrap();
        }
        for name in next.names() {
            kernel.apply(&step.replace(name, next.part(name).cloned())).await.unwrap();
            assert_eq!(kernel.read().await.unwrap(), step.expected(), "{}", script.display());
        }
        let found = kernel.read().await.unwrap();
        kernel.apply(&reconcile(&found, &step)).await.unwrap();
        assert_eq!(kernel.read().await.unwrap(), step.expected(), "after a restart, {}", script.display());
        now = step;
    }
    let other = rules("service a/other 10.96.7.7\nport - sctp 9\nendpoint a/other - sctp 10.244.0.2:9 node-1\n");
    kernel.apply(&diff(&now, &other)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transaction_changes_nothing_and_names_the_command() {
    let net = Net::node_only("refused");
    let kernel = kernel(&net);
    let good = rules("service a/web 10.96.0.1\nport - tcp 80\nendpoint a/web - tcp 10.244.0.2:80 node-1\n");
    kernel.apply(&good.build()).await.unwrap();
    let mut steps =
        rules("service a/new 10.96.0.2\nport - tcp 80\nendpoint a/new - tcp 10.244.0.2:80 node-1\n").build();
    steps.insert(steps.len() - 1, Op::AddRule { family: Family::V4, chain: "nowhere".into(), rule: Rule::Masquerade });
    let error = kernel.apply(&steps).await.unwrap_err().to_string();
    assert!(error.contains("add rule ip nowhere: masquerade"), "{error}");
    assert_eq!(kernel.read().await.unwrap(), good.expected());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_carry_traffic() {
    let net = Net::with_pods("traffic");
    let kernel = kernel(&net);
    for pod in ["a", "b"] {
        net.serve_tcp(pod, 8080);
    }
    set(
        &kernel,
        "service n/web 10.96.0.1 node-port=80:30080 external-ip=203.0.113.5\nport - tcp 80\n\
                  endpoint n/web - tcp 10.244.0.2:8080 node-1\nendpoint n/web - tcp 10.244.0.3:8080 node-1\n\
                  service n/hairpin 10.96.0.2\nport - tcp 80\nendpoint n/hairpin - tcp 10.244.0.2:8080 node-1\n\
                  service n/sticky 10.96.0.3 affinity=60\nport - tcp 80\n\
                  endpoint n/sticky - tcp 10.244.0.2:8080 node-1\nendpoint n/sticky - tcp 10.244.0.3:8080 node-1\n\
                  service n/empty 10.96.0.4 node-port=80:30081\nport - tcp 80\n",
    )
    .await;

    for from in ["a", "b", "node", "client"] {
        let answers: std::collections::BTreeSet<String> = (0..24).map(|_| net.ask(from, "10.96.0.1", 80)).collect();
        assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["a", "b"], "balanced for {from}");
    }
    assert_eq!(net.ask("a", "10.96.0.2", 80), "a", "a pod reaches itself through its Service");
    for from in ["client", "a", "node"] {
        assert!(["a", "b"].contains(&net.ask(from, "192.0.2.1", 30080).as_str()), "node port from {from}");
    }
    assert!(["a", "b"].contains(&net.ask("client", "203.0.113.5", 80).as_str()), "external IP");
    let sticky: std::collections::BTreeSet<String> = (0..12).map(|_| net.ask("client", "10.96.0.3", 80)).collect();
    assert_eq!(sticky.len(), 1, "one client, one endpoint: {sticky:?}");

    for from in ["a", "node", "client"] {
        assert_eq!(net.ask(from, "10.96.0.4", 80), "refused", "no endpoints, from {from}");
        assert_eq!(net.ask(from, "10.96.0.1", 81), "refused", "no such port, from {from}");
    }
    assert_eq!(net.ask("client", "192.0.2.1", 30081), "refused", "node port without endpoints");
    assert_eq!(net.ask("node", "127.0.0.1", 30080), "refused", "node ports are not served on loopback");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_ports_and_source_ranges_keep_others_out() {
    let net = Net::with_pods("ranges");
    let mut kernel = kernel(&net);
    net.serve_tcp("a", 8080);
    let script = "service n/web 10.96.0.1 node-port=80:30080 lb=203.0.113.5 ranges=198.51.100.0/24\nport - tcp 80\n\
                  endpoint n/web - tcp 10.244.0.2:8080 node-1\n\
                  service n/open 10.96.0.2 lb=203.0.113.6 ranges=192.0.2.0/24,198.51.100.0/24\nport - tcp 80\n\
                  endpoint n/open - tcp 10.244.0.2:8080 node-1\n";
    for (ranges, outside, inside) in [
        (vec!["10.244.0.0/24", "172.16.0.0/12"], "refused", "a"),
        (vec!["192.0.2.1/32"], "a", "refused"),
        (vec!["2001:db8::/32"], "refused", "refused"),
    ] {
        let ranges = ranges.into_iter().map(|range| range.parse().unwrap()).collect();
        assert!(kernel.set_node_ports(NodePortAddresses::Within(ranges)));
        set(&kernel, script).await;
        assert_eq!(net.ask("client", "192.0.2.1", 30080), outside, "{:?}", kernel.renderer.node_ports);
        assert_eq!(net.ask("b", "10.244.0.1", 30080), inside, "{:?}", kernel.renderer.node_ports);
    }
    assert_eq!(net.ask("client", "203.0.113.6", 80), "a");
    assert_eq!(net.ask("client", "203.0.113.5", 80), "connection timed out", "dropped, not refused");
    assert_eq!(net.ask("client", "10.96.0.1", 80), "a", "ranges concern the load balancer's address only");
}

#[tokio::test(flavor = "multi_thread")]
async fn off_cluster_clients_are_masqueraded_and_pods_are_not() {
    let net = Net::with_pods("masq");
    let kernel = kernel(&net);
    net.serve_tcp("a", 8080);
    set(
        &kernel,
        "service n/web 10.96.0.1 node-port=80:30080\nport - tcp 80\nendpoint n/web - tcp 10.244.0.2:8080 node-1\n",
    )
    .await;
    net.ask("b", "10.96.0.1", 80);
    net.ask("client", "192.0.2.1", 30080);
    let flows = net.run(&net.node, &["conntrack", "-L", "-p", "tcp"]);
    let reply_to = |original: &str, to: &str| {
        let flow =
            flows.lines().find(|line| line.contains(original)).unwrap_or_else(|| panic!("no {original} in {flows}"));
        assert!(flow.contains(&format!("src=10.244.0.2 dst={to} ")), "{flow}");
    };
    reply_to("src=10.244.0.3 dst=10.96.0.1 ", "10.244.0.3");
    reply_to("src=192.0.2.9 dst=192.0.2.1 ", "10.244.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_flows_move_when_their_endpoint_goes() {
    let net = Net::with_pods("udp");
    let kernel = kernel(&net);
    for pod in ["a", "b"] {
        net.serve_udp(pod, 5353);
    }
    let script = |ip: &str| format!("service n/dns 10.96.0.10\nport - udp 53\nendpoint n/dns - udp {ip}:5353 node-1\n");
    let name = ServiceName::new("n", "dns");
    let mut now = rules("service n/dns 10.96.0.10\nport - udp 53\n");
    kernel.apply(&now.build()).await.unwrap();
    for (ip, pod) in [("10.244.0.2", "a"), ("10.244.0.3", "b")] {
        let old = now.part(&name).cloned().unwrap();
        let new = rules(&script(ip)).part(&name).cloned().unwrap();
        kernel.apply(&now.replace(&name, Some(new.clone()))).await.unwrap();
        conntrack::forget(&net.enter(&net.node, &["conntrack"]), &conntrack::stale(&old, &new)).await;
        assert_eq!(net.ask_udp("client", "10.96.0.10", 53, 40_000), pod, "the same client port gets the new endpoint");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_node_ports_carry_traffic() {
    let net = Net::with_pods("udpnode");
    let kernel = kernel(&net);
    for pod in ["a", "b"] {
        net.serve_udp(pod, 5353);
    }
    set(
        &kernel,
        "service n/dns 10.96.0.10 node-port=53:30053\nport - udp 53\n\
                  endpoint n/dns - udp 10.244.0.2:5353 node-1\nendpoint n/dns - udp 10.244.0.3:5353 node-1\n\
                  service n/sticky 10.96.0.11 affinity=60 node-port=53:30054\nport - udp 53\n\
                  endpoint n/sticky - udp 10.244.0.2:5353 node-1\nendpoint n/sticky - udp 10.244.0.3:5353 node-1\n\
                  service n/empty 10.96.0.12 node-port=53:30055\nport - udp 53\n",
    )
    .await;
    let answers = |from: &str, ip: &str, port: u16| -> std::collections::BTreeSet<String> {
        (0..24_u16).map(|turn| net.ask_udp(from, ip, port, 41_000 + turn)).collect()
    };
    let both = ["a", "b"].map(str::to_owned).into();
    assert_eq!(answers("client", "192.0.2.1", 30053), both, "each source port is a flow of its own");
    for from in ["a", "node"] {
        assert_eq!(answers(from, "192.0.2.1", 30053), both, "from {from}");
    }
    let sticky = answers("client", "192.0.2.1", 30054);
    assert!(sticky.len() == 1 && sticky.is_subset(&both), "one client, one endpoint: {sticky:?}");
    assert_eq!(answers("client", "10.96.0.11", 53), sticky, "the same endpoint by the ClusterIP");
    assert_eq!(net.ask_udp("client", "192.0.2.1", 30055, 42_000), "refused", "no endpoints");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_cuts_no_connection() {
    let net = Arc::new(Net::with_pods("restart"));
    let kernel = kernel(&net);
    net.serve_tcp("a", 8080);
    let script = "service n/web 10.96.0.1\nport - tcp 80\nendpoint n/web - tcp 10.244.0.2:8080 node-1\n";
    set(&kernel, script).await;
    let asking = {
        let net = net.clone();
        tokio::task::spawn_blocking(move || (0..40).map(|_| net.ask("b", "10.96.0.1", 80)).collect::<Vec<_>>())
    };
    for _ in 0..20 {
        set(&kernel, script).await;
    }
    assert!(
        asking.await.unwrap().iter().all(|answer| answer == "a"),
        "no request fails while the tables are reconciled"
    );
}
