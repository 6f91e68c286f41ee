//! Scripts in `testdata/`: Services and endpoints in, tables out. `UPDATE_EXPECT=1` rewrites the expectations.

use std::path::Path;

use super::*;
use crate::fake::FakeKernel;
use crate::testing::{parse_script, settings};

#[track_caller]
fn check(script: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(script);
    let text = std::fs::read_to_string(&path).unwrap();
    let (input, expect) = text.split_once("----\n").unwrap_or((&text, ""));
    let (services, endpoints) = parse_script(input);
    let kernel = FakeKernel::default();
    kernel.apply_now(&ruleset(&services, &endpoints, &settings()).build()).unwrap();
    let actual = kernel.dump();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{input}----\n{actual}")).unwrap();
    } else {
        assert_eq!(expect, actual, "{script}: run with UPDATE_EXPECT=1 and review the difference");
    }
}

#[test]
fn cluster_ip_balances_over_ready_endpoints() {
    check("cluster-ip.txt");
}

#[test]
fn node_ports_masquerade_and_share_the_balancer() {
    check("node-port.txt");
}

#[test]
fn a_service_without_endpoints_rejects() {
    check("no-endpoints.txt");
}

#[test]
fn client_ip_affinity_remembers_each_endpoint() {
    check("affinity.txt");
}

#[test]
fn local_policies_use_this_nodes_endpoints_or_drop() {
    check("local.txt");
}

#[test]
fn load_balancer_and_external_addresses_are_captured() {
    check("load-balancer.txt");
}

#[test]
fn families_have_tables_of_their_own() {
    check("dual-stack.txt");
}

#[test]
fn udp_flows_name_every_key_and_endpoint() {
    let (services, endpoints) = parse_script(
        "service a/dns 10.96.0.10 node-port=53:30053\nport dns udp 53\nendpoint a/dns dns udp 10.244.0.2:53 node-1\n",
    );
    let name = ServiceName::new("a", "dns");
    let flows = udp_flows(&fragment(&services[&name], &endpoints[&name], &settings()));
    let endpoint: SocketAddr = "10.244.0.2:53".parse().unwrap();
    let keys: Vec<_> = flows.iter().map(|(key, to)| (key.to_string(), to.clone())).collect();
    assert_eq!(
        keys,
        [("10.96.0.10 . udp . 53".to_owned(), vec![endpoint]), ("udp . 30053".to_owned(), vec![endpoint]),]
    );
}
