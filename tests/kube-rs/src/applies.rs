//! Server-side apply as kube-rs does it: owners, conflicts, force, what is no longer said, and subresources.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, ValidationDirective};
use kube::{Client, Error, ResourceExt};
use serde_json::{Value, json};

pub async fn run(client: Client, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    owners_are_kept(&maps).await?;
    unknown_fields_are_refused(&maps).await?;
    scale_is_applied(&Api::namespaced(client, namespace)).await
}

fn map(data: Value) -> Patch<Value> {
    Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": data}))
}

async fn owners_are_kept(maps: &Api<ConfigMap>) -> Result<()> {
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    maps.patch("owned", &one, &map(json!({"a": "one", "b": "one"}))).await?;
    let Err(Error::Api(refused)) = maps.patch("owned", &two, &map(json!({"a": "two"}))).await else {
        bail!("a field of another owner was taken");
    };
    ensure!(refused.code == 409 && refused.message.contains("conflict with \"one\""), "{refused:?}");
    let taken = maps.patch("owned", &two.clone().force(), &map(json!({"a": "two"}))).await?;
    let owners: BTreeSet<_> = taken.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
    ensure!(owners == BTreeSet::from(["one".to_owned(), "two".to_owned()]), "{owners:?}");
    // What one no longer says, and nobody else does, goes; what two says, stays.
    let left = maps.patch("owned", &one, &map(json!({}))).await?.data.unwrap_or_default();
    ensure!(left.len() == 1 && left["a"] == "two", "{left:?}");
    let dry = PatchParams { dry_run: true, ..two };
    let would_be = maps.patch("owned", &dry, &map(json!({"a": "three"}))).await?;
    ensure!(would_be.data.is_some_and(|data| data["a"] == "three"), "a dry run answers with what would be");
    let stays = maps.get("owned").await?.data.context("data")?;
    ensure!(stays["a"] == "two", "a dry run wrote {stays:?}");
    Ok(())
}

async fn unknown_fields_are_refused(maps: &Api<ConfigMap>) -> Result<()> {
    let strict = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"dat": {"a": "b"}}));
    let Err(Error::Api(refused)) = maps.patch("owned", &strict, &patch).await else {
        bail!("an unknown field was accepted");
    };
    ensure!(refused.message.contains("unknown field \"dat\""), "{refused:?}");
    Ok(())
}

async fn scale_is_applied(deployments: &Api<Deployment>) -> Result<()> {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "scaled"},
        "spec": {"selector": {"matchLabels": {"app": "scaled"}}, "template": {
            "metadata": {"labels": {"app": "scaled"}},
            "spec": {"containers": [{"name": "main", "image": "keelson.io/hello:1"}]},
        }, "replicas": 0},
    });
    deployments.patch("scaled", &PatchParams::apply("one"), &Patch::Apply(deployment)).await?;
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "scaled"}, "spec": {"replicas": 0}});
    let scale = deployments.patch_scale("scaled", &PatchParams::apply("two").force(), &Patch::Apply(scale)).await?;
    ensure!(
        scale.status.is_some_and(|status| status.selector.as_deref() == Some("app=scaled")),
        "a scale has a selector"
    );
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 3}});
    let status = deployments.patch_status("scaled", &PatchParams::default(), &Patch::Merge(status)).await?;
    ensure!(status.status.is_some(), "{status:?}");
    Ok(())
}
