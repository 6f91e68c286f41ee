//! The verbs of one kind.

use std::marker::PhantomData;

use futures::Stream;
use prost_types::Any;
use proto::keelson::api::v1::{
    CreateRequest, DeleteCollectionRequest, DeleteRequest, GetRequest, ListRequest, Object as Answer, PatchRequest,
    UpdateRequest, WatchRequest,
};
use proto::{Kind, Object};

use crate::client::Client;
use crate::error::Error;
use crate::params::{DeleteParams, ListParams, Patch, WatchParams, WriteParams};
use crate::resource::Resource;
use crate::watch::{self, Event};

/// A list and the revision it was read at.
#[derive(Clone, Debug)]
pub struct List<T> {
    /// The revision of the whole list.
    pub resource_version: i64,
    /// The objects.
    pub items: Vec<T>,
    /// Where a limit cut the list: the token for the rest.
    pub continue_token: String,
    /// How many follow, where known.
    pub remaining: Option<i64>,
}

/// The verbs of `T`. Objects are namespaced by their own metadata; `""` is the namespace of cluster-scoped ones.
#[derive(Debug)]
pub struct Api<T> {
    client: Client,
    resource: Resource,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Api<T> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), resource: self.resource.clone(), kind: PhantomData }
    }
}

impl<T: Object> Api<T> {
    /// The verbs over a connection.
    pub fn new(client: Client) -> Self {
        Self { client, resource: Resource::of::<T>(), kind: PhantomData }
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How requests name the resource.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Reads one object, consistently.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<T, Error> {
        let request =
            GetRequest { r#ref: Some(self.resource.at(namespace, name, "")), resource_version: String::new() };
        let mut resources = self.client.resources();
        unpack(self.client.once(resources.get(request)).await?)
    }

    /// Reads one object; none where it does not exist.
    pub async fn get_opt(&self, namespace: &str, name: &str) -> Result<Option<T>, Error> {
        match self.get(namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads many objects.
    pub async fn list(&self, params: &ListParams) -> Result<List<T>, Error> {
        let mut items = Vec::new();
        let list = list(&self.client, &self.resource, params, |object| {
            items.push(unpack(object)?);
            Ok(())
        })
        .await?;
        Ok(List { items, ..list })
    }

    /// Follows changes. The call returns once the watch is established.
    pub async fn watch(
        &self,
        params: &WatchParams,
    ) -> Result<impl Stream<Item = Result<Event<T>, Error>> + Send + use<T>, Error> {
        let chunks = open_watch(&self.client, &self.resource, params).await?;
        Ok(watch::events(self.client.clone(), chunks, unpack::<T>))
    }

    /// Creates an object in its own namespace.
    pub async fn create(&self, object: &T) -> Result<T, Error> {
        self.create_with(object, &WriteParams::default()).await
    }

    /// Creates an object in its own namespace.
    pub async fn create_with(&self, object: &T, params: &WriteParams) -> Result<T, Error> {
        let meta = object.metadata();
        let request = CreateRequest {
            r#ref: Some(self.resource.at(&meta.namespace, &meta.name, "")),
            object: Some(pack(object).0),
            options: params.options(),
        };
        let mut resources = self.client.resources();
        unpack(self.client.once(resources.create(request)).await?)
    }

    /// Replaces an object; refused with a conflict unless it is still at the version in its metadata.
    pub async fn update(&self, object: &T) -> Result<T, Error> {
        self.update_with(object, "", &WriteParams::default()).await
    }

    /// Replaces an object's status, under the same condition.
    pub async fn update_status(&self, object: &T) -> Result<T, Error> {
        self.update_with(object, "status", &WriteParams::default()).await
    }

    /// Replaces an object or a part of it.
    pub async fn update_with(&self, object: &T, subresource: &str, params: &WriteParams) -> Result<T, Error> {
        let meta = object.metadata();
        let at = self.resource.at(&meta.namespace, &meta.name, subresource);
        let (any, resource_version) = pack(object);
        let request = UpdateRequest { r#ref: Some(at), object: Some(any), options: params.options(), resource_version };
        let mut resources = self.client.resources();
        unpack(self.client.once(resources.update(request)).await?)
    }

    /// Changes an object.
    pub async fn patch(&self, namespace: &str, name: &str, patch: Patch) -> Result<T, Error> {
        self.patch_with(namespace, name, "", patch, &WriteParams::default()).await
    }

    /// Changes an object's status.
    pub async fn patch_status(&self, namespace: &str, name: &str, patch: Patch) -> Result<T, Error> {
        self.patch_with(namespace, name, "status", patch, &WriteParams::default()).await
    }

    /// Changes an object or a part of it.
    pub async fn patch_with(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: Patch,
        params: &WriteParams,
    ) -> Result<T, Error> {
        let at = self.resource.at(namespace, name, subresource);
        unpack(send_patch(&self.client, at, patch, params).await?)
    }

    /// Deletes an object. True: it is gone; false: finalizers or a grace period hold it.
    pub async fn delete(&self, namespace: &str, name: &str, params: &DeleteParams) -> Result<bool, Error> {
        let at = self.resource.at(namespace, name, "");
        let mut resources = self.client.resources();
        let request = DeleteRequest { r#ref: Some(at), options: params.options() };
        Ok(self.client.once(resources.delete(request)).await?.deleted)
    }

    /// Deletes what the list would give; says how many.
    pub async fn delete_collection(&self, which: &ListParams, params: &DeleteParams) -> Result<i64, Error> {
        delete_collection(&self.client, &self.resource, which, params).await
    }

    /// Creates a subresource: `binding`, `eviction`, `token`. The answer is what the server gives, often a Status.
    pub async fn create_subresource<B: Kind>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &B,
    ) -> Result<Any, Error> {
        let request = CreateRequest {
            r#ref: Some(self.resource.at(namespace, name, subresource)),
            object: Some(proto::any::pack(body)),
            options: WriteParams::default().options(),
        };
        let mut resources = self.client.resources();
        let answer = self.client.once(resources.create(request)).await?;
        answer.object.ok_or(Error::Incomplete("object"))
    }

    /// Reads a subresource, such as `scale`.
    pub async fn get_subresource<R: Object>(&self, namespace: &str, name: &str, subresource: &str) -> Result<R, Error> {
        let at = self.resource.at(namespace, name, subresource);
        let mut resources = self.client.resources();
        let request = GetRequest { r#ref: Some(at), resource_version: String::new() };
        unpack(self.client.once(resources.get(request)).await?)
    }

    /// Replaces a subresource, such as `scale`.
    pub async fn update_subresource<R: Object>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &R,
    ) -> Result<R, Error> {
        let (any, resource_version) = pack(body);
        let request = UpdateRequest {
            r#ref: Some(self.resource.at(namespace, name, subresource)),
            object: Some(any),
            options: WriteParams::default().options(),
            resource_version,
        };
        let mut resources = self.client.resources();
        unpack(self.client.once(resources.update(request)).await?)
    }
}

/// An object's bytes without its version, and the version.
pub(crate) fn pack<T: Object>(object: &T) -> (Any, i64) {
    let version = object.metadata().resource_version.parse().unwrap_or(0);
    if object.metadata().resource_version.is_empty() {
        return (proto::any::pack(object), 0);
    }
    let mut bare = object.clone();
    bare.metadata_mut().resource_version.clear();
    (proto::any::pack(&bare), version)
}

/// An object with its version in its metadata.
pub(crate) fn unpack<T: Object>(answer: Answer) -> Result<T, Error> {
    for warning in &answer.warnings {
        tracing::warn!("the API server warns: {warning}");
    }
    let any = answer.object.ok_or(Error::Incomplete("object"))?;
    let mut object: T = proto::any::unpack(&any)?;
    if answer.resource_version != 0 {
        object.metadata_mut().resource_version = answer.resource_version.to_string();
    }
    Ok(object)
}

/// Streams a list into `take`; the answer's items stay empty.
pub(crate) async fn list<T>(
    client: &Client,
    resource: &Resource,
    params: &ListParams,
    mut take: impl FnMut(Answer) -> Result<(), Error>,
) -> Result<List<T>, Error> {
    let request = ListRequest {
        r#ref: Some(resource.at(&params.namespace, "", "")),
        selectors: params.selectors(),
        limit: params.limit,
        r#continue: params.continue_token.clone(),
        resource_version: params.resource_version.clone(),
        resource_version_match: String::new(),
    };
    let mut resources = client.resources();
    let mut chunks = client.once(resources.list(request)).await?;
    let mut list = List { resource_version: 0, items: Vec::new(), continue_token: String::new(), remaining: None };
    while let Some(chunk) = chunks.message().await.map_err(|status| client.error(&status))? {
        if list.resource_version == 0 {
            list.resource_version = chunk.resource_version;
        }
        if !chunk.r#continue.is_empty() {
            list.continue_token = chunk.r#continue;
        }
        list.remaining = chunk.remaining_item_count.or(list.remaining);
        for item in chunk.items {
            take(item)?;
        }
    }
    Ok(list)
}

/// Opens a watch.
pub(crate) async fn open_watch(
    client: &Client,
    resource: &Resource,
    params: &WatchParams,
) -> Result<tonic::Streaming<proto::keelson::api::v1::WatchChunk>, Error> {
    let request = WatchRequest {
        r#ref: Some(resource.at(&params.namespace, "", "")),
        selectors: Some(proto::keelson::api::v1::Selectors {
            labels: params.labels.clone(),
            fields: params.fields.clone(),
        }),
        resource_version: params.resource_version.clone(),
        allow_bookmarks: params.bookmarks,
        send_initial_events: params.send_initial_events,
        timeout_seconds: params.timeout_s,
    };
    let mut resources = client.resources();
    client.once(resources.watch(request)).await
}

pub(crate) async fn send_patch(
    client: &Client,
    at: proto::keelson::api::v1::ResourceRef,
    patch: Patch,
    params: &WriteParams,
) -> Result<Answer, Error> {
    let (kind, body, force) = patch.parts();
    let request =
        PatchRequest { r#ref: Some(at), r#type: kind.into(), patch: body.into(), options: params.options(), force };
    let mut resources = client.resources();
    client.once(resources.patch(request)).await
}

pub(crate) async fn delete_collection(
    client: &Client,
    resource: &Resource,
    which: &ListParams,
    params: &DeleteParams,
) -> Result<i64, Error> {
    let request = DeleteCollectionRequest {
        r#ref: Some(resource.at(&which.namespace, "", "")),
        selectors: which.selectors(),
        options: params.options(),
    };
    let mut resources = client.resources();
    Ok(client.once(resources.delete_collection(request)).await?.count)
}
