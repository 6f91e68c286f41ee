//! A real resolver asks a real server over loopback, by UDP and by TCP; a second server stands for the node's resolver.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns::answer::Authority;
use dns::forward::Forwarder;
use dns::serve::{Handler, SharedZone};
use dns::zone::{Entry, ServiceKey, ServiceRecords, Srv, Zone};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_server::Server;
use parking_lot::RwLock;
use tokio::net::{TcpListener, UdpSocket};

struct Running {
    server: Server<Handler>,
    address: SocketAddr,
    zone: SharedZone,
}

/// Starts a server of `domain`, which forwards to `upstream`.
async fn start(domain: &str, upstream: Option<SocketAddr>) -> Running {
    let zone: SharedZone = Arc::new(RwLock::new(Zone::default()));
    zone.write().set_complete();
    let forwarder = match upstream {
        Some(address) => Forwarder::to(vec![name_server(address, ConnectionConfig::udp())]).unwrap(),
        None => Forwarder::none(),
    };
    let authority = Authority::new(domain, 30).unwrap();
    let mut server = Server::new(Handler { authority, zone: zone.clone(), forwarder });
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = udp.local_addr().unwrap();
    server.register_listener(TcpListener::bind(address).await.unwrap(), Duration::from_secs(5), 4096);
    server.register_socket(udp);
    Running { server, address, zone }
}

fn name_server(address: SocketAddr, mut connection: ConnectionConfig) -> NameServerConfig {
    connection.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![connection])
}

fn client(address: SocketAddr, connection: ConnectionConfig) -> TokioResolver {
    let config = ResolverConfig::from_name_servers(vec![name_server(address, connection)]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().cache_size = 0;
    builder.build().unwrap()
}

fn put(zone: &SharedZone, name: &str, entry: Entry) {
    let key = ServiceKey { namespace: "test".into(), name: name.into() };
    let records = ServiceRecords { names: BTreeMap::from([(name.to_owned(), entry)]), reverse: Vec::new() };
    zone.write().replace(key, records);
}

fn addresses(range: std::ops::Range<u8>) -> Entry {
    Entry { addresses: range.map(|n| IpAddr::from([10, 96, 0, n])).collect(), ..Entry::default() }
}

async fn ask(resolver: &TokioResolver, name: &str) -> Result<usize, ResponseCode> {
    match resolver.lookup(name, RecordType::A).await {
        Ok(lookup) => Ok(lookup.answers().len()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Err(none.response_code),
        Err(NetError::Dns(DnsError::ResponseCode(code))) => Err(code),
        Err(other) => panic!("{name}: {other}"),
    }
}

#[tokio::test]
async fn names_of_the_cluster_are_answered_over_udp_and_tcp() {
    let mut running = start("cluster.local", None).await;
    put(&running.zone, "web.default.svc", addresses(1..2));
    put(&running.zone, "many.default.svc", addresses(1..200));
    for connection in [ConnectionConfig::udp(), ConnectionConfig::tcp()] {
        let resolver = client(running.address, connection.clone());
        assert_eq!(ask(&resolver, "web.default.svc.cluster.local.").await, Ok(1));
        assert_eq!(ask(&resolver, "none.default.svc.cluster.local.").await, Err(ResponseCode::NXDomain));
        assert_eq!(ask(&resolver, "default.svc.cluster.local.").await, Err(ResponseCode::NoError));
    }
    let resolver = client(running.address, ConnectionConfig::tcp());
    assert_eq!(ask(&resolver, "many.default.svc.cluster.local.").await, Ok(199));
    running.server.shutdown_gracefully().await.unwrap();
}

#[tokio::test]
async fn a_change_of_the_zone_shows_in_the_next_answer() {
    let mut running = start("cluster.local", None).await;
    let resolver = client(running.address, ConnectionConfig::udp());
    put(&running.zone, "web.default.svc", addresses(1..2));
    assert_eq!(ask(&resolver, "web.default.svc.cluster.local.").await, Ok(1));
    put(&running.zone, "web.default.svc", addresses(1..4));
    assert_eq!(ask(&resolver, "web.default.svc.cluster.local.").await, Ok(3));
    running.server.shutdown_gracefully().await.unwrap();
}

#[tokio::test]
async fn other_names_are_forwarded_and_aliases_followed_there() {
    let mut outside = start("example.com", None).await;
    put(&outside.zone, "db", addresses(7..8));
    let mut running = start("cluster.local", Some(outside.address)).await;
    let alias = Entry { alias: Some("db.example.com".into()), ..Entry::default() };
    put(&running.zone, "db.default.svc", alias);

    let resolver = client(running.address, ConnectionConfig::udp());
    assert_eq!(ask(&resolver, "db.example.com.").await, Ok(1));
    assert_eq!(ask(&resolver, "no.example.com.").await, Err(ResponseCode::NXDomain));
    let lookup = resolver.lookup("db.default.svc.cluster.local.", RecordType::A).await.unwrap();
    let kinds: Vec<RecordType> = lookup.answers().iter().map(|record| record.record_type()).collect();
    assert_eq!(kinds, [RecordType::CNAME, RecordType::A]);
    running.server.shutdown_gracefully().await.unwrap();
    outside.server.shutdown_gracefully().await.unwrap();
}

#[tokio::test]
async fn nothing_is_said_to_be_missing_before_the_zone_is_complete() {
    let mut running = start("cluster.local", None).await;
    *running.zone.write() = Zone::default();
    put(&running.zone, "web.default.svc", addresses(1..2));
    let resolver = client(running.address, ConnectionConfig::udp());
    for name in ["none.default.svc.cluster.local.", "web.default.svc.cluster.local.", "default.svc.cluster.local."] {
        assert_eq!(ask(&resolver, name).await, Err(ResponseCode::ServFail), "{name}");
    }
    running.zone.write().set_complete();
    assert_eq!(ask(&resolver, "none.default.svc.cluster.local.").await, Err(ResponseCode::NXDomain));
    assert_eq!(ask(&resolver, "web.default.svc.cluster.local.").await, Ok(1));
    running.server.shutdown_gracefully().await.unwrap();
}

/// One question as bytes on the wire, and the whole answer.
async fn exchange(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.send_to(&question.to_vec().unwrap(), server).await.unwrap();
    let mut bytes = [0; 4096];
    let received = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut bytes)).await;
    let answer = Message::from_vec(&bytes[..received.expect("an answer").unwrap()]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

fn shown(records: &[Record]) -> Vec<String> {
    let mut all: Vec<String> = records
        .iter()
        .map(|record| match &record.data {
            RData::SRV(srv) => format!("{} SRV {} {} {}", record.name, srv.weight, srv.port, srv.target),
            data => format!("{} {} {data}", record.name, record.record_type()),
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_port_of_a_headless_service_names_its_pods_with_their_addresses_beside() {
    let mut running = start("cluster.local", None).await;
    let pods = [("web-0", 2), ("web-1", 3)];
    let entry = |last: u8| Entry {
        addresses: vec![[10, 244, 0, last].into(), [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into()],
        ..Entry::default()
    };
    let services = pods.map(|(pod, _)| Srv { port: 8080, target: format!("{pod}.web.default.svc") });
    let all =
        Entry { addresses: pods.iter().flat_map(|(_, last)| entry(*last).addresses).collect(), ..Entry::default() };
    put(&running.zone, "web.default.svc", all);
    put(&running.zone, "_http._tcp.web.default.svc", Entry { services: services.to_vec(), ..Entry::default() });
    for (pod, last) in pods {
        put(&running.zone, &format!("{pod}.web.default.svc"), entry(last));
    }

    let answer = exchange(running.address, "_http._tcp.web.default.svc.cluster.local.", RecordType::SRV).await;
    assert!(answer.metadata.authoritative);
    let name = "_http._tcp.web.default.svc.cluster.local.";
    let srv = |pod: &str| format!("{name} SRV 50 8080 {pod}.web.default.svc.cluster.local.");
    assert_eq!(shown(&answer.answers), [srv("web-0"), srv("web-1")]);
    assert_eq!(
        shown(&answer.additionals),
        [
            "web-0.web.default.svc.cluster.local. A 10.244.0.2",
            "web-0.web.default.svc.cluster.local. AAAA fd00::2",
            "web-1.web.default.svc.cluster.local. A 10.244.0.3",
            "web-1.web.default.svc.cluster.local. AAAA fd00::3",
        ]
    );

    let answer = exchange(running.address, "web.default.svc.cluster.local.", RecordType::AAAA).await;
    let name = "web.default.svc.cluster.local.";
    assert_eq!(shown(&answer.answers), [format!("{name} AAAA fd00::2"), format!("{name} AAAA fd00::3")]);
    let answer = exchange(running.address, name, RecordType::A).await;
    assert_eq!(shown(&answer.answers), [format!("{name} A 10.244.0.2"), format!("{name} A 10.244.0.3")]);
    // Known, but not of this type: an authority tells how long to remember that.
    let answer = exchange(running.address, name, RecordType::SRV).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!((answer.answers.len(), shown(&answer.authorities).len()), (0, 1));
    running.server.shutdown_gracefully().await.unwrap();
}
