//! Questions of any bytes, and damaged resolv.conf files.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use testkit::fuzz::damaged;

use crate::answer::{Answer, Authority};
use crate::forward::{Error, Forwarder};
use crate::zone::{Entry, ServiceKey, ServiceRecords, Srv, Zone};

const KINDS: [RecordType; 10] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::SRV,
    RecordType::PTR,
    RecordType::CNAME,
    RecordType::SOA,
    RecordType::NS,
    RecordType::TXT,
    RecordType::ANY,
    RecordType::OPT,
];

fn zone() -> Zone {
    let mut zone = Zone::default();
    zone.set_complete();
    let addresses: Vec<IpAddr> = vec![IpAddr::from([10, 96, 3, 4]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])];
    let srv = Srv { port: 80, target: "web.shop.svc".into() };
    let names = BTreeMap::from([
        ("web.shop.svc".to_owned(), Entry { addresses: addresses.clone(), services: vec![srv.clone()], alias: None }),
        ("_http._tcp.web.shop.svc".to_owned(), Entry { services: vec![srv], ..Entry::default() }),
        ("out.shop.svc".to_owned(), Entry { alias: Some("db.example.com".into()), ..Entry::default() }),
        ("odd.shop.svc".to_owned(), Entry { alias: Some("..\u{e9} x".into()), ..Entry::default() }),
    ]);
    let reverse = addresses.into_iter().map(|address| (address, "web.shop.svc".to_owned())).collect();
    zone.replace(ServiceKey { namespace: "shop".into(), name: "web".into() }, ServiceRecords { names, reverse });
    zone
}

/// Asks for every type; whatever is answered can be sent.
fn ask(authority: &Authority, zone: &Zone, name: &Name) {
    // As on the wire.
    let mut name = name.clone();
    name.set_fqdn(true);
    for kind in KINDS {
        if let Answer::Records { answers, additionals } = authority.answer(zone, &name, kind) {
            assert!(!answers.is_empty(), "{name} {kind}: no records are told otherwise");
            assert_eq!(answers[0].name, name, "{name} {kind}: the name as it was asked");
            for record in answers.iter().chain(&additionals) {
                record.to_bytes().expect("a record that can be sent");
            }
        }
    }
}

#[test]
fn questions_of_any_bytes() {
    let (authority, zone) = (Authority::new("cluster.local", 30).expect("a domain"), zone());
    let names =
        ["web.shop.svc.cluster.local.", "_http._tcp.web.shop.svc.cluster.local.", "10-244-0-7.shop.pod.cluster.local."];
    let names = names.into_iter().chain([
        "4.3.96.10.in-addr.arpa.",
        "OUT.shop.svc.Cluster.Local.",
        "odd.shop.svc.cluster.local.",
    ]);
    let names = names.chain(["1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", "."]);
    let questions: Vec<Vec<u8>> = names
        .map(|name| {
            let mut message = Message::query();
            message.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
            message.to_vec().expect("a message")
        })
        .collect();
    let examples: Vec<&[u8]> = questions.iter().map(Vec::as_slice).collect();
    damaged(3_000, &examples, |bytes| {
        let Ok(message) = Message::from_vec(bytes) else { return };
        for query in &message.queries {
            ask(&authority, &zone, query.name());
        }
    });
}

/// Names alone, so that damage falls on them and not on what is around.
#[test]
fn names_of_any_bytes() {
    let (authority, zone) = (Authority::new("cluster.local", 30).expect("a domain"), zone());
    let texts = [
        "web.shop.svc.cluster.local.",
        "4.3.96.10.in-addr.arpa.",
        "10-244-0-7.shop.pod.cluster.local.",
        "fd00--1.shop.pod.cluster.local.",
    ];
    let wires: Vec<Vec<u8>> =
        texts.iter().map(|text| Name::from_ascii(text).and_then(|name| name.to_bytes()).expect("a name")).collect();
    let examples: Vec<&[u8]> =
        wires.iter().map(Vec::as_slice).chain(texts.iter().map(|text| text.as_bytes())).collect();
    damaged(3_000, &examples, |bytes| {
        let wire = Name::from_bytes(bytes).ok();
        let text = Name::from_utf8(String::from_utf8_lossy(bytes)).ok();
        for name in wire.into_iter().chain(text) {
            ask(&authority, &zone, &name);
        }
    });
}

#[test]
fn resolv_conf_files() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _within = runtime.enter();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("resolv.conf");
    let good = b"# by hand\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch a.example b.example\noptions ndots:5 timeout:1 edns0\ndomain x\nsortlist 10.0.0.0/8\n";
    damaged(300, &[good, b"nameserver 10.96.0.10\n", b""], |bytes| {
        std::fs::write(&path, bytes).expect("written");
        match Forwarder::from_resolv_conf(&path, &[IpAddr::from([10, 96, 0, 10])]) {
            Ok(_) | Err(Error::Build(_)) => {}
            Err(error) => assert!(error.to_string().contains("resolv.conf"), "{error}"),
        }
    });
}
