//! `keelson.api.v1.Discovery`.

use proto::keelson::api::v1::discovery_server::Discovery;
use proto::keelson::api::v1::{ApiResource, GetVersionRequest, ListResourcesRequest, ListResourcesResponse, Version};
use tonic::{Request, Response, Status};

use super::{Grpc, status};
use crate::discovery::version_order;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Discovery for Grpc {
    async fn list_resources(&self, request: Request<ListResourcesRequest>) -> Answer<ListResourcesResponse> {
        self.user(request.metadata(), request.extensions()).await.map_err(status::of)?;
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        // Of several versions the preferred one comes first, as for built-in resources.
        let mut custom = self.server.registry.custom().to_vec();
        custom.sort_by(|a, b| {
            let same_group = a.row.group.cmp(b.row.group);
            same_group.then_with(|| version_order(a.row.version, b.row.version)).then(a.row.plural.cmp(b.row.plural))
        });
        let rows = self.server.registry.all().iter().chain(custom.iter()).map(|resource| {
            let row = resource.row;
            ApiResource {
                group: row.group.to_owned(),
                version: row.version.to_owned(),
                kind: row.kind.to_owned(),
                plural: row.plural.to_owned(),
                singular: row.singular.to_owned(),
                short_names: owned(&row.short_names),
                namespaced: row.namespaced,
                verbs: owned(&row.verbs),
                categories: owned(&row.categories),
                subresources: row.subresources.iter().map(|row| row.name.to_owned()).collect(),
            }
        });
        Ok(Response::new(ListResourcesResponse { resources: rows.collect() }))
    }

    async fn get_version(&self, request: Request<GetVersionRequest>) -> Answer<Version> {
        self.user(request.metadata(), request.extensions()).await.map_err(status::of)?;
        let info = daemon::version::info();
        let text = |key: &str| info.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        Ok(Response::new(Version {
            git_version: text("gitVersion"),
            major: text("major"),
            minor: text("minor"),
            keelson_version: daemon::version::KEELSON.to_owned(),
            platform: daemon::version::platform(),
        }))
    }
}
