//! A watcher sees every change, by a list and a watch or by a watch alone, and a reflector keeps what there is.

use std::collections::BTreeMap;
use std::pin::pin;

use anyhow::{Context, Result, bail, ensure};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

/// More than one page of the watcher's list.
const MAPS: usize = 7;
const PAGE: u32 = 3;

pub async fn run(client: Client, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let names: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, namespace);
    for index in 0..MAPS {
        maps.create(&PostParams::default(), &map(&format!("seen-{index}"))).await.context("creating a map")?;
    }
    lists_go_on_page_by_page(&maps).await?;
    let config = Config::default().labels("app=seen");
    changes_are_seen(&maps, watcher(maps.clone(), config.clone().page_size(PAGE)), "listed").await?;
    changes_are_seen(&maps, watcher(maps.clone(), config.clone().streaming_lists()), "streamed").await?;
    changes_are_seen(&maps, watcher(names, config.clone()), "named").await?;
    a_reflector_keeps_what_there_is(&maps, config).await
}

fn map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([("app".to_owned(), "seen".to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("a".to_owned(), "one".to_owned())])),
        ..ConfigMap::default()
    }
}

async fn lists_go_on_page_by_page(maps: &Api<ConfigMap>) -> Result<()> {
    let mut params = ListParams::default().labels("app=seen").limit(PAGE);
    let mut names = Vec::new();
    loop {
        let page = maps.list(&params).await?;
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let wanted: Vec<String> = (0..MAPS).map(|index| format!("seen-{index}")).collect();
    ensure!(names == wanted, "pages held {names:?}");
    Ok(())
}

/// Everything that is there comes first, then a creation, a change and a deletion, in their order.
async fn changes_are_seen<K: ResourceExt + std::fmt::Debug>(
    maps: &Api<ConfigMap>,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    name: &str,
) -> Result<()> {
    let mut events = pin!(events);
    let mut found = 0;
    loop {
        match next(&mut events).await? {
            Event::Init => {}
            Event::InitApply(_) => found += 1,
            Event::InitDone => break,
            other => bail!("{name}: {other:?} before all was listed"),
        }
    }
    ensure!(found == MAPS, "{name}: {found} objects at first");
    maps.create(&PostParams::default(), &map(name)).await?;
    let patch = json!({"metadata": {"labels": {"touched": name}}});
    maps.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    maps.delete(name, &DeleteParams::default()).await?;
    for touched in [None, Some(name)] {
        let Event::Apply(object) = next(&mut events).await? else { bail!("{name}: no change came") };
        ensure!(object.name_any() == name, "{name}: another object: {object:?}");
        ensure!(object.labels().get("touched").map(String::as_str) == touched, "{name}: {object:?}");
    }
    let Event::Delete(object) = next(&mut events).await? else { bail!("{name}: no deletion came") };
    ensure!(object.name_any() == name, "{name}: another object went: {object:?}");
    Ok(())
}

async fn next<K>(events: &mut (impl Stream<Item = watcher::Result<Event<K>>> + Unpin)) -> Result<Event<K>> {
    events.try_next().await?.context("the watch ended")
}

async fn a_reflector_keeps_what_there_is(maps: &Api<ConfigMap>, config: Config) -> Result<()> {
    let (store, writer) = reflector::store();
    let mut changes = pin!(reflector(writer, watcher(maps.clone(), config)).touched_objects());
    for _ in 0..MAPS {
        changes.try_next().await?.context("the watch ended")?;
    }
    let patch = json!({"data": {"a": "kept"}});
    maps.patch("seen-3", &PatchParams::default(), &Patch::Merge(patch)).await?;
    while let Some(change) = changes.next().await {
        if change?.data.and_then(|data| data.get("a").cloned()).as_deref() == Some("kept") {
            break;
        }
    }
    let place = ObjectRef::new("seen-3").within(maps.namespace().unwrap_or_default());
    let kept = store.get(&place).context("the store has no seen-3")?;
    ensure!(store.len() == MAPS, "the store holds {} objects", store.len());
    ensure!(kept.data.as_ref().is_some_and(|data| data["a"] == "kept"), "{kept:?}");
    Ok(())
}
