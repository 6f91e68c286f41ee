use proto::core::v1::{Service, ServicePort};
use proto::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use super::*;

fn service(cluster_ip: &str) -> Service {
    let mut service = Service::default();
    service.metadata.name = "web".into();
    service.metadata.namespace = "shop".into();
    service.spec.cluster_ip = cluster_ip.into();
    service.spec.ports = vec![
        ServicePort { name: "http".into(), protocol: "TCP".into(), port: 80, ..ServicePort::default() },
        ServicePort { protocol: "UDP".into(), port: 53, ..ServicePort::default() },
    ];
    service
}

fn endpoint(address: &str, hostname: Option<&str>, ready: Option<bool>) -> Endpoint {
    let mut endpoint = Endpoint { addresses: vec![address.into()], ..Endpoint::default() };
    endpoint.hostname = hostname.map(str::to_owned);
    endpoint.conditions.ready = ready;
    endpoint
}

fn slice(endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut slice = EndpointSlice { endpoints, ..EndpointSlice::default() };
    slice.ports = vec![EndpointPort { name: Some("http".into()), port: Some(8080), ..EndpointPort::default() }];
    slice
}

/// The records as sorted lines: name, then what it holds.
fn lines(records: &ServiceRecords) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, entry) in &records.names {
        lines.extend(entry.addresses.iter().map(|address| format!("{name} A {address}")));
        lines.extend(entry.services.iter().map(|srv| format!("{name} SRV {} {}", srv.port, srv.target)));
        lines.extend(entry.alias.iter().map(|alias| format!("{name} CNAME {alias}")));
    }
    lines.extend(records.reverse.iter().map(|(address, name)| format!("{address} PTR {name}")));
    lines
}

#[track_caller]
fn check(records: &ServiceRecords, expect: &[&str]) {
    assert_eq!(lines(records), expect);
}

#[test]
fn a_service_has_its_address_and_a_name_per_named_port() {
    check(
        &of(&service("10.96.3.4"), &[]),
        &[
            "_http._tcp.web.shop.svc SRV 80 web.shop.svc",
            "web.shop.svc A 10.96.3.4",
            "web.shop.svc SRV 80 web.shop.svc",
            "web.shop.svc SRV 53 web.shop.svc",
            "10.96.3.4 PTR web.shop.svc",
        ],
    );
}

#[test]
fn a_headless_service_is_its_ready_endpoints() {
    let slice = slice(vec![
        endpoint("10.244.0.5", Some("web-0"), Some(true)),
        endpoint("10.244.0.6", None, None),
        endpoint("10.244.0.7", None, Some(false)),
    ]);
    check(
        &of(&service("None"), &[&slice]),
        &[
            "10-244-0-6.web.shop.svc A 10.244.0.6",
            "_http._tcp.web.shop.svc SRV 8080 web-0.web.shop.svc",
            "_http._tcp.web.shop.svc SRV 8080 10-244-0-6.web.shop.svc",
            "web-0.web.shop.svc A 10.244.0.5",
            "web.shop.svc A 10.244.0.5",
            "web.shop.svc A 10.244.0.6",
            "web.shop.svc SRV 8080 web-0.web.shop.svc",
            "web.shop.svc SRV 8080 10-244-0-6.web.shop.svc",
            "10.244.0.5 PTR web-0.web.shop.svc",
        ],
    );
}

#[test]
fn an_external_name_is_an_alias() {
    let mut service = service("");
    service.spec.r#type = "ExternalName".into();
    service.spec.external_name = "DB.example.com.".into();
    check(&of(&service, &[]), &["web.shop.svc CNAME db.example.com"]);
}

#[test]
fn a_service_without_an_address_yet_has_no_name() {
    check(&of(&service(""), &[]), &[]);
}
