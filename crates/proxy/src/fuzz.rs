//! `nft -j` listings, damaged: another program may write into our tables, and nft may print what it never did.

use testkit::fuzz::damaged;

use crate::diff::{Found, Ruleset, reconcile};
use crate::listing;
use crate::table::{Family, Map};

fn example() -> String {
    let [services, node_ports, ips, hairpin] =
        [Map::ServiceIps, Map::NodePorts, Map::ClusterIps, Map::Hairpin].map(Map::as_str);
    let object = |kind: &str, name: &str, elements: &str| {
        format!(
            r#"{{"{kind}":{{"family":"ip","name":"{name}","table":"keelson-proxy","handle":7,"elem":[{elements}]}}}}"#
        )
    };
    let all = [
        r#"{"metainfo":{"version":"1.0.6","json_schema_version":1}}"#.to_owned(),
        r#"{"chain":{"family":"ip","table":"keelson-proxy","name":"service-1","handle":3}}"#.to_owned(),
        r#"{"set":{"family":"ip","table":"keelson-proxy","name":"affinity-1","type":"ipv4_addr","timeout":10800}}"#
            .to_owned(),
        object("map", services, r#"[{"concat":["10.96.0.1","tcp",443]},{"goto":{"target":"service-1"}}]"#),
        object("map", node_ports, r#"[{"concat":["udp",30053]},{"goto":{"target":"drop"}}]"#),
        object("set", ips, r#""10.96.0.1","10.96.0.10""#),
        object("set", hairpin, r#"{"concat":["10.244.0.2","10.244.0.2"]}"#),
    ];
    format!(r#"{{"nftables":[{}]}}"#, all.join(","))
}

#[test]
fn listings() {
    let example = example();
    let mut found = Found::default();
    listing::read(Family::V4, example.as_bytes(), &mut found).expect("a listing as nft prints it");
    assert_eq!((found.chains.len(), found.sets.len(), found.elements.len()), (1, 1, 5), "{found:?}");
    damaged(3_000, &[example.as_bytes(), b"{}", br#"{"nftables":[{"map":{}}]}"#], |bytes| {
        let mut found = Found::default();
        if listing::read(Family::V4, bytes, &mut found).is_ok() {
            let _steps = reconcile(&found, &Ruleset::default());
        }
    });
}
