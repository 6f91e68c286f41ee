//! The endpoints of the `kubernetes` Service: the addresses of the apiservers that live.
//!
//! Each apiserver writes a record below `/registry/masterleases/` with its address and the time, as upstream does;
//! an address whose record is old is dropped by the others.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
use proto::discovery::v1::{Endpoint, EndpointConditions, EndpointPort as SlicePort, EndpointSlice};
use proto::dynamic::DynObject;

use super::Advertised;
use super::objects::KUBERNETES;
use crate::allocate::family_of;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::storage::Written;
use crate::verbs::Target;
use crate::verbs::write::{Decision, Mutation, change};

const RECORDS: &str = "/registry/masterleases/";
/// Without a new record for so long, an apiserver counts as gone.
const RECORD_SECONDS: i64 = Duration::from_secs(30).as_secs() as i64;

/// Renews this apiserver's record and writes the endpoints.
pub async fn join(server: &Server, advertised: &Advertised) -> Result<()> {
    renew(server, advertised).await?;
    publish(server, advertised).await
}

/// Drops this apiserver from the endpoints. As upstream, the last one stays among them: clients that find nobody there
/// would not find the next one sooner.
pub async fn leave(server: &Server, advertised: &Advertised) -> Result<()> {
    let key = format!("{RECORDS}{}", advertised.address);
    if let (Some(record), _) = server.store.get(&key).await? {
        server.store.remove(&key, record.rev).await?;
    }
    let others = alive(server).await?;
    match others.is_empty() {
        true => Ok(()),
        false => write(server, others, advertised.port).await,
    }
}

async fn renew(server: &Server, advertised: &Advertised) -> Result<()> {
    let key = format!("{RECORDS}{}", advertised.address);
    let mut record = Endpoints::default();
    record.metadata.name = advertised.address.to_string();
    record.metadata.creation_timestamp = server.now();
    let value = bytes::Bytes::from(proto::envelope::encode_kind(&record));
    let (mut found, _) = server.store.get(&key).await?;
    if found.as_ref().is_some_and(|found| age(server, &found.value) < RECORD_SECONDS / 3) {
        return Ok(());
    }
    for _ in 0..8 {
        let written = match &found {
            Some(found) => server.store.replace(&key, found.rev, value.clone()).await?,
            None => server.store.create(&key, value.clone()).await?,
        };
        match written {
            Written::Done(_) => return Ok(()),
            Written::Conflict(other) => found = other,
        }
    }
    Err(Failure::unavailable("the record of this apiserver is contended"))
}

/// Seconds since a record was written; upstream's records carry no time and count as new.
fn age(server: &Server, value: &[u8]) -> i64 {
    match proto::envelope::decode_kind::<Endpoints>(value) {
        Ok(record) if !record.metadata.creation_timestamp.is_zero() => {
            server.now().seconds - record.metadata.creation_timestamp.seconds
        }
        _ => 0,
    }
}

async fn alive(server: &Server) -> Result<BTreeSet<String>> {
    let mut addresses = BTreeSet::new();
    let mut all = Vec::new();
    server.store.scan(RECORDS, 0, |records| all.extend(records)).await?;
    for record in all {
        let key = String::from_utf8_lossy(&record.key).into_owned();
        if age(server, &record.value) < RECORD_SECONDS {
            addresses.extend(key.strip_prefix(RECORDS).map(str::to_owned));
        } else {
            server.store.remove(&key, record.rev).await?;
        }
    }
    Ok(addresses)
}

async fn publish(server: &Server, advertised: &Advertised) -> Result<()> {
    let mut addresses = alive(server).await?;
    addresses.insert(advertised.address.to_string());
    super::ensure(server, Box::new(endpoints())).await?;
    super::ensure(server, Box::new(slice(advertised))).await?;
    write(server, addresses, advertised.port).await
}

async fn write(server: &Server, addresses: BTreeSet<String>, port: u16) -> Result<()> {
    let core = Target::resolve(&server.registry, ("", "v1", "endpoints"), "default", KUBERNETES, "")?;
    let sliced = ("discovery.k8s.io", "v1", "endpointslices");
    let sliced = Target::resolve(&server.registry, sliced, "default", KUBERNETES, "")?;
    let mut mutation = Publish { addresses, port: i32::from(port) };
    change(server, &core, false, &mut mutation).await?;
    change(server, &sliced, false, &mut mutation).await?;
    Ok(())
}

struct Publish {
    addresses: BTreeSet<String>,
    port: i32,
}

#[async_trait::async_trait]
impl Mutation for Publish {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        if let Some(endpoints) = current.downcast_mut::<Endpoints>() {
            let address = |ip: &String| EndpointAddress { ip: ip.clone(), ..Default::default() };
            endpoints.subsets = vec![EndpointSubset {
                addresses: self.addresses.iter().map(address).collect(),
                ports: vec![EndpointPort {
                    name: "https".to_owned(),
                    port: self.port,
                    protocol: "TCP".to_owned(),
                    ..Default::default()
                }],
                ..Default::default()
            }];
        } else if let Some(slice) = current.downcast_mut::<EndpointSlice>() {
            let family = slice.address_type.clone();
            let before = slice.clone();
            let endpoint = |ip: &String| Endpoint {
                addresses: vec![ip.clone()],
                conditions: EndpointConditions { ready: Some(true), ..Default::default() },
                ..Default::default()
            };
            slice.endpoints = self.addresses.iter().filter(|ip| family_of(ip) == family).map(endpoint).collect();
            slice.ports = vec![SlicePort {
                name: Some("https".to_owned()),
                port: Some(self.port),
                protocol: Some("TCP".to_owned()),
                ..Default::default()
            }];
            if *slice != before {
                slice.metadata.generation += 1;
            }
        }
        Ok(Decision::Write(current))
    }
}

fn endpoints() -> Endpoints {
    let mut endpoints = Endpoints::default();
    endpoints.metadata.name = KUBERNETES.to_owned();
    endpoints.metadata.namespace = "default".to_owned();
    endpoints.metadata.labels.insert("endpointslice.kubernetes.io/skip-mirror".to_owned(), "true".to_owned());
    endpoints
}

fn slice(advertised: &Advertised) -> EndpointSlice {
    let mut slice =
        EndpointSlice { address_type: family_of(&advertised.address.to_string()).to_owned(), ..Default::default() };
    slice.metadata.name = KUBERNETES.to_owned();
    slice.metadata.namespace = "default".to_owned();
    slice.metadata.labels.insert("kubernetes.io/service-name".to_owned(), KUBERNETES.to_owned());
    slice
}
