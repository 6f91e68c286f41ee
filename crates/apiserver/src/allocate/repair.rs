//! Compares what is taken with what services have, at start and every few minutes. What services have and nobody
//! recorded is recorded at once; what is taken and no service has is freed when it was seen so twice, since a service
//! may be about to be written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proto::core::v1::Service;
use proto::networking::v1::IpAddress;
use tokio_util::sync::CancellationToken;

use super::cluster_ip::Taken;
use super::{cluster_ip, ips, node_port, ports};
use crate::server::Server;
use crate::status::Result;

const INTERVAL: Duration = Duration::from_secs(180);

/// What looked leaked at the last look.
#[derive(Debug, Default)]
pub struct Suspects {
    ips: BTreeSet<String>,
    ports: BTreeSet<u16>,
}

/// Repairs until stopped.
pub async fn keep_repairing(server: Arc<Server>, stop: CancellationToken) {
    let mut suspects = Suspects::default();
    loop {
        if let Err(failure) = repair(&server, &mut suspects).await {
            tracing::warn!(%failure, "addresses and ports of services could not be compared, next time");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// One look.
pub async fn repair(server: &Server, suspects: &mut Suspects) -> Result<()> {
    // Addresses first: a service written meanwhile has taken its own before it is seen.
    let addresses: Vec<IpAddress> = read_all(server, "networking.k8s.io", "ipaddresses").await?;
    let services: Vec<Service> = read_all(server, "", "services").await?;
    repair_ips(server, suspects, &addresses, &services).await?;
    repair_ports(server, suspects, &services).await
}

async fn repair_ips(
    server: &Server,
    suspects: &mut Suspects,
    addresses: &[IpAddress],
    services: &[Service],
) -> Result<()> {
    let recorded: BTreeSet<&str> = addresses.iter().map(|address| address.metadata.name.as_str()).collect();
    let mut used = BTreeSet::new();
    for service in services {
        for ip in ips(service) {
            let Ok(parsed) = ip.parse() else { continue };
            if !recorded.contains(ip.as_str())
                && cluster_ip::create(server, parsed, service, false).await? == Taken::Theirs
            {
                let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
                tracing::warn!(
                    ip,
                    namespace,
                    name,
                    "two services have the same address; delete one and create it again"
                );
            }
            used.insert(ip);
        }
    }
    let managed = addresses.iter().filter(|address| cluster_ip::is_managed(address));
    let leaked: BTreeSet<String> =
        managed.map(|address| address.metadata.name.clone()).filter(|ip| !used.contains(ip)).collect();
    for ip in leaked.intersection(&suspects.ips) {
        tracing::info!(ip, "frees an address that no service has");
        cluster_ip::free_leaked(server, ip).await?;
    }
    suspects.ips = leaked;
    Ok(())
}

async fn repair_ports(server: &Server, suspects: &mut Suspects, services: &[Service]) -> Result<()> {
    let used: BTreeSet<u16> = services.iter().flat_map(ports).collect();
    let free: Vec<u16> = suspects.ports.difference(&used).copied().collect();
    let list: Vec<u16> = used.iter().copied().collect();
    let taken = node_port::correct(server, server.services.ports, &list, &free).await?;
    suspects.ports = taken.into_iter().filter(|port| !used.contains(port)).collect();
    Ok(())
}

async fn read_all<T: proto::Object>(server: &Server, group: &str, plural: &str) -> Result<Vec<T>> {
    let resource = server.registry.find(group, "v1", plural)?;
    let mut found = Vec::new();
    let take = |records: Vec<crate::storage::Record>| {
        for record in records {
            match resource.open(&record).map(T::decode) {
                Ok(Ok(object)) => found.push(object),
                _ => {
                    tracing::error!(key = %String::from_utf8_lossy(&record.key), "an object in the store is unreadable")
                }
            }
        }
    };
    server.store.scan(&resource.prefix, 0, take).await?;
    Ok(found)
}
