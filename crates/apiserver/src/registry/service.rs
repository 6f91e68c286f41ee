//! Services: what an update leaves out and the server has allocated is kept.

use proto::core::v1::Service;
use proto::dynamic::DynObject;

use super::strategy::{Rules, Strategy};

/// The strategy of services. Addresses and ports are given out in `allocate`.
#[derive(Debug)]
pub struct ServiceStrategy;

impl Strategy for ServiceStrategy {
    fn rules(&self) -> Rules {
        Rules::PLAIN
    }

    fn create(&self, object: &mut dyn DynObject) {
        let Some(service) = object.downcast_mut::<Service>() else { return };
        if service.spec.cluster_ips.is_empty() && !service.spec.cluster_ip.is_empty() {
            service.spec.cluster_ips = vec![service.spec.cluster_ip.clone()];
        }
    }

    fn update(&self, new: &mut dyn DynObject, old: &dyn DynObject) {
        let (Some(new), Some(old)) = (new.downcast_mut::<Service>(), old.downcast_ref::<Service>()) else { return };
        keep_allocated(new, old);
        release_unneeded(new, old);
    }
}

/// True for the types that have a cluster address.
pub fn needs_cluster_ip(service: &Service) -> bool {
    service.spec.r#type != "ExternalName"
}

/// True for the types that have node ports.
pub fn needs_node_ports(service: &Service) -> bool {
    match service.spec.r#type.as_str() {
        "NodePort" => true,
        "LoadBalancer" => service.spec.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    }
}

/// A client that sends its manifest again need not know what was allocated.
fn keep_allocated(new: &mut Service, old: &Service) {
    if needs_cluster_ip(new) && needs_cluster_ip(old) {
        if new.spec.cluster_ip.is_empty() && new.spec.cluster_ips.is_empty() {
            new.spec.cluster_ip.clone_from(&old.spec.cluster_ip);
            new.spec.cluster_ips.clone_from(&old.spec.cluster_ips);
        } else if new.spec.cluster_ips.is_empty() {
            new.spec.cluster_ips.clone_from(&old.spec.cluster_ips);
        } else if new.spec.cluster_ip.is_empty() {
            new.spec.cluster_ip = new.spec.cluster_ips[0].clone();
        }
        if new.spec.ip_families.is_empty() {
            new.spec.ip_families.clone_from(&old.spec.ip_families);
        }
        if new.spec.ip_family_policy.is_none() {
            new.spec.ip_family_policy.clone_from(&old.spec.ip_family_policy);
        }
    }
    if needs_node_ports(new) && needs_node_ports(old) {
        let taken: Vec<i32> = new.spec.ports.iter().map(|port| port.node_port).filter(|port| *port != 0).collect();
        for port in new.spec.ports.iter_mut().filter(|port| port.node_port == 0) {
            let same =
                |other: &&proto::core::v1::ServicePort| other.port == port.port && other.protocol == port.protocol;
            if let Some(kept) = old.spec.ports.iter().find(same).filter(|kept| !taken.contains(&kept.node_port)) {
                port.node_port = kept.node_port;
            }
        }
        if new.spec.health_check_node_port == 0 {
            new.spec.health_check_node_port = old.spec.health_check_node_port;
        }
    }
}

/// A client that only changes the type need not clear what the new type does not have.
fn release_unneeded(new: &mut Service, old: &Service) {
    let (now, was) = (&mut new.spec, &old.spec);
    if now.r#type == "ExternalName" && was.r#type != "ExternalName" {
        if now.cluster_ip == was.cluster_ip {
            now.cluster_ip.clear();
        }
        if now.cluster_ips == was.cluster_ips {
            now.cluster_ips.clear();
        }
        if now.ip_families == was.ip_families {
            now.ip_families.clear();
        }
        if now.ip_family_policy == was.ip_family_policy {
            now.ip_family_policy = None;
        }
        if now.internal_traffic_policy == was.internal_traffic_policy {
            now.internal_traffic_policy = None;
        }
    }
    let external = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    if external(&was.r#type) && !external(&now.r#type) && now.external_traffic_policy == was.external_traffic_policy {
        now.external_traffic_policy.clear();
    }
    let balanced = |kind: &str| kind == "LoadBalancer";
    if balanced(&was.r#type) && !balanced(&now.r#type) {
        if now.allocate_load_balancer_node_ports == was.allocate_load_balancer_node_ports {
            now.allocate_load_balancer_node_ports = None;
        }
        if now.load_balancer_class == was.load_balancer_class {
            now.load_balancer_class = None;
        }
        if now.health_check_node_port == was.health_check_node_port {
            now.health_check_node_port = 0;
        }
    }
    if needs_node_ports(old) && !needs_node_ports(new) {
        for port in &mut new.spec.ports {
            if old.spec.ports.iter().any(|other| other.node_port == port.node_port) {
                port.node_port = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::ServicePort;

    use super::*;

    fn service(kind: &str, ip: &str, node_port: i32) -> Service {
        let mut service = Service::default();
        service.spec.r#type = kind.into();
        service.spec.cluster_ip = ip.into();
        service.spec.cluster_ips = if ip.is_empty() { vec![] } else { vec![ip.into()] };
        service.spec.ports = vec![ServicePort { port: 80, protocol: "TCP".into(), node_port, ..Default::default() }];
        service
    }

    #[test]
    fn what_was_allocated_is_kept_where_the_update_leaves_it_out() {
        let mut new = service("NodePort", "", 0);
        ServiceStrategy.update(&mut new, &service("NodePort", "10.96.0.7", 30007));
        assert_eq!((new.spec.cluster_ip.as_str(), new.spec.ports[0].node_port), ("10.96.0.7", 30007));
        assert_eq!(new.spec.cluster_ips, ["10.96.0.7"]);
    }

    #[test]
    fn what_the_new_type_does_not_have_is_released() {
        let mut new = service("ClusterIP", "10.96.0.7", 30007);
        ServiceStrategy.update(&mut new, &service("NodePort", "10.96.0.7", 30007));
        assert_eq!((new.spec.cluster_ip.as_str(), new.spec.ports[0].node_port), ("10.96.0.7", 0));
        let mut new = service("ExternalName", "10.96.0.7", 0);
        let mut old = service("ClusterIP", "10.96.0.7", 0);
        for service in [&mut new, &mut old] {
            service.spec.internal_traffic_policy = Some("Cluster".into());
        }
        ServiceStrategy.update(&mut new, &old);
        assert_eq!((new.spec.cluster_ip.as_str(), new.spec.internal_traffic_policy), ("", None));
    }
}
