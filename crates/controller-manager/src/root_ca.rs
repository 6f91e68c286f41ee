//! Every namespace has a ConfigMap with the certificates that sign the API server's own.

use api::meta::is_terminating;
use std::collections::BTreeMap;

use proto::core::v1::{ConfigMap, Namespace};

use crate::plan::Plan;

pub const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const DESCRIPTION_KEY: &str = "kubernetes.io/description";
/// In our own words; clients do not read it.
const DESCRIPTION: &str = "The CA certificates with which pods verify the API server at kubernetes.default.svc.";

/// `found`: the namespace's ConfigMap of that name; `bundle`: PEM certificates.
pub fn plan(namespace: &Namespace, found: Option<&ConfigMap>, bundle: &str) -> Plan {
    let mut plan = Plan::none();
    if is_terminating(&namespace.metadata) {
        return plan;
    }
    let data = BTreeMap::from([(KEY.to_owned(), bundle.to_owned())]);
    match found {
        None => {
            let mut map = ConfigMap { data, ..ConfigMap::default() };
            map.metadata.name = NAME.to_owned();
            map.metadata.namespace = namespace.metadata.name.clone();
            map.metadata.annotations.insert(DESCRIPTION_KEY.to_owned(), DESCRIPTION.to_owned());
            plan.create(map);
        }
        Some(map) if map.data != data => {
            plan.update(ConfigMap { data, ..map.clone() });
        }
        Some(_) => {}
    }
    plan
}
