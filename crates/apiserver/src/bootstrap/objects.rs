//! The first objects, as plain data.

use ipnet::IpNet;
use proto::core::v1::{Namespace, Service, ServicePort};
use proto::dynamic::DynObject;
use proto::meta::v1::{Condition, Time};
use proto::networking::v1::ServiceCidr;
use proto::scheduling::v1::PriorityClass;

use crate::allocate::cluster_ip::at;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::Target;
use crate::verbs::write::{Decision, Mutation, change};

const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];
const CLASSES: [(&str, i32, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
/// The name of the Service, its endpoints and the ServiceCIDR.
pub const KUBERNETES: &str = "kubernetes";

/// The namespaces that every cluster has.
pub fn namespaces() -> Vec<Box<dyn DynObject>> {
    let namespace = |name: &str| {
        let mut namespace = Namespace::default();
        namespace.metadata.name = name.to_owned();
        Box::new(namespace) as Box<dyn DynObject>
    };
    NAMESPACES.into_iter().map(namespace).collect()
}

/// The classes of what a cluster cannot do without.
pub fn priority_classes() -> Vec<Box<dyn DynObject>> {
    let class = |(name, value, description): (&str, i32, &str)| {
        let mut class = PriorityClass { value, description: description.to_owned(), ..Default::default() };
        class.metadata.name = name.to_owned();
        Box::new(class) as Box<dyn DynObject>
    };
    CLASSES.into_iter().map(class).collect()
}

/// The range of cluster addresses.
pub fn service_cidr(ranges: &[IpNet]) -> Box<dyn DynObject> {
    let mut cidr = ServiceCidr::default();
    cidr.metadata.name = KUBERNETES.to_owned();
    cidr.spec.cidrs = ranges.iter().map(|range| range.trunc().to_string()).collect();
    Box::new(cidr)
}

/// The Service by which pods reach the apiserver: the first address of the range.
pub fn kubernetes_service(ranges: &[IpNet], port: u16) -> Box<dyn DynObject> {
    let mut service = Service::default();
    service.metadata.name = KUBERNETES.to_owned();
    service.metadata.namespace = "default".to_owned();
    service.metadata.labels.insert("component".to_owned(), "apiserver".to_owned());
    service.metadata.labels.insert("provider".to_owned(), KUBERNETES.to_owned());
    service.spec.r#type = "ClusterIP".to_owned();
    service.spec.session_affinity = "None".to_owned();
    service.spec.ports = vec![ServicePort {
        name: "https".to_owned(),
        protocol: "TCP".to_owned(),
        port: 443,
        target_port: api::int_or_string::from_int(i32::from(port)),
        ..Default::default()
    }];
    if let Some(range) = ranges.first() {
        service.spec.cluster_ip = at(range, 1).to_string();
        service.spec.cluster_ips = vec![service.spec.cluster_ip.clone()];
    }
    Box::new(service)
}

/// Says in its status that the range is in use.
pub async fn mark_ready(server: &Server) -> Result<()> {
    let cidr = ("networking.k8s.io", "v1", "servicecidrs");
    let target = Target::resolve(&server.registry, cidr, "", KUBERNETES, "")?;
    change(server, &target, false, &mut MarkReady { now: server.now() }).await.map(|_| ())
}

struct MarkReady {
    now: Time,
}

#[async_trait::async_trait]
impl Mutation for MarkReady {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let Some(cidr) = current.downcast_mut::<ServiceCidr>() else { return Err(Failure::no_resource()) };
        if cidr.status.conditions.iter().any(|condition| condition.r#type == "Ready") {
            return Ok(Decision::Keep);
        }
        cidr.status.conditions.push(Condition {
            r#type: "Ready".to_owned(),
            status: "True".to_owned(),
            last_transition_time: self.now,
            message: "Kubernetes default Service CIDR is ready".to_owned(),
            ..Default::default()
        });
        Ok(Decision::Write(current))
    }
}
