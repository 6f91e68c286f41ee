//! Defaults of Services.

use proto::core::v1::{Service, ServiceSpec};

use super::shared::{point, set};
use crate::int_or_string;

/// Three hours.
const AFFINITY_SECONDS: i32 = 10_800;

pub fn service(service: &mut Service) {
    let spec = &mut service.spec;
    set(&mut spec.session_affinity, "None");
    set(&mut spec.r#type, "ClusterIP");
    affinity(spec);
    for port in &mut spec.ports {
        set(&mut port.protocol, "TCP");
        let target = &port.target_port;
        if !int_or_string::is_string(target) && target.int_val == 0
            || int_or_string::is_string(target) && target.str_val.is_empty()
        {
            port.target_port = int_or_string::from_int(port.port);
        }
    }
    if is_reached_from_outside(spec) {
        set(&mut spec.external_traffic_policy, "Cluster");
    }
    if spec.r#type != "ExternalName" {
        point(&mut spec.internal_traffic_policy, "Cluster");
    }
    if spec.r#type == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
        for ingress in service.status.load_balancer.ingress.iter_mut().filter(|ingress| !ingress.ip.is_empty()) {
            point(&mut ingress.ip_mode, "VIP");
        }
    }
}

fn affinity(spec: &mut ServiceSpec) {
    match spec.session_affinity.as_str() {
        "None" => spec.session_affinity_config = None,
        "ClientIP" => {
            let config = spec.session_affinity_config.get_or_insert_with(Default::default);
            let client = config.client_ip.get_or_insert_with(Default::default);
            client.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
        }
        _ => {}
    }
}

/// Through node ports, a load balancer, or addresses outside the cluster.
pub fn is_reached_from_outside(spec: &ServiceSpec) -> bool {
    match spec.r#type.as_str() {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !spec.external_ips.is_empty(),
        _ => false,
    }
}
