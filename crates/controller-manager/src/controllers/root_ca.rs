//! The cluster's CA as ConfigMap `kube-root-ca.crt` in every namespace, for pods to trust the API server by.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::informer::Key;
use client::queue::WorkQueue;
use proto::core::v1::ConfigMap;
use proto::time::Time;

use crate::view::View;
use crate::write::{Plan, Write};

/// Upstream's name of this controller.
pub const CONTROLLER: &str = "root-ca-certificate-publisher-controller";
/// The ConfigMap.
pub const NAME: &str = "kube-root-ca.crt";
/// Between looks at the file.
const READ_PERIOD: Duration = Duration::from_secs(60);
const FIELD: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// `key` names a namespace.
pub fn plan(view: &View, key: &Key, _now: Time) -> Plan {
    let root_ca = &view.root_ca();
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

/// Reads the file again, since CAs are exchanged while daemons run.
pub struct Reader {
    /// `--root-ca-file`.
    pub path: PathBuf,
    pub view: Arc<View>,
    /// Keys are names of namespaces.
    pub queue: WorkQueue<Key>,
}

impl Reader {
    /// Looks at the file now and then.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(READ_PERIOD).await;
            self.look();
        }
    }

    /// One look; where the file has changed, every namespace is looked at.
    fn look(&self) {
        match std::fs::read_to_string(&self.path) {
            Ok(text) if text.is_empty() || text == self.view.root_ca() => {}
            Ok(text) => {
                tracing::info!(path = %self.path.display(), "--root-ca-file has changed: it is published anew");
                self.view.set_root_ca(text);
                for namespace in self.view.namespaces.list() {
                    self.queue.add(Key::of(&*namespace));
                }
            }
            Err(error) => tracing::warn!(path = %self.path.display(), "cannot read --root-ca-file again: {error}"),
        }
    }
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

    #[test]
    fn exchanged_file_is_published_anew() {
        let path = std::env::temp_dir().join(format!("keelson-root-ca-{}", std::process::id()));
        let view = Arc::new(View::new(Settings { root_ca: "old".into(), ..Settings::default() }));
        view.namespaces.put(namespace("n"));
        let reader = Reader { path: path.clone(), view: view.clone(), queue: WorkQueue::new() };
        for (text, keys, published) in [("old", 0, "old"), ("", 0, "old"), ("new", 1, "new")] {
            std::fs::write(&path, text).expect("written");
            reader.look();
            assert_eq!((reader.queue.len(), view.root_ca().as_str()), (keys, published));
        }
        std::fs::remove_file(&path).expect("removed");
        reader.look();
        let Verb::Create(made) = &plan(&view, &Key::new("", "n"), Time::default()).writes[0].verb else {
            panic!("created")
        };
        assert_eq!(made.downcast_ref::<ConfigMap>().expect("a map").data[FIELD], "new");
    }
}
