//! The API server as the pods' workers see it: over the client, with local copies where it pays.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use client::informer::Store;
use client::recorder::Recorder;
use client::{Client, DeleteParams};
use proto::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use proto::core::v1::{ConfigMap, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};

use crate::cluster::{Cluster, Error, Event, Token, TokenFor};
use crate::time;

/// Talks to the API server.
pub struct ApiCluster {
    pub client: Client,
    pub recorder: Recorder,
    pub services: Store<Service>,
}

fn error(what: &str, name: &str) -> impl FnOnce(client::Error) -> Error {
    let text = format!("{what} \"{name}\" not found");
    move |error| match () {
        () if error.is_not_found() => Error::NotFound(text),
        () if error.is_conflict() => Error::Conflict(error.to_string()),
        () => Error::Other(error.to_string()),
    }
}

#[async_trait]
impl Cluster for ApiCluster {
    async fn config_map(&self, namespace: &str, name: &str) -> Result<ConfigMap, Error> {
        self.client.api::<ConfigMap>().get(namespace, name).await.map_err(error("configmap", name))
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, Error> {
        self.client.api::<Secret>().get(namespace, name).await.map_err(error("secret", name))
    }

    async fn claim(&self, namespace: &str, name: &str) -> Result<PersistentVolumeClaim, Error> {
        let api = self.client.api::<PersistentVolumeClaim>();
        api.get(namespace, name).await.map_err(error("persistentvolumeclaim", name))
    }

    async fn volume(&self, name: &str) -> Result<PersistentVolume, Error> {
        self.client.api::<PersistentVolume>().get("", name).await.map_err(error("persistentvolume", name))
    }

    async fn node_labels(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let node = self.client.api::<Node>().get("", name).await.map_err(error("node", name))?;
        Ok(node.metadata.labels)
    }

    async fn token(&self, pod: &Pod, wanted: &TokenFor) -> Result<Token, Error> {
        let account = match pod.spec.service_account_name.as_str() {
            "" => "default",
            name => name,
        };
        let body = TokenRequest {
            spec: TokenRequestSpec {
                audiences: if wanted.audience.is_empty() { Vec::new() } else { vec![wanted.audience.clone()] },
                expiration_seconds: Some(wanted.expiration_seconds),
                bound_object_ref: Some(BoundObjectReference {
                    kind: "Pod".into(),
                    api_version: "v1".into(),
                    name: pod.metadata.name.clone(),
                    u_id: pod.metadata.uid.clone(),
                }),
            },
            ..TokenRequest::default()
        };
        let api = self.client.api::<ServiceAccount>();
        let answer = api.create_subresource(&pod.metadata.namespace, account, "token", &body).await;
        let answer = answer.map_err(error("serviceaccount", account))?;
        let answer: TokenRequest = proto::any::unpack(&answer).map_err(|error| Error::Other(error.to_string()))?;
        Ok(Token { token: answer.status.token, expires_at: time::from_meta(&answer.status.expiration_timestamp) })
    }

    async fn services(&self, namespace: &str) -> Vec<Arc<Service>> {
        self.services.wait_synced().await;
        let mut services = self.services.list_in(namespace);
        if namespace != "default" {
            services.extend(self.services.get("default", "kubernetes"));
        }
        services
    }

    async fn get_pod(&self, namespace: &str, name: &str) -> Result<Pod, Error> {
        self.client.api::<Pod>().get(namespace, name).await.map_err(error("pod", name))
    }

    async fn update_status(&self, pod: &Pod) -> Result<Pod, Error> {
        self.client.api::<Pod>().update_status(pod).await.map_err(error("pod", &pod.metadata.name))
    }

    async fn delete_pod(&self, pod: &Pod) -> Result<(), Error> {
        let params = DeleteParams { grace_period_s: Some(0), uid: pod.metadata.uid.clone(), ..DeleteParams::default() };
        let api = self.client.api::<Pod>();
        let deleted = api.delete(&pod.metadata.namespace, &pod.metadata.name, &params).await;
        deleted.map(drop).map_err(error("pod", &pod.metadata.name))
    }

    fn event(&self, pod: &Pod, event: Event) {
        let mut involved = client::recorder::reference(pod);
        involved.field_path = event.field_path;
        let kind = if event.warning { "Warning" } else { "Normal" };
        self.recorder.note(involved, kind, event.reason, event.message);
    }
}
