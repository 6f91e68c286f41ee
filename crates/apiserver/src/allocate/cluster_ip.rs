//! Cluster addresses: each is an IPAddress object, and only one can create it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proto::core::v1::Service;
use proto::networking::v1::{IpAddress, ParentReference};

use super::family_of;
use crate::registry::Resource;
use crate::server::Server;
use crate::status::{Failure, Result, cause};
use crate::storage::{Record, Written};
use crate::verbs::write::encode;

const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGER_LABEL: &str = "ipaddress.kubernetes.io/managed-by";
/// Who manages the addresses that this file creates.
pub const MANAGER: &str = "ipallocator.k8s.io";
/// Addresses tried by chance before the range is looked through in order.
const TRIES_MAX: u32 = 512;
/// Addresses of a range that are looked through in order; only ranges of IPv6 are larger.
const LOOKED_MAX: u128 = 1 << 20;
/// Of a range, so many low addresses (a sixteenth, within these bounds) are left to those who ask for a certain one.
const RESERVED_MIN: u128 = 16;
const RESERVED_MAX: u128 = 256;

/// Whose an address is after an attempt to take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The service's, and it was nobody's before: who gives up gives it back.
    Made,
    /// The service's already: it is not this attempt's to give back.
    Ours,
    /// Another one's.
    Theirs,
}

/// Takes a certain address; says whether it was free before.
pub async fn take(
    server: &Server,
    range: &IpNet,
    text: &str,
    service: &Service,
    dry_run: bool,
) -> Result<(String, Taken)> {
    let refuse = |why: String| {
        let all = format!(
            "[{}]",
            service.spec.cluster_ips.iter().map(|ip| format!("\"{ip}\"")).collect::<Vec<_>>().join(",")
        );
        let message = format!("Invalid value: {all}: failed to allocate IP {text}: {why}");
        let causes = vec![cause("FieldValueInvalid", "spec.clusterIPs", message)];
        Failure::invalid("", "Service", &service.metadata.name, causes)
    };
    let ip: IpAddr = text.parse().map_err(|_| refuse("not a valid IP".to_owned()))?;
    if !range.contains(&ip) || offset(range, ip) == 0 || is_broadcast(range, ip) {
        return Err(refuse(format!(
            "the provided IP ({text}) is not in the valid range. The range of valid IPs is {}",
            range.trunc()
        )));
    }
    match create(server, ip, service, dry_run).await? {
        Taken::Theirs => Err(refuse("provided IP is already allocated".to_owned())),
        taken => Ok((ip.to_string(), taken)),
    }
}

/// Takes any address that is free.
pub async fn take_any(server: &Server, range: &IpNet, service: &Service, dry_run: bool) -> Result<String> {
    let size = size(range);
    let reserved = (size / 16).clamp(RESERVED_MIN, RESERVED_MAX).min(size / 2);
    let cache = &resource(server)?.cache;
    // The upper part by chance; once that seems full, everything in order.
    for _ in 0..TRIES_MAX {
        let ip = at(range, 1 + rand::random_range(reserved..size.max(reserved + 1)) % size);
        if cache.get(&ip.to_string()).is_none() && create(server, ip, service, dry_run).await? == Taken::Made {
            return Ok(ip.to_string());
        }
    }
    let all = (1..=size.min(LOOKED_MAX)).map(|offset| at(range, offset));
    for ip in all.filter(|ip| cache.get(&ip.to_string()).is_none()) {
        if create(server, ip, service, dry_run).await? == Taken::Made {
            return Ok(ip.to_string());
        }
    }
    let why =
        format!("no free address was found in {}; widen --service-cluster-ip-range or delete Services", range.trunc());
    Err(Failure::internal(format!("failed to allocate a serviceIP: {why}")))
}

/// Frees an address where it is that service's.
pub async fn free(server: &Server, ip: &str, (namespace, name): (&str, &str)) -> Result<()> {
    let resource = resource(server)?;
    let key = resource.store_key("", ip);
    let (Some(record), _) = server.store.get(&key).await? else { return Ok(()) };
    let owner = parse(resource, &record)?.spec.parent_ref;
    if owner.is_some_and(|owner| owner.namespace == namespace && owner.name == name) {
        server.store.remove(&key, record.rev).await?;
    }
    Ok(())
}

/// Frees an address that no service has.
pub async fn free_leaked(server: &Server, ip: &str) -> Result<()> {
    let key = resource(server)?.store_key("", ip);
    if let (Some(record), _) = server.store.get(&key).await? {
        server.store.remove(&key, record.rev).await?;
    }
    Ok(())
}

/// Creates the object, unless it is there already.
pub async fn create(server: &Server, ip: IpAddr, service: &Service, dry_run: bool) -> Result<Taken> {
    let resource = resource(server)?;
    let key = resource.store_key("", &ip.to_string());
    let object = object(server, ip, service);
    let found = if dry_run {
        server.store.get(&key).await?.0
    } else {
        let bytes = encode(resource, &object, &ip.to_string())?;
        match server.store.create(&key, resource.seal(&bytes)).await? {
            Written::Done(_) => None,
            Written::Conflict(None) => return Ok(Taken::Theirs),
            Written::Conflict(found) => found,
        }
    };
    let Some(record) = found else { return Ok(Taken::Made) };
    let same = parse(resource, &record)?.spec.parent_ref == object.spec.parent_ref;
    Ok(if same { Taken::Ours } else { Taken::Theirs })
}

fn parse(resource: &Resource, record: &Record) -> Result<IpAddress> {
    prost::Message::decode(resource.open(record)?).map_err(Failure::internal)
}

fn resource(server: &Server) -> Result<&std::sync::Arc<Resource>> {
    server.registry.find("networking.k8s.io", "v1", "ipaddresses")
}

fn object(server: &Server, ip: IpAddr, service: &Service) -> IpAddress {
    let mut object = IpAddress::default();
    let meta = &mut object.metadata;
    meta.name = ip.to_string();
    meta.uid = uuid::Uuid::new_v4().to_string();
    meta.creation_timestamp = server.now();
    meta.labels.insert(FAMILY_LABEL.to_owned(), family_of(&ip.to_string()).to_owned());
    meta.labels.insert(MANAGER_LABEL.to_owned(), MANAGER.to_owned());
    object.spec.parent_ref = Some(ParentReference {
        resource: "services".to_owned(),
        namespace: service.metadata.namespace.clone(),
        name: service.metadata.name.clone(),
        ..Default::default()
    });
    object
}

/// Whether an IPAddress is one of ours.
pub fn is_managed(object: &IpAddress) -> bool {
    object.metadata.labels.get(MANAGER_LABEL).is_some_and(|manager| manager == MANAGER)
}

/// How many addresses can be given: without the network's own and IPv4's broadcast.
fn size(range: &IpNet) -> u128 {
    let bits = u32::from(range.max_prefix_len() - range.prefix_len());
    let all = 1_u128.checked_shl(bits.min(64)).unwrap_or(u128::MAX);
    all.saturating_sub(if matches!(range, IpNet::V4(_)) { 2 } else { 1 }).max(1)
}

/// The address at an offset from the network's own.
pub fn at(range: &IpNet, offset: u128) -> IpAddr {
    match range.network() {
        IpAddr::V4(first) => {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            IpAddr::V4(Ipv4Addr::from(u32::from(first).saturating_add(offset)))
        }
        IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from(u128::from(first).saturating_add(offset))),
    }
}

fn offset(range: &IpNet, ip: IpAddr) -> u128 {
    match (range.network(), ip) {
        (IpAddr::V4(first), IpAddr::V4(ip)) => u128::from(u32::from(ip).saturating_sub(u32::from(first))),
        (IpAddr::V6(first), IpAddr::V6(ip)) => u128::from(ip).saturating_sub(u128::from(first)),
        _ => 0,
    }
}

fn is_broadcast(range: &IpNet, ip: IpAddr) -> bool {
    matches!(range, IpNet::V4(_)) && ip == range.broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_gives_neither_its_own_nor_its_broadcast_address() {
        let range: IpNet = "10.96.0.0/12".parse().expect("a range");
        assert_eq!(size(&range), (1 << 20) - 2);
        assert_eq!(at(&range, 1).to_string(), "10.96.0.1");
        assert_eq!(offset(&range, "10.96.0.1".parse().expect("an address")), 1);
        assert!(is_broadcast(&range, "10.111.255.255".parse().expect("an address")));
        let six: IpNet = "fd00:10:96::/112".parse().expect("a range");
        assert_eq!(size(&six), (1 << 16) - 1);
        assert_eq!(at(&six, 255).to_string(), "fd00:10:96::ff");
    }
}
