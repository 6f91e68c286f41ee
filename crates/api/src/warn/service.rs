//! Services.

#![allow(deprecated, reason = "what is deprecated is warned of")]

use proto::core::v1::Service;

use super::{SPEC, Warnings, address};
use crate::status::quoted;

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";

/// A Service.
pub fn service(warnings: &mut Warnings, new: &Service, _: Option<&Service>) {
    let spec = &new.spec;
    if new.metadata.annotations.contains_key(HINTS) {
        warnings.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    let headless = spec.cluster_ip == "None";
    if !headless {
        address::ips(warnings, SPEC.child("clusterIPs"), &spec.cluster_ips);
    }
    if headless && !spec.load_balancer_ip.is_empty() {
        warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
    }
    if !spec.external_ips.is_empty() {
        let why = match spec.r#type.as_str() {
            _ if headless => "ignored for headless services",
            "ExternalName" => "ignored when spec.type is \"ExternalName\"",
            _ => "deprecated",
        };
        warnings.push(format!("spec.externalIPs is {why}"));
    }
    if headless && !matches!(spec.session_affinity.as_str(), "" | "None") {
        warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
    }
    address::ips(warnings, SPEC.child("externalIPs"), &spec.external_ips);
    if !spec.load_balancer_ip.is_empty() {
        address::ip(warnings, SPEC.child("loadBalancerIP"), &spec.load_balancer_ip);
    }
    address::cidrs(warnings, SPEC.child("loadBalancerSourceRanges"), &spec.load_balancer_source_ranges);
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        let path = SPEC.child("trafficDistribution");
        let (old, new) = (quoted("PreferClose"), quoted("PreferSameZone"));
        warnings.push(format!("{path}: {old} is deprecated; use {new}"));
    }
}
