//! The documents with one group version, one group, or the names of all of them.

use proto::Kind;
use proto::meta::v1::{
    ApiGroup, ApiGroupList, ApiResourceList, ApiVersions, GroupVersionForDiscovery, ServerAddressByClientCidr,
};

use super::catalog::{Catalog, split};
use super::form::Form;

/// A document in both of its forms.
pub struct Answer {
    kind: &'static str,
    /// Empty where upstream tells none.
    api_version: &'static str,
    json: Vec<u8>,
    protobuf: Vec<u8>,
}

impl Answer {
    pub fn of<T: Kind>(message: &T) -> Self {
        Self {
            kind: T::KIND,
            api_version: T::API_VERSION,
            json: proto::json::to_vec(message),
            protobuf: message.encode_to_vec(),
        }
    }

    /// Upstream's core group answers without apiVersion, as its oldest clients expect.
    fn without_version(mut self) -> Self {
        let version = format!("\"apiVersion\":\"{}\",", self.api_version);
        let text = String::from_utf8_lossy(&self.json).replacen(&version, "", 1);
        self.json = text.into_bytes();
        self.api_version = "";
        self
    }

    pub fn encode(self, form: Form) -> Vec<u8> {
        match form {
            Form::Json | Form::AggregatedJson => self.json,
            Form::Protobuf | Form::AggregatedProtobuf => {
                proto::envelope::encode_bytes(self.api_version, self.kind, self.protobuf)
            }
        }
    }
}

/// The document at a path without a slash at its end.
pub fn answer(catalog: &Catalog, path: &str, server_address: &str) -> Option<Answer> {
    if path == "/api" {
        return Some(Answer::of(&core_versions(catalog, server_address)).without_version());
    }
    if path == "/apis" {
        return Some(Answer::of(&groups(catalog)));
    }
    if let Some(version) = path.strip_prefix("/api/") {
        let list = catalog.list(version).filter(|_| !version.contains('/'))?;
        return Some(Answer::of(list).without_version());
    }
    let rest = path.strip_prefix("/apis/")?;
    if rest.contains('/') {
        return catalog.list(rest).map(Answer::of);
    }
    named_groups(catalog).find(|group| group.name == rest).map(|group| Answer::of(&group))
}

fn core_versions(catalog: &Catalog, server_address: &str) -> ApiVersions {
    let core = catalog.groups().filter(|(group, _)| group.is_empty());
    ApiVersions {
        versions: core.flat_map(|(_, lists)| lists).map(|list| list.group_version.clone()).collect(),
        server_address_by_client_cidrs: vec![ServerAddressByClientCidr {
            client_cidr: "0.0.0.0/0".to_owned(),
            server_address: server_address.to_owned(),
        }],
    }
}

fn groups(catalog: &Catalog) -> ApiGroupList {
    ApiGroupList { groups: named_groups(catalog).collect() }
}

fn named_groups(catalog: &Catalog) -> impl Iterator<Item = ApiGroup> {
    catalog.groups().filter(|(group, _)| !group.is_empty()).map(|(group, lists)| ApiGroup {
        name: group.to_owned(),
        versions: lists.iter().map(version).collect(),
        preferred_version: lists.first().map(version).unwrap_or_default(),
        ..Default::default()
    })
}

fn version(list: &ApiResourceList) -> GroupVersionForDiscovery {
    let (_, version) = split(&list.group_version);
    GroupVersionForDiscovery { group_version: list.group_version.clone(), version: version.to_owned() }
}
