//! A ServiceAccount `default` in every namespace.

use client::informer::Key;
use proto::core::v1::ServiceAccount;
use proto::time::Time;

use crate::view::View;
use crate::write::{Plan, Write};

/// Upstream's name of this controller.
pub const NAME: &str = "serviceaccount-controller";
/// The account that pods get unless they name another.
const DEFAULT: &str = "default";

/// `key` names a namespace.
pub fn plan(view: &View, key: &Key, _now: Time) -> Plan {
    let Some(namespace) = view.namespaces.get("", &key.name) else { return Plan::none() };
    if namespace.metadata.deletion_timestamp.is_some() || view.service_accounts.get(&key.name, DEFAULT).is_some() {
        return Plan::none();
    }
    let mut account = ServiceAccount::default();
    account.metadata.namespace = key.name.clone();
    account.metadata.name = DEFAULT.to_owned();
    Plan::one(Write::create(account))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{namespace, view};

    #[test]
    fn living_namespace_gets_its_account_once() {
        let view = view();
        view.namespaces.put(namespace("n"));
        let key = Key::new("", "n");
        assert_eq!(plan(&view, &key, Time::default()).writes.len(), 1);
        let mut account = ServiceAccount::default();
        account.metadata.namespace = "n".into();
        account.metadata.name = DEFAULT.into();
        view.service_accounts.put(account);
        assert!(plan(&view, &key, Time::default()).writes.is_empty());
    }

    #[test]
    fn dying_namespace_gets_none() {
        let view = view();
        let mut dying = namespace("n");
        dying.metadata.deletion_timestamp = Some(Time::from_unix(1));
        view.namespaces.put(dying);
        assert!(plan(&view, &Key::new("", "n"), Time::default()).writes.is_empty());
    }
}
