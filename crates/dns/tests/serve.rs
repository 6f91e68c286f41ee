//! A real resolver asks a real server over loopback, by UDP and by TCP; a second server stands for the node's resolver.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns::answer::Authority;
use dns::forward::Forwarder;
use dns::serve::{Handler, SharedZone};
use dns::zone::{Entry, ServiceKey, ServiceRecords, Zone};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
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
