//! A kind of two versions: the second has a field more.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::crd::merge_crds;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The definition's name.
pub const DEFINITION: &str = "pages.kube-rs.example.com";

pub mod v1 {
    use super::*;

    /// What a page says, and how often it is kept.
    #[derive(CustomResource, Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
    #[kube(group = "kube-rs.example.com", version = "v1", kind = "Page", namespaced, status = "PageStatus")]
    #[kube(shortname = "pg", printcolumn(json_path = ".spec.text", name = "Text", type_ = "string"))]
    #[kube(scale(spec_replicas_path = ".spec.copies", status_replicas_path = ".status.copies"))]
    pub struct PageSpec {
        #[schemars(length(min = 1))]
        pub text: String,
        #[schemars(range(min = 1, max = 5))]
        #[serde(default = "one")]
        pub copies: i32,
    }
}

pub mod v2 {
    use super::*;

    /// What a page says, how often it is kept, and in which colour.
    #[derive(CustomResource, Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
    #[kube(group = "kube-rs.example.com", version = "v2", kind = "Page", namespaced, status = "PageStatus")]
    #[kube(shortname = "pg", printcolumn(json_path = ".spec.colour", name = "Colour", type_ = "string"))]
    #[kube(scale(spec_replicas_path = ".spec.copies", status_replicas_path = ".status.copies"))]
    pub struct PageSpec {
        #[schemars(length(min = 1))]
        pub text: String,
        #[schemars(range(min = 1, max = 5))]
        #[serde(default = "one")]
        pub copies: i32,
        #[serde(default)]
        pub colour: Colour,
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    #[default]
    Black,
    Blue,
}

/// What the controller made of a page.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageStatus {
    pub copies: i32,
    pub observed_generation: i64,
}

fn one() -> i32 {
    1
}

/// The definition as it was first.
pub fn first() -> CustomResourceDefinition {
    v1::Page::crd()
}

/// The definition after the upgrade: both versions are served, the second is stored.
pub fn second() -> anyhow::Result<CustomResourceDefinition> {
    Ok(merge_crds(vec![v1::Page::crd(), v2::Page::crd()], "v2")?)
}
