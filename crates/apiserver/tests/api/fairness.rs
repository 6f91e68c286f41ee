//! Priority and fairness over both doors: the objects that every cluster has, seats, refusals, headers.

use client::{DeleteParams, Patch};
use proto::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use serde_json::json;

use crate::harness::{Cluster, Engine, until};
use crate::on_each_store;
use crate::raw::Caller;

on_each_store! {
    every_cluster_has_upstreams_objects_and_keeps_them
    a_schema_without_its_level_says_so
    requests_are_told_where_they_belong_and_refused_when_there_is_no_seat
}

fn dangling(schema: &FlowSchema) -> Option<(&str, &str)> {
    let condition = schema.status.conditions.iter().find(|condition| condition.r#type == "Dangling")?;
    Some((condition.status.as_str(), condition.reason.as_str()))
}

async fn every_cluster_has_upstreams_objects_and_keeps_them(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let (schemas, levels) = (admin.api::<FlowSchema>(), admin.api::<PriorityLevelConfiguration>());
    let names = [
        "catch-all",
        "exempt",
        "global-default",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-system-service-accounts",
        "probes",
        "service-accounts",
        "system-leader-election",
        "system-node-high",
        "system-nodes",
    ];
    for name in names {
        let told = || async {
            let schema = schemas.get_opt("", name).await.ok()??;
            (dangling(&schema)? == ("False", "Found")).then_some(())
        };
        until(name, told).await;
    }
    for name in [
        "catch-all",
        "exempt",
        "global-default",
        "leader-election",
        "node-high",
        "system",
        "workload-high",
        "workload-low",
    ] {
        levels.get("", name).await.expect(name);
    }
    schemas.delete("", "catch-all", &DeleteParams::default()).await.expect("deleted");
    until("what cannot be missing", || async { schemas.get("", "catch-all").await.ok() }).await;
    levels
        .patch("", "catch-all", Patch::merge(&json!({"spec": {"limited": {"nominalConcurrencyShares": 7}}})))
        .await
        .expect("changed");
    until("what must not differ", || async {
        let level = levels.get("", "catch-all").await.ok()?;
        (level.spec.limited?.nominal_concurrency_shares == Some(5)).then_some(())
    })
    .await;
    server.stop().await;
}

async fn a_schema_without_its_level_says_so(engine: Engine) {
    let cluster = Cluster::start(engine);
    let server = cluster.apiserver().await;
    let admin = cluster.client(&server, "admin");
    let (schemas, levels) = (admin.api::<FlowSchema>(), admin.api::<PriorityLevelConfiguration>());
    let mut schema = FlowSchema::default();
    schema.metadata.name = "lonely".into();
    schema.spec.priority_level_configuration.name = "later".into();
    schemas.create(&schema).await.expect("created");
    let says = |expect: (&'static str, &'static str)| {
        let schemas = &schemas;
        move || async move {
            let schema = schemas.get("", "lonely").await.ok()?;
            (dangling(&schema)? == expect).then_some(())
        }
    };
    until("the missing level", says(("True", "NotFound"))).await;
    let mut level = levels.get("", "global-default").await.expect("there");
    level.metadata = Default::default();
    level.metadata.name = "later".into();
    levels.create(&level).await.expect("created");
    until("the level", says(("False", "Found"))).await;
    server.stop().await;
}

async fn requests_are_told_where_they_belong_and_refused_when_there_is_no_seat(engine: Engine) {
    let cluster = Cluster::start(engine);
    let flags = ["--max-requests-inflight=20", "--max-mutating-requests-inflight=10", "--request-timeout=4s"];
    let server = cluster.apiserver_with(&flags).await;
    let admin = cluster.client(&server, "admin");
    let (schemas, levels) = (admin.api::<FlowSchema>(), admin.api::<PriorityLevelConfiguration>());
    let mut level = levels.get("", "catch-all").await.expect("there");
    level.metadata = Default::default();
    level.metadata.name = "closed".into();
    if let Some(limited) = &mut level.spec.limited {
        (limited.nominal_concurrency_shares, limited.borrowing_limit_percent) = (Some(0), Some(0));
    }
    let level = levels.create(&level).await.expect("created");
    let mut schema = schemas.get("", "global-default").await.expect("there");
    schema.metadata = Default::default();
    schema.metadata.name = "alices".into();
    schema.spec.priority_level_configuration.name = "closed".into();
    schema.spec.matching_precedence = 50;
    schema.spec.rules[0].subjects.clear();
    schema.spec.rules[0].subjects.push(proto::flowcontrol::v1::Subject {
        kind: "User".into(),
        user: Some(proto::flowcontrol::v1::UserSubject { name: "alice".into() }),
        ..Default::default()
    });
    let schema = schemas.create(&schema).await.expect("created");

    let alice = Caller::new(&cluster, server.address, "alice");
    let refused = until("the refusal", || async {
        let answer = alice.get("/api/v1/namespaces/default/configmaps").await;
        (answer.code == 429).then_some(answer)
    })
    .await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-kubernetes-pf-flowschema-uid"), Some(schema.metadata.uid.as_str()));
    assert_eq!(refused.header("x-kubernetes-pf-prioritylevel-uid"), Some(level.metadata.uid.as_str()));
    assert_eq!(refused.json()["reason"], "TooManyRequests");
    let exempt = schemas.get("", "exempt").await.expect("there");
    let administrator = Caller::new(&cluster, server.address, "admin");
    let answer = administrator.get("/api/v1/namespaces/default").await;
    assert_eq!(
        (answer.code, answer.header("x-kubernetes-pf-flowschema-uid")),
        (200, Some(exempt.metadata.uid.as_str()))
    );

    // The other door goes the same way.
    let refused = cluster.client(&server, "alice").api::<proto::core::v1::ConfigMap>().get("default", "a").await;
    let refused = refused.expect_err("no seat").to_string();
    assert!(refused.contains("too many requests"), "{refused}");

    let metrics = administrator.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body);
    for name in [
        "apiserver_flowcontrol_rejected_requests_total{",
        "apiserver_flowcontrol_dispatched_requests_total{",
        "apiserver_flowcontrol_nominal_limit_seats{",
        "apiserver_flowcontrol_current_limit_seats{",
        "apiserver_flowcontrol_current_executing_requests{",
        "apiserver_flowcontrol_request_wait_duration_seconds_bucket{",
    ] {
        assert!(text.contains(name), "{name} is missing");
    }
    let counted = text.lines().find(|line| line.starts_with("apiserver_flowcontrol_rejected_requests_total{"));
    assert!(counted.is_some_and(|line| line.contains("concurrency-limit") && line.contains("alices")), "{counted:?}");
    server.stop().await;
}
