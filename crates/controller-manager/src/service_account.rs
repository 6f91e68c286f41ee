//! Every namespace has a ServiceAccount `default`.

use api::meta::is_terminating;
use proto::core::v1::{Namespace, ServiceAccount};

use crate::plan::Plan;

pub const NAME: &str = "default";

/// `found`: the namespace's ServiceAccount of that name.
pub fn plan(namespace: &Namespace, found: Option<&ServiceAccount>) -> Plan {
    let mut plan = Plan::none();
    if found.is_none() && !is_terminating(&namespace.metadata) {
        let mut account = ServiceAccount::default();
        account.metadata.name = NAME.to_owned();
        account.metadata.namespace = namespace.metadata.name.clone();
        plan.create(account);
    }
    plan
}
