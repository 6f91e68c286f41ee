//! Services follow their pods, in both forms.

use client::Patch;
use proto::core::v1::{Endpoints, Pod, Service, ServicePort};
use proto::discovery::v1::EndpointSlice;
use serde_json::json;
use test_control::{Cluster, eventually, eventually_or};

use crate::objects::*;

async fn set_ready(admin: &client::Client, name: &str, ip: &str, ready: bool) {
    let status = if ready { "True" } else { "False" };
    let status = json!({ "status": {
        "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
        "conditions": [{ "type": "Ready", "status": status }],
    } });
    admin.api::<Pod>().patch_status(NS, name, Patch::strategic(&status)).await.unwrap();
}

/// Ready and unready addresses, as the Endpoints have them and as the slices have them, once they agree with `expect`.
async fn are(admin: &client::Client, expect: (&[&str], &[&str])) {
    let expect = [expect.0, expect.1].map(|all| all.iter().map(|ip| (*ip).to_owned()).collect::<Vec<_>>());
    eventually_or(&format!("ready and unready are {expect:?}"), async || {
        let whole = admin.api::<Endpoints>().get_opt(NS, "web").await.unwrap().unwrap_or_default();
        let addresses = |which: fn(&proto::core::v1::EndpointSubset) -> &Vec<proto::core::v1::EndpointAddress>| {
            whole.subsets.iter().flat_map(|subset| which(subset).iter().map(|address| address.ip.clone())).collect()
        };
        let old: [Vec<String>; 2] =
            [addresses(|subset| &subset.addresses), addresses(|subset| &subset.not_ready_addresses)];
        let slices = list::<EndpointSlice>(admin).await;
        let ours = |slice: &&EndpointSlice| {
            slice.metadata.labels.get("kubernetes.io/service-name").is_some_and(|name| name == "web")
        };
        let mut new = [Vec::new(), Vec::new()];
        for endpoint in slices.iter().filter(ours).flat_map(|slice| &slice.endpoints) {
            new[usize::from(endpoint.conditions.ready != Some(true))].extend(endpoint.addresses.clone());
        }
        new.iter_mut().for_each(|all| all.sort());
        if old == expect && new == expect { Ok(()) } else { Err((old, new)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_and_slices_follow_readiness_and_deletion() {
    let cluster = Cluster::start().await;
    let (admin, manager) = (cluster.client("admin"), cluster.controller_manager(&[]));
    let mut service = Service::default();
    (service.metadata.namespace, service.metadata.name) = (NS.into(), "web".into());
    service.spec.selector = labels();
    service.spec.ports = vec![ServicePort { port: 80, ..ServicePort::default() }];
    admin.api().create(&service).await.unwrap();
    are(&admin, (&[], &[])).await;
    eventually("there is an account", async || admin.api().create(&pod("a")).await.ok()).await;
    admin.api().create(&pod("b")).await.unwrap();
    set_ready(&admin, "a", "10.244.0.1", true).await;
    set_ready(&admin, "b", "10.244.0.2", false).await;
    are(&admin, (&["10.244.0.1"], &["10.244.0.2"])).await;
    set_ready(&admin, "b", "10.244.0.2", true).await;
    are(&admin, (&["10.244.0.1", "10.244.0.2"], &[])).await;
    delete::<Pod>(&admin, "a", "").await;
    are(&admin, (&["10.244.0.2"], &[])).await;
    // What somebody breaks is mended.
    let empty = json!({ "subsets": null });
    admin.api::<Endpoints>().patch(NS, "web", Patch::merge(&empty)).await.unwrap();
    are(&admin, (&["10.244.0.2"], &[])).await;
    delete::<Service>(&admin, "web", "Background").await;
    is_gone::<Endpoints>(&admin, NS, "web").await;
    eventually("the slice is gone", async || list::<EndpointSlice>(&admin).await.len().eq(&1).then_some(())).await;
    manager.stop().await;
}
