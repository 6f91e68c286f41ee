//! The verbs of a resource that is known at run time only: for keelctl, garbage collection, namespace deletion.

use futures::Stream;
use prost::Message;
use prost_types::Any;
use proto::keelson::api::v1::{CreateRequest, DeleteRequest, GetRequest, Json, Object as Answer, UpdateRequest};
use proto::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::api::{self, List};
use crate::client::Client;
use crate::error::Error;
use crate::params::{DeleteParams, ListParams, Patch, WatchParams, WriteParams};
use crate::resource::Resource;
use crate::watch::{self, Event};

/// Full name of the message that carries JSON.
const JSON: &str = "keelson.api.v1.Json";

/// An object of any kind, as the server sent it.
#[derive(Clone, Debug)]
pub struct DynObject {
    /// Its version.
    pub resource_version: i64,
    /// Its bytes.
    pub any: Any,
    /// The server's warnings (answers to writes only).
    pub warnings: Vec<String>,
}

impl DynObject {
    fn from_answer(answer: Answer) -> Result<Self, Error> {
        let any = answer.object.ok_or(Error::Incomplete("object"))?;
        Ok(Self { resource_version: answer.resource_version, any, warnings: answer.warnings })
    }

    /// The object as a built-in kind, its version in its metadata; none for custom resources.
    pub fn typed(&self) -> Result<Option<Box<dyn proto::dynamic::DynObject>>, Error> {
        if proto::any::full_name(&self.any.type_url) == JSON {
            return Ok(None);
        }
        let mut object = proto::any::unpack_dyn(&self.any)?;
        if self.resource_version != 0 {
            object.metadata_mut().resource_version = self.resource_version.to_string();
        }
        Ok(Some(object))
    }

    /// The object's JSON with kind, apiVersion and its version.
    pub fn to_json(&self) -> Result<Value, Error> {
        if let Some(object) = self.typed()? {
            return Ok(serde_json::from_slice(&object.to_json()).unwrap_or_default());
        }
        let json = Json::decode(self.any.value.as_slice())
            .map_err(|source| proto::any::Error::Decode { name: JSON.to_owned(), source })?;
        let mut value: Value = serde_json::from_slice(&json.raw).map_err(|_| Error::Incomplete("JSON object"))?;
        if self.resource_version != 0 {
            value["metadata"]["resourceVersion"] = Value::String(self.resource_version.to_string());
        }
        Ok(value)
    }

    /// The object's metadata.
    pub fn metadata(&self) -> Result<ObjectMeta, Error> {
        if let Some(object) = self.typed()? {
            return Ok(object.metadata().clone());
        }
        let metadata = self.to_json()?.get("metadata").cloned().unwrap_or_default();
        proto::json::from_value(metadata).map_err(|_| Error::Incomplete("metadata"))
    }
}

/// A body as JSON, for the server to parse.
pub fn json_body(raw: impl Into<Vec<u8>>) -> Any {
    let raw: Vec<u8> = raw.into();
    proto::any::pack_bytes(JSON, Json { raw: raw.into() }.encode_to_vec())
}

/// The verbs of one resource. The namespace is `""` for cluster-scoped ones.
#[derive(Clone, Debug)]
pub struct DynApi {
    client: Client,
    resource: Resource,
}

impl DynApi {
    /// The verbs over a connection.
    pub fn new(client: Client, resource: Resource) -> Self {
        Self { client, resource }
    }

    /// How requests name the resource.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Reads one object, or its subresource.
    pub async fn get(&self, namespace: &str, name: &str, subresource: &str) -> Result<DynObject, Error> {
        let at = self.resource.at(namespace, name, subresource);
        let request = GetRequest { r#ref: Some(at), resource_version: String::new() };
        let mut resources = self.client.resources();
        DynObject::from_answer(self.client.once(resources.get(request)).await?)
    }

    /// Reads many objects.
    pub async fn list(&self, params: &ListParams) -> Result<List<DynObject>, Error> {
        let mut items = Vec::new();
        let list = api::list(&self.client, &self.resource, params, |answer| {
            items.push(DynObject::from_answer(answer)?);
            Ok(())
        })
        .await?;
        Ok(List { items, ..list })
    }

    /// Follows changes.
    pub async fn watch(
        &self,
        params: &WatchParams,
    ) -> Result<impl Stream<Item = Result<Event<DynObject>, Error>> + Send + use<>, Error> {
        let chunks = api::open_watch(&self.client, &self.resource, params).await?;
        Ok(watch::events(self.client.clone(), chunks, DynObject::from_answer))
    }

    /// Creates an object, or a subresource. `body`: [`json_body`] or a packed message.
    pub async fn create(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: Any,
        params: &WriteParams,
    ) -> Result<DynObject, Error> {
        let at = self.resource.at(namespace, name, subresource);
        let request = CreateRequest { r#ref: Some(at), object: Some(body), options: params.options() };
        let mut resources = self.client.resources();
        DynObject::from_answer(self.client.once(resources.create(request)).await?)
    }

    /// Replaces an object, or a subresource; `resource_version` 0: unconditionally (or as the body says).
    pub async fn update(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: Any,
        resource_version: i64,
        params: &WriteParams,
    ) -> Result<DynObject, Error> {
        let at = self.resource.at(namespace, name, subresource);
        let request =
            UpdateRequest { r#ref: Some(at), object: Some(body), options: params.options(), resource_version };
        let mut resources = self.client.resources();
        DynObject::from_answer(self.client.once(resources.update(request)).await?)
    }

    /// Changes an object, or a subresource.
    pub async fn patch(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: Patch,
        params: &WriteParams,
    ) -> Result<DynObject, Error> {
        let at = self.resource.at(namespace, name, subresource);
        DynObject::from_answer(api::send_patch(&self.client, at, patch, params).await?)
    }

    /// Deletes an object; gives it as it was, or as it is while something holds it, and whether it is gone.
    pub async fn delete_and_get(
        &self,
        namespace: &str,
        name: &str,
        params: &DeleteParams,
    ) -> Result<(Option<DynObject>, bool), Error> {
        let request = DeleteRequest { r#ref: Some(self.resource.at(namespace, name, "")), options: params.options() };
        let mut resources = self.client.resources();
        let answer = self.client.once(resources.delete(request)).await?;
        Ok((answer.object.map(DynObject::from_answer).transpose()?, answer.deleted))
    }

    /// Deletes an object. True: it is gone; false: finalizers or a grace period hold it.
    pub async fn delete(&self, namespace: &str, name: &str, params: &DeleteParams) -> Result<bool, Error> {
        let request = DeleteRequest { r#ref: Some(self.resource.at(namespace, name, "")), options: params.options() };
        let mut resources = self.client.resources();
        Ok(self.client.once(resources.delete(request)).await?.deleted)
    }

    /// Deletes what the list would give; says how many.
    pub async fn delete_collection(&self, which: &ListParams, params: &DeleteParams) -> Result<i64, Error> {
        api::delete_collection(&self.client, &self.resource, which, params).await
    }
}
