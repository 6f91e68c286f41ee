//! The ConfigMap from which extension servers learn whom to believe: `kube-system/extension-apiserver-authentication`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::core::v1::ConfigMap;
use proto::dynamic::DynObject;

use crate::config::FrontFlags;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::write::{Decision, Mutation, change};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// The keys that hold certificates: of those that several apiservers give, all count.
const CERTIFICATES: [&str; 2] = ["client-ca-file", "requestheader-client-ca-file"];

/// The flags that are told.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// `--client-ca-file`.
    pub client_ca: Option<PathBuf>,
    /// `--requestheader-*`.
    pub fronts: FrontFlags,
}

impl Published {
    /// What the ConfigMap has to say; empty where nobody is to be believed.
    async fn data(&self) -> Result<BTreeMap<String, String>> {
        let mut data = BTreeMap::new();
        if let Some(ca) = &self.client_ca {
            data.insert(CERTIFICATES[0].to_owned(), read(ca).await?);
        }
        if let Some(ca) = &self.fronts.requestheader_client_ca_file {
            data.insert(CERTIFICATES[1].to_owned(), read(ca).await?);
            let fronts = &self.fronts;
            for (key, names) in [
                ("requestheader-allowed-names", &fronts.requestheader_allowed_names),
                ("requestheader-extra-headers-prefix", &fronts.requestheader_extra_headers_prefix),
                ("requestheader-group-headers", &fronts.requestheader_group_headers),
                ("requestheader-username-headers", &fronts.requestheader_username_headers),
            ] {
                data.insert(key.to_owned(), serde_json::json!(names).to_string());
            }
            if !fronts.requestheader_uid_headers.is_empty() {
                let names = serde_json::json!(fronts.requestheader_uid_headers).to_string();
                data.insert("requestheader-uid-headers".to_owned(), names);
            }
        }
        Ok(data)
    }
}

/// Makes the ConfigMap, or brings it up to date; certificates of other apiservers stay in it.
pub async fn publish(server: &Server) -> Result<()> {
    let data = server.published.data().await?;
    if data.is_empty() {
        return Ok(());
    }
    let mut object = ConfigMap { data: data.clone(), ..ConfigMap::default() };
    (object.metadata.namespace, object.metadata.name) = (NAMESPACE.to_owned(), NAME.to_owned());
    let target = super::place_of(server, &object)?;
    super::ensure(server, Box::new(object)).await?;
    change(server, &target, false, &mut Update { data: &data }).await.map(|_| ())
}

struct Update<'a> {
    data: &'a BTreeMap<String, String>,
}

#[async_trait::async_trait]
impl Mutation for Update<'_> {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let Some(map) = current.downcast_mut::<ConfigMap>() else { return Err(Failure::no_resource()) };
        let before = map.data.clone();
        for (key, wanted) in self.data {
            let found = map.data.entry(key.clone()).or_default();
            match CERTIFICATES.contains(&key.as_str()) {
                true if found.contains(wanted.trim()) => {}
                true if !found.is_empty() => *found = format!("{}\n{wanted}", found.trim_end()),
                _ => found.clone_from(wanted),
            }
        }
        Ok(if map.data == before { Decision::Keep } else { Decision::Write(current) })
    }
}

async fn read(file: &Path) -> Result<String> {
    let read = tokio::fs::read_to_string(file).await;
    read.map_err(|error| Failure::internal(format!("cannot read {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn updated(before: &[(&str, &str)], wanted: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let object = ConfigMap { data: map(before), ..ConfigMap::default() };
        match (Update { data: &map(wanted) }).decide(Box::new(object), 1).await.expect("a decision") {
            Decision::Write(mut new) => new.downcast_mut::<ConfigMap>().map(|map| map.data.clone()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn certificates_of_other_apiservers_stay() {
        let before = [("client-ca-file", "A\n"), ("requestheader-allowed-names", "[\"a\"]"), ("more", "x")];
        let now = updated(&before, &[("client-ca-file", "B\n"), ("requestheader-allowed-names", "[]")]).await;
        let now = now.expect("a change");
        assert_eq!(now["client-ca-file"], "A\nB\n");
        assert_eq!((now["requestheader-allowed-names"].as_str(), now["more"].as_str()), ("[]", "x"));
        assert_eq!(updated(&[("client-ca-file", "A\nB\n")], &[("client-ca-file", "B\n")]).await, None);
    }
}
