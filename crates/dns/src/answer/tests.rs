use std::collections::BTreeMap;

use super::*;
use crate::zone::{ServiceKey, ServiceRecords};

fn zone() -> Zone {
    let mut zone = Zone::default();
    zone.set_complete();
    let web: IpAddr = "10.96.3.4".parse().unwrap();
    let srv = Srv { port: 80, target: "web.shop.svc".into() };
    let names = BTreeMap::from([
        ("web.shop.svc".to_owned(), Entry { addresses: vec![web], services: vec![srv.clone()], alias: None }),
        ("_http._tcp.web.shop.svc".to_owned(), Entry { services: vec![srv], ..Entry::default() }),
    ]);
    let key = |name: &str| ServiceKey { namespace: "shop".into(), name: name.into() };
    zone.replace(key("web"), ServiceRecords { names, reverse: vec![(web, "web.shop.svc".into())] });
    for (name, target) in [("out", "db.example.com"), ("in", "web.shop.svc.cluster.local")] {
        let entry = Entry { alias: Some(target.into()), ..Entry::default() };
        let names = BTreeMap::from([(format!("{name}.shop.svc"), entry)]);
        zone.replace(key(name), ServiceRecords { names, reverse: Vec::new() });
    }
    zone
}

#[track_caller]
fn check(name: &str, kind: RecordType, expect: &str) {
    let authority = Authority::new("cluster.local", 30).unwrap();
    let answer = authority.answer(&zone(), &Name::from_ascii(name).unwrap(), kind);
    let show = |records: &[Record]| records.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let text = match answer {
        Answer::Records { answers, additionals } if additionals.is_empty() => show(&answers),
        Answer::Records { answers, additionals } => format!("{} + {}", show(&answers), show(&additionals)),
        Answer::Alias { record, .. } => format!("{} and further", show(&[record])),
        other => format!("{other:?}"),
    };
    assert_eq!(text, expect, "{name} {kind}");
}

#[test]
fn a_service_answers_its_address_whatever_the_case() {
    check("web.shop.svc.cluster.local.", RecordType::A, "web.shop.svc.cluster.local. 30 IN A 10.96.3.4");
    check("WEB.shop.svc.Cluster.local.", RecordType::A, "WEB.shop.svc.Cluster.local. 30 IN A 10.96.3.4");
}

#[test]
fn a_known_name_without_the_type_is_no_data_and_an_unknown_one_no_name() {
    check("web.shop.svc.cluster.local.", RecordType::AAAA, "NoData");
    check("shop.svc.cluster.local.", RecordType::A, "NoData");
    check("cluster.local.", RecordType::A, "NoData");
    check("web.shop.svc.cluster.local.svc.cluster.local.", RecordType::A, "NoName");
    check("nothing.shop.svc.cluster.local.", RecordType::A, "NoName");
}

#[test]
fn a_port_answers_srv_with_the_targets_address_beside_it() {
    check(
        "_http._tcp.web.shop.svc.cluster.local.",
        RecordType::SRV,
        "_http._tcp.web.shop.svc.cluster.local. 30 IN SRV 0 100 80 web.shop.svc.cluster.local. \
         + web.shop.svc.cluster.local. 30 IN A 10.96.3.4",
    );
}

#[test]
fn an_alias_is_followed_inside_the_domain_and_handed_on_outside() {
    check(
        "out.shop.svc.cluster.local.",
        RecordType::A,
        "out.shop.svc.cluster.local. 30 IN CNAME db.example.com. and further",
    );
    check(
        "in.shop.svc.cluster.local.",
        RecordType::A,
        "in.shop.svc.cluster.local. 30 IN CNAME web.shop.svc.cluster.local.; web.shop.svc.cluster.local. 30 IN A 10.96.3.4",
    );
}

#[test]
fn addresses_of_services_have_names_and_others_are_asked_elsewhere() {
    check("4.3.96.10.in-addr.arpa.", RecordType::PTR, "4.3.96.10.in-addr.arpa. 30 IN PTR web.shop.svc.cluster.local.");
    check("4.4.8.8.in-addr.arpa.", RecordType::PTR, "Elsewhere");
    check("example.com.", RecordType::A, "Elsewhere");
    check("notcluster.local.", RecordType::A, "Elsewhere");
}

#[test]
fn the_specifications_version_is_a_text() {
    check("dns-version.cluster.local.", RecordType::TXT, "dns-version.cluster.local. 30 IN TXT 1.1.0");
}

#[test]
fn reverse_names_spell_both_families() {
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
    assert_eq!(reverse_address(v6), Some("fd00::1".parse().unwrap()));
    assert_eq!(reverse_address("0.96.10.in-addr.arpa"), None);
}
