//! The condition `Available` of an APIService: what it says, and when it changes.

use proto::apiregistration::v1::{ApiService, ApiServiceCondition};
use proto::core::v1::Service;
use proto::discovery::v1::EndpointSlice;
use proto::meta::v1::Time;

use crate::outbound::resolve;

const AVAILABLE: &str = "Available";

/// Whether the APIService says that it is there.
pub fn is_available(service: &ApiService) -> bool {
    service.status.conditions.iter().any(|condition| condition.r#type == AVAILABLE && condition.status == "True")
}

/// What was found out, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// True or False.
    pub status: &'static str,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Finding {
    /// It answers.
    pub fn passed() -> Self {
        Self { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
    }

    /// It does not answer as it must.
    pub fn failed(why: String) -> Self {
        Self { status: "False", reason: "FailedDiscoveryCheck", message: why }
    }

    /// This server serves it.
    pub fn local() -> Self {
        Self { status: "True", reason: "Local", message: String::new() }
    }
}

/// What is amiss before anybody is called. `None`: nothing.
pub fn amiss(service: Option<&Service>, slices: &[EndpointSlice], place: (&str, &str, u16)) -> Option<Finding> {
    let (namespace, name, port) = place;
    let amiss = |reason, message| Some(Finding { status: "False", reason, message });
    let Some(service) = service else {
        return amiss("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
    };
    // Of others, nobody here can tell what stands behind them.
    if service.spec.r#type != "ClusterIP" {
        return None;
    }
    let Some(found) = resolve::port(service, port) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return amiss("ServicePortError", message);
    };
    if slices.is_empty() {
        return amiss("EndpointsNotFound", format!("cannot find endpointslices for service/{name} in {namespace:?}"));
    }
    if resolve::ready(slices, &found.name).next().is_none() {
        let message = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {:?}",
            found.name
        );
        return amiss("MissingEndpoints", message);
    }
    None
}

/// Writes the finding down. The time tells when the status, not the reason, last became another.
pub fn record(service: &mut ApiService, finding: &Finding, now: Time) {
    let conditions = &mut service.status.conditions;
    let condition = match conditions.iter_mut().find(|condition| condition.r#type == AVAILABLE) {
        Some(condition) => condition,
        None => {
            conditions.push(ApiServiceCondition { r#type: AVAILABLE.to_owned(), ..Default::default() });
            conditions.last_mut().expect("it was pushed just now")
        }
    };
    if condition.status != finding.status {
        condition.last_transition_time = now;
        condition.status = finding.status.to_owned();
    }
    condition.reason = finding.reason.to_owned();
    condition.message.clone_from(&finding.message);
}

#[cfg(test)]
mod tests {
    use proto::core::v1::ServicePort;
    use proto::discovery::v1::{Endpoint, EndpointPort};

    use super::*;

    fn service(port: i32) -> Service {
        let mut service = Service::default();
        service.spec.r#type = "ClusterIP".into();
        service.spec.ports = vec![ServicePort { name: "https".into(), port, ..Default::default() }];
        service
    }

    fn slice(port: &str, addresses: usize) -> EndpointSlice {
        EndpointSlice {
            endpoints: vec![Endpoint { addresses: vec!["10.0.0.1".into()], ..Default::default() }; addresses],
            ports: vec![EndpointPort { name: Some(port.into()), port: Some(8443), ..Default::default() }],
            ..Default::default()
        }
    }

    #[track_caller]
    fn check(service: Option<Service>, slices: &[EndpointSlice], expect: Option<&str>) {
        let found = amiss(service.as_ref(), slices, ("n", "s", 443));
        assert_eq!(found.map(|found| found.reason), expect);
    }

    #[test]
    fn what_is_missing_is_told() {
        check(None, &[], Some("ServiceNotFound"));
        check(Some(service(80)), &[], Some("ServicePortError"));
        check(Some(service(443)), &[], Some("EndpointsNotFound"));
        check(Some(service(443)), &[slice("https", 0)], Some("MissingEndpoints"));
        check(Some(service(443)), &[slice("http", 1)], Some("MissingEndpoints"));
        check(Some(service(443)), &[slice("http", 1), slice("https", 1)], None);
        let mut external = service(443);
        external.spec.r#type = "ExternalName".into();
        check(Some(external), &[], None);
    }

    #[test]
    fn the_time_is_that_of_the_status() {
        let at = |seconds| Time { seconds, ..Time::default() };
        let mut service = ApiService::default();
        record(&mut service, &Finding::failed("no".into()), at(1));
        record(&mut service, &Finding::failed("still no".into()), at(2));
        let condition = service.status.conditions[0].clone();
        assert_eq!((condition.message.as_str(), condition.last_transition_time), ("still no", at(1)));
        record(&mut service, &Finding::passed(), at(3));
        assert!(is_available(&service));
        assert_eq!(service.status.conditions[0].last_transition_time, at(3));
    }
}
