//! A controller of a custom kind: it makes a ConfigMap of each page, tells so in the status, and holds a page that is being
//! deleted until it has noted that. The definition is upgraded while objects of it are there.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::{is_crd_established, is_deleted};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::wait::await_condition;
use kube::runtime::watcher;
use kube::{Client, Error, Resource, ResourceExt};
use serde_json::json;

use crate::page::{self, Colour, DEFINITION, PageStatus, v1, v2};

const FINALIZER: &str = "kube-rs.example.com/noted";
const MANAGER: &str = "kube-rs";
/// Where deletions are noted.
const NOTES: &str = "notes";
const PAUSE: Duration = Duration::from_millis(100);

pub async fn run(client: Client, namespace: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    define(&definitions, &page::first()).await?;
    let old: Api<v1::Page> = Api::namespaced(client.clone(), namespace);
    schemas_are_kept_to(&old).await?;
    old.create(&PostParams::default(), &v1::Page::new("first", v1::PageSpec { text: "one".into(), copies: 2 })).await?;
    controlled(client.clone(), namespace, reconciled_first(client.clone(), namespace)).await?;

    define(&definitions, &page::second()?).await?;
    let new: Api<v2::Page> = Api::namespaced(client.clone(), namespace);
    let second = v2::PageSpec { text: "two".into(), copies: 1, colour: Colour::Blue };
    upgraded(&old, &new, second).await?;
    controlled(client.clone(), namespace, deleted(client.clone(), namespace)).await?;

    let uid = definitions.get(DEFINITION).await?.uid().context("a uid")?;
    definitions.delete(DEFINITION, &DeleteParams::default()).await?;
    await_condition(definitions, DEFINITION, is_deleted(&uid)).await?;
    let Err(Error::Api(gone)) = new.list(&ListParams::default()).await else { bail!("a deleted kind is served") };
    ensure!(gone.code == 404, "{gone:?}");
    Ok(())
}

async fn define(definitions: &Api<CustomResourceDefinition>, definition: &CustomResourceDefinition) -> Result<()> {
    definitions.patch(DEFINITION, &PatchParams::apply(MANAGER).force(), &Patch::Apply(definition)).await?;
    await_condition(definitions.clone(), DEFINITION, is_crd_established()).await?;
    Ok(())
}

/// What the schema forbids is refused by the server, defaults are filled in by it.
async fn schemas_are_kept_to(pages: &Api<v1::Page>) -> Result<()> {
    // A kind is served a moment after it is established.
    until("the kind to be served", || async { Ok(pages.list(&ListParams::default()).await.is_ok()) }).await?;
    for (text, copies, field) in [("", 1, "spec.text"), ("many", 9, "spec.copies")] {
        let page = v1::Page::new("wrong", v1::PageSpec { text: text.into(), copies });
        let Err(Error::Api(refused)) = pages.create(&PostParams::default(), &page).await else {
            bail!("{field} was accepted");
        };
        ensure!(refused.code == 422 && refused.message.contains(field), "{refused:?}");
    }
    let plain = json!({"apiVersion": "kube-rs.example.com/v1", "kind": "Page", "metadata": {"name": "plain"},
        "spec": {"text": "plain"}});
    let plain = pages.patch("plain", &PatchParams::apply(MANAGER), &Patch::Apply(plain)).await?;
    ensure!(plain.spec.copies == 1, "{plain:?}");
    let uid = plain.uid().context("a uid")?;
    pages.delete("plain", &DeleteParams::default()).await?;
    await_condition(pages.clone(), "plain", is_deleted(&uid)).await?;
    Ok(())
}

struct Context {
    client: Client,
    namespace: String,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Api(#[from] Box<Error>),
    #[error(transparent)]
    Finalizer(#[from] Box<finalizer::Error<Error>>),
}

/// Runs the controller until `work` is done.
async fn controlled(client: Client, namespace: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let pages: Api<v1::Page> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let context = Arc::new(Context { client, namespace: namespace.to_owned() });
    let control = Controller::new(pages, watcher::Config::default())
        .owns(maps, watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(PAUSE), context)
        .for_each(|_| async {});
    tokio::select! {
        done = work => done,
        () = control => bail!("the controller ended"),
    }
}

async fn reconcile(page: Arc<v1::Page>, context: Arc<Context>) -> Result<Action, Trouble> {
    let pages: Api<v1::Page> = Api::namespaced(context.client.clone(), &context.namespace);
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
    let done = finalizer(&pages, FINALIZER, page, |event| async {
        match event {
            finalizer::Event::Apply(page) => keep(&pages, &maps, &page).await,
            finalizer::Event::Cleanup(page) => note(&maps, &page).await,
        }
    });
    done.await.map_err(|error| Trouble::Finalizer(Box::new(error)))
}

async fn keep(pages: &Api<v1::Page>, maps: &Api<ConfigMap>, page: &v1::Page) -> Result<Action, Error> {
    let name = page.name_any();
    let data: BTreeMap<String, &str> =
        (0..page.spec.copies).map(|copy| (format!("copy-{copy}"), page.spec.text.as_str())).collect();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": page.controller_owner_ref(&()).map(|owner| vec![owner])}, "data": data});
    maps.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(map)).await?;
    let status = PageStatus { copies: page.spec.copies, observed_generation: page.metadata.generation.unwrap_or(0) };
    pages.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
    Ok(Action::await_change())
}

async fn note(maps: &Api<ConfigMap>, page: &v1::Page) -> Result<Action, Error> {
    let notes = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NOTES}, "data": {page.name_any(): "deleted"}});
    let manager = format!("{MANAGER}-{}", page.name_any());
    maps.patch(NOTES, &PatchParams::apply(&manager), &Patch::Apply(notes)).await?;
    Ok(Action::await_change())
}

/// A page is kept, a change of it is followed, and what somebody spoilt is mended.
async fn reconciled_first(client: Client, namespace: &str) -> Result<()> {
    let pages: Api<v1::Page> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    kept(&maps, "first", &["one", "one"]).await?;
    let patch = Patch::Merge(json!({"spec": {"text": "changed", "copies": 3}}));
    pages.patch("first", &PatchParams::default(), &patch).await?;
    kept(&maps, "first", &["changed"; 3]).await?;
    maps.delete("first", &DeleteParams::default()).await?;
    kept(&maps, "first", &["changed"; 3]).await?;
    let scale = Patch::Merge(json!({"spec": {"replicas": 2}}));
    pages.patch_scale("first", &PatchParams::default(), &scale).await?;
    kept(&maps, "first", &["changed"; 2]).await?;
    until("the status", || async {
        let page = pages.get("first").await?;
        let generation = page.metadata.generation;
        Ok(page.status.is_some_and(|status| status.copies == 2 && Some(status.observed_generation) == generation))
    })
    .await
}

/// Both versions show all objects; what the second adds has its default, and stays when the first is written.
async fn upgraded(old: &Api<v1::Page>, new: &Api<v2::Page>, second: v2::PageSpec) -> Result<()> {
    until("the second version", || async { Ok(new.get("first").await.is_ok()) }).await?;
    let first = new.get("first").await?;
    ensure!(first.spec.colour == Colour::Black && first.spec.text == "changed", "{first:?}");
    ensure!(first.finalizers() == [FINALIZER], "{:?}", first.finalizers());
    new.create(&PostParams::default(), &v2::Page::new("second", second)).await?;
    let seen = old.get("second").await?;
    ensure!(seen.spec == v1::PageSpec { text: "two".into(), copies: 1 }, "{seen:?}");
    let wrong = Patch::Merge(json!({"spec": {"colour": "loud"}}));
    let Err(Error::Api(refused)) = new.patch("second", &PatchParams::default(), &wrong).await else {
        bail!("a colour that is not in the schema was accepted");
    };
    ensure!(refused.code == 422 && refused.message.contains("spec.colour"), "{refused:?}");
    ensure!(v1::Page::kind(&()) == v2::Page::kind(&()), "one kind");
    Ok(())
}

/// A page that is deleted is noted before it goes, and what was made of it goes after it.
async fn deleted(client: Client, namespace: &str) -> Result<()> {
    let pages: Api<v2::Page> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    kept(&maps, "second", &["two"]).await?;
    for name in ["first", "second"] {
        let uid = pages.get(name).await?.uid().context("a uid")?;
        pages.delete(name, &DeleteParams::default()).await?;
        await_condition(pages.clone(), name, is_deleted(&uid)).await?;
        let notes = maps.get(NOTES).await?.data.unwrap_or_default();
        ensure!(notes.get(name).map(String::as_str) == Some("deleted"), "{name} went without a note: {notes:?}");
        until("the page's map to go", || async { Ok(maps.get_opt(name).await?.is_none()) }).await?;
    }
    Ok(())
}

/// Waits until a map holds these copies.
async fn kept(maps: &Api<ConfigMap>, name: &str, copies: &[&str]) -> Result<()> {
    until(&format!("{name} to hold {copies:?}"), || async {
        let map = maps.get_opt(name).await?;
        let data = map.and_then(|map| map.data).unwrap_or_default();
        Ok(data.values().map(String::as_str).eq(copies.iter().copied()))
    })
    .await
}

async fn until<F: Future<Output = Result<bool>>>(what: &str, look: impl Fn() -> F) -> Result<()> {
    const LOOKS: u32 = 600;
    for _ in 0..LOOKS {
        if look().await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("waited in vain for {what}")
}
