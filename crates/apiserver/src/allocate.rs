//! Cluster addresses and node ports of Services, given out race-free by several apiservers on one store.
//!
//! An address is taken by creating its IPAddress object, which only one can; a node port by a conditional write of the
//! one object that holds all of them ([`node_port`]). What a write reserves and then does not need is given back; what
//! a crash leaves behind is found by [`repair`].

pub mod bitmap;
pub mod cluster_ip;
pub mod node_port;
pub mod repair;

use ipnet::IpNet;
use proto::core::v1::Service;
use proto::dynamic::DynObject;

use crate::registry::service::{needs_cluster_ip, needs_node_ports};
use crate::server::Server;
use crate::status::{Failure, Result, cause};
use cluster_ip::Taken;
use node_port::PortRange;

/// What services may be given.
#[derive(Debug, Clone)]
pub struct ServiceAllocator {
    /// `--service-cluster-ip-range`: one range, or one of each family; the first is the default.
    pub ranges: Vec<IpNet>,
    /// `--service-node-port-range`.
    pub ports: PortRange,
}

/// What a write took, and what it makes superfluous.
#[derive(Debug, Default)]
pub struct Reserved {
    /// Namespace and name of the service.
    owner: (String, String),
    taken_ips: Vec<String>,
    taken_ports: Vec<u16>,
    superfluous_ips: Vec<String>,
    superfluous_ports: Vec<u16>,
}

impl ServiceAllocator {
    /// Gives a service what it needs and does not have. Other kinds need nothing.
    pub async fn reserve(
        &self,
        server: &Server,
        old: Option<&dyn DynObject>,
        new: &mut dyn DynObject,
        dry_run: bool,
    ) -> Result<Reserved> {
        let Some(service) = new.downcast_mut::<Service>() else { return Ok(Reserved::default()) };
        let old = old.and_then(|old| old.downcast_ref::<Service>());
        let owner = (service.metadata.namespace.clone(), service.metadata.name.clone());
        let mut reserved = Reserved { owner, ..Reserved::default() };
        self.set_families(service)?;
        let outcome = match self.take_ips(server, old, service, dry_run, &mut reserved).await {
            Ok(()) => self.take_ports(server, old, service, dry_run, &mut reserved).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            self.give_back(server, reserved).await;
            return Err(failure);
        }
        if let Some(old) = old {
            reserved.superfluous_ips = missing(ips(old), &ips(service));
            reserved.superfluous_ports = missing(ports(old), &ports(service));
        }
        Ok(reserved)
    }

    /// The write succeeded: what it made superfluous is free again.
    pub async fn commit(&self, server: &Server, reserved: Reserved) {
        self.free(server, &reserved.owner, &reserved.superfluous_ips, &reserved.superfluous_ports).await;
    }

    /// The write failed: what it took is free again, except for what the service has by now, since another request
    /// for the same one may have been faster.
    pub async fn give_back(&self, server: &Server, mut reserved: Reserved) {
        if reserved.taken_ips.is_empty() && reserved.taken_ports.is_empty() {
            return;
        }
        match stored(server, &reserved.owner).await {
            Ok(None) => {}
            Ok(Some(service)) => {
                reserved.taken_ips = missing(reserved.taken_ips, &ips(&service));
                reserved.taken_ports = missing(reserved.taken_ports, &ports(&service));
            }
            Err(failure) => {
                tracing::warn!(owner = ?reserved.owner, %failure, "what a refused write took stays taken until the next repair");
                return;
            }
        }
        self.free(server, &reserved.owner, &reserved.taken_ips, &reserved.taken_ports).await;
    }

    /// A service is gone: what it had is free again.
    pub async fn release(&self, server: &Server, object: &dyn DynObject) {
        if let Some(service) = object.downcast_ref::<Service>() {
            let owner = (service.metadata.namespace.clone(), service.metadata.name.clone());
            self.free(server, &owner, &ips(service), &ports(service)).await;
        }
    }

    async fn free(&self, server: &Server, owner: &(String, String), ips: &[String], ports: &[u16]) {
        for ip in ips {
            if let Err(failure) = cluster_ip::free(server, ip, (&owner.0, &owner.1)).await {
                tracing::warn!(ip, %failure, "an address stays taken until the next repair");
            }
        }
        if !ports.is_empty()
            && let Err(failure) = node_port::free(server, self.ports, ports).await
        {
            tracing::warn!(?ports, %failure, "node ports stay taken until the next repair");
        }
    }

    /// The address families that a service has on this server.
    fn set_families(&self, service: &mut Service) -> Result<()> {
        let spec = &mut service.spec;
        if spec.r#type == "ExternalName" {
            return Ok(());
        }
        let served: Vec<&str> = self.ranges.iter().map(|range| family_of(&range.addr().to_string())).collect();
        // As upstream: nobody knows in which families the endpoints will be that somebody else writes.
        if spec.cluster_ip == "None" && spec.selector.is_empty() {
            spec.ip_family_policy.get_or_insert_with(|| "RequireDualStack".to_owned());
            if spec.ip_families.is_empty() {
                spec.ip_families.push((*served.first().unwrap_or(&"IPv4")).to_owned());
            }
            if spec.ip_family_policy.as_deref() != Some("SingleStack") && spec.ip_families.len() < 2 {
                let second = if spec.ip_families[0] == "IPv4" { "IPv6" } else { "IPv4" };
                spec.ip_families.push(second.to_owned());
            }
            return Ok(());
        }
        let given: Vec<String> =
            spec.cluster_ips.iter().filter(|ip| *ip != "None").map(|ip| family_of(ip).to_owned()).collect();
        let policy = spec.ip_family_policy.get_or_insert_with(|| {
            let two = spec.ip_families.len() > 1 || given.len() > 1;
            if two { "RequireDualStack".to_owned() } else { "SingleStack".to_owned() }
        });
        if policy == "RequireDualStack" && served.len() < 2 {
            let message = "Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services";
            let causes = vec![cause("FieldValueInvalid", "spec.ipFamilyPolicy", message)];
            return Err(Failure::invalid("", "Service", &service.metadata.name, causes));
        }
        if spec.ip_families.is_empty() {
            spec.ip_families = given;
        }
        if spec.ip_families.is_empty() {
            spec.ip_families.push((*served.first().unwrap_or(&"IPv4")).to_owned());
        }
        if policy != "SingleStack" && spec.ip_families.len() < 2 {
            let second = served.iter().find(|family| **family != spec.ip_families[0]);
            spec.ip_families.extend(second.map(|family| (*family).to_owned()));
        }
        let foreign = |(_, family): &(usize, &String)| !served.contains(&family.as_str());
        if let Some((at, foreign)) = spec.ip_families.iter().enumerate().find(foreign) {
            let message = format!("Invalid value: \"{foreign}\": not configured on this cluster");
            let causes = vec![cause("FieldValueInvalid", format!("spec.ipFamilies[{at}]"), message)];
            return Err(Failure::invalid("", "Service", &service.metadata.name, causes));
        }
        Ok(())
    }

    async fn take_ips(
        &self,
        server: &Server,
        old: Option<&Service>,
        service: &mut Service,
        dry_run: bool,
        reserved: &mut Reserved,
    ) -> Result<()> {
        if !needs_cluster_ip(service) {
            return Ok(());
        }
        if service.spec.cluster_ip == "None" || service.spec.cluster_ips.first().is_some_and(|ip| ip == "None") {
            service.spec.cluster_ip = "None".to_owned();
            service.spec.cluster_ips = vec!["None".to_owned()];
            return Ok(());
        }
        if service.spec.cluster_ips.is_empty() && !service.spec.cluster_ip.is_empty() {
            service.spec.cluster_ips = vec![service.spec.cluster_ip.clone()];
        }
        let had = old.map(ips).unwrap_or_default();
        for (at, family) in service.spec.ip_families.clone().iter().enumerate() {
            let wanted = service.spec.cluster_ips.get(at).cloned();
            if wanted.as_ref().is_some_and(|ip| had.contains(ip)) {
                continue;
            }
            let Some(range) = self.ranges.iter().find(|range| family_of(&range.addr().to_string()) == family) else {
                continue;
            };
            let (ip, taken) = match wanted {
                Some(ip) => cluster_ip::take(server, range, &ip, service, dry_run).await?,
                None => (cluster_ip::take_any(server, range, service, dry_run).await?, Taken::Made),
            };
            if !dry_run && taken == Taken::Made {
                reserved.taken_ips.push(ip.clone());
            }
            if at < service.spec.cluster_ips.len() {
                service.spec.cluster_ips[at] = ip;
            } else {
                service.spec.cluster_ips.push(ip);
            }
        }
        service.spec.cluster_ip = service.spec.cluster_ips.first().cloned().unwrap_or_default();
        Ok(())
    }

    async fn take_ports(
        &self,
        server: &Server,
        old: Option<&Service>,
        service: &mut Service,
        dry_run: bool,
        reserved: &mut Reserved,
    ) -> Result<()> {
        let had = old.map(ports).unwrap_or_default();
        let health = service.spec.r#type == "LoadBalancer" && service.spec.external_traffic_policy == "Local";
        let mut wanted: Vec<Option<u16>> = Vec::new();
        if needs_node_ports(service) {
            wanted.extend(plan_ports(service, &had));
        }
        if health
            && (service.spec.health_check_node_port == 0 || !had.contains(&port(service.spec.health_check_node_port)))
        {
            wanted.push(Some(port(service.spec.health_check_node_port)).filter(|port| *port != 0));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut given = node_port::take(server, self.ports, &wanted, service, dry_run).await?.into_iter();
        for slot in free_slots(service, &had) {
            // Ports that share a number under several protocols take it once.
            let next = match slot {
                Slot::Same(at) => Some(port(service.spec.ports[at].node_port)),
                Slot::Port(at) => given.next().inspect(|next| service.spec.ports[at].node_port = i32::from(*next)),
                Slot::Copy { to, from } => {
                    service.spec.ports[to].node_port = service.spec.ports[from].node_port;
                    None
                }
            };
            if let (Some(next), false, Slot::Port(_)) = (next, dry_run, slot) {
                reserved.taken_ports.push(next);
            }
        }
        if let Some(next) = given.next() {
            service.spec.health_check_node_port = i32::from(next);
            if !dry_run {
                reserved.taken_ports.push(next);
            }
        }
        Ok(())
    }
}

/// The service as the store holds it now.
async fn stored(server: &Server, (namespace, name): &(String, String)) -> Result<Option<Service>> {
    let resource = server.registry.core("services")?;
    let (record, _) = server.store.get(&resource.store_key(namespace, name)).await?;
    let Some(record) = record else { return Ok(None) };
    prost::Message::decode(resource.open(&record)?).map(Some).map_err(Failure::internal)
}

/// How one service port comes to its node port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// It has it already.
    Same(usize),
    /// It takes one.
    Port(usize),
    /// It has the number of an earlier one: same port, another protocol.
    Copy { to: usize, from: usize },
}

/// How each port comes to its node port, in order.
fn free_slots(service: &Service, had: &[u16]) -> Vec<Slot> {
    if !needs_node_ports(service) {
        return Vec::new();
    }
    let all = &service.spec.ports;
    let mut slots = Vec::new();
    for (at, this) in all.iter().enumerate() {
        let number = this.node_port;
        let twin = all[..at].iter().position(|other| {
            other.protocol != this.protocol
                && if number != 0 { other.node_port == number } else { other.port == this.port && other.node_port == 0 }
        });
        slots.push(match twin {
            Some(from) if number == 0 => Slot::Copy { to: at, from },
            Some(_) => Slot::Same(at),
            None if number != 0 && had.contains(&port(number)) => Slot::Same(at),
            None => Slot::Port(at),
        });
    }
    slots
}

/// The numbers to take: a fixed one, or any.
fn plan_ports(service: &Service, had: &[u16]) -> Vec<Option<u16>> {
    let taken = |slot: Slot| match slot {
        Slot::Port(at) => Some(Some(port(service.spec.ports[at].node_port)).filter(|port| *port != 0)),
        Slot::Same(_) | Slot::Copy { .. } => None,
    };
    free_slots(service, had).into_iter().filter_map(taken).collect()
}

fn port(number: i32) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

/// The cluster addresses that a service holds.
pub fn ips(service: &Service) -> Vec<String> {
    if !needs_cluster_ip(service) {
        return Vec::new();
    }
    service.spec.cluster_ips.iter().filter(|ip| !ip.is_empty() && *ip != "None").cloned().collect()
}

/// The node ports that a service holds.
pub fn ports(service: &Service) -> Vec<u16> {
    let numbers = service.spec.ports.iter().map(|port| port.node_port).chain([service.spec.health_check_node_port]);
    let mut ports: Vec<u16> = numbers.map(port).filter(|port| *port != 0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn missing<T: PartialEq>(old: Vec<T>, new: &[T]) -> Vec<T> {
    old.into_iter().filter(|item| !new.contains(item)).collect()
}

/// `IPv4` or `IPv6`.
pub fn family_of(ip: &str) -> &'static str {
    if ip.contains(':') { "IPv6" } else { "IPv4" }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::ServicePort;

    use super::*;

    fn service(ports: &[(i32, &str, i32)]) -> Service {
        let mut service = Service::default();
        service.spec.r#type = "NodePort".into();
        service.spec.ports = ports
            .iter()
            .map(|(port, protocol, node_port)| ServicePort {
                port: *port,
                protocol: (*protocol).into(),
                node_port: *node_port,
                ..Default::default()
            })
            .collect();
        service
    }

    #[test]
    fn one_port_under_two_protocols_takes_one_number() {
        let service = service(&[(53, "TCP", 0), (53, "UDP", 0), (80, "TCP", 30080)]);
        assert_eq!(free_slots(&service, &[]), [Slot::Port(0), Slot::Copy { to: 1, from: 0 }, Slot::Port(2)]);
        assert_eq!(plan_ports(&service, &[]), [None, Some(30080)]);
    }

    #[test]
    fn what_it_had_is_not_taken_again() {
        let service = service(&[(80, "TCP", 30080), (81, "TCP", 30081)]);
        assert_eq!(plan_ports(&service, &[30080]), [Some(30081)]);
    }
}
