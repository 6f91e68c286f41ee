//! The cluster's CA as ConfigMap `kube-root-ca.crt` in every namespace, for pods to trust the API server by.

use client::informer::Key;
use proto::core::v1::ConfigMap;
use proto::time::Time;

use crate::view::View;
use crate::write::{Plan, Write};

/// Upstream's name of this controller.
pub const CONTROLLER: &str = "root-ca-certificate-publisher-controller";
/// The ConfigMap.
pub const NAME: &str = "kube-root-ca.crt";
const FIELD: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// `key` names a namespace.
pub fn plan(view: &View, key: &Key, _now: Time) -> Plan {
    let root_ca = &view.settings.root_ca;
    let Some(namespace) = view.namespaces.get("", &key.name) else { return Plan::none() };
    if root_ca.is_empty() || namespace.metadata.deletion_timestamp.is_some() {
        return Plan::none();
    }
    let found = view.root_cas.get(&key.name, NAME);
    let is_right = |map: &ConfigMap| map.data.len() == 1 && map.data.get(FIELD) == Some(root_ca);
    if found.as_deref().is_some_and(is_right) {
        return Plan::none();
    }
    let exists = found.is_some();
    let mut map = found.map(|map| (*map).clone()).unwrap_or_default();
    map.metadata.namespace = key.name.clone();
    map.metadata.name = NAME.to_owned();
    map.metadata.annotations.insert(DESCRIPTION.to_owned(), DESCRIPTION_TEXT.to_owned());
    map.data.clear();
    map.data.insert(FIELD.to_owned(), root_ca.clone());
    Plan::one(if exists { Write::update(map) } else { Write::create(map) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Settings;
    use crate::sim::namespace;
    use crate::write::Verb;

    #[test]
    fn map_is_made_kept_and_mended() {
        let view = View::new(Settings { root_ca: "PEM".into(), ..Settings::default() });
        view.namespaces.put(namespace("n"));
        let key = Key::new("", "n");
        let plan_now = || plan(&view, &key, Time::default()).writes;
        let Verb::Create(made) = &plan_now()[0].verb else { panic!("created") };
        let mut map = made.downcast_ref::<ConfigMap>().expect("a map").clone();
        assert_eq!(map.data[FIELD], "PEM");
        map.metadata.resource_version = "1".into();
        view.root_cas.put(map.clone());
        assert!(plan_now().is_empty());
        map.data.insert(FIELD.into(), "other".into());
        map.metadata.resource_version = "2".into();
        view.root_cas.put(map);
        assert!(matches!(plan_now()[0].verb, Verb::Update(_)));
    }
}
