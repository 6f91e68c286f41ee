//! Of two schedulers and two controller-managers one works; when it goes, the other does.

use std::time::Duration;

use proto::apps::v1::Deployment;
use proto::coordination::v1::Lease;
use proto::core::v1::Pod;
use test_control::{Cluster, eventually, eventually_or};

use crate::objects::*;

/// Short, so that a test can wait for the death of a leader.
const SHORT: [&str; 4] = [
    "--leader-elect=true",
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=1s",
];

async fn holder(admin: &client::Client, lease: &str, not: &str) -> String {
    eventually(&format!("another one leads than {not:?}"), async || {
        let lease = admin.api::<Lease>().get_opt("kube-system", lease).await.unwrap()?;
        lease.spec.holder_identity.filter(|holder| !holder.is_empty() && holder != not)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_controller_manager_goes_on_where_the_first_died() {
    let cluster = Cluster::start().await;
    let admin = cluster.client("admin");
    let first = cluster.controller_manager(&SHORT);
    let leader = holder(&admin, "kube-controller-manager", "").await;
    let second = cluster.controller_manager(&SHORT);
    admin.api().create(&deployment("d", 2)).await.unwrap();
    count::<Pod>(&admin, 2).await;
    first.die().await;
    let next = holder(&admin, "kube-controller-manager", &leader).await;
    // Work that only a leader does.
    delete::<Deployment>(&admin, "d", "Background").await;
    count::<Pod>(&admin, 0).await;

    // An orderly end hands over at once: the third need not wait for a lease of a minute.
    let third = cluster.controller_manager(&[SHORT[0], "--leader-elect-lease-duration=60s"]);
    second.stop().await;
    let begin = std::time::Instant::now();
    holder(&admin, "kube-controller-manager", &next).await;
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_scheduler_goes_on_where_the_first_died() {
    let cluster = Cluster::start().await;
    let admin = cluster.client("admin");
    let manager = cluster.controller_manager(&["--controllers=serviceaccount-controller"]);
    let first = cluster.scheduler(0, &SHORT);
    let leader = holder(&admin, "kube-scheduler", "").await;
    let second = cluster.scheduler(0, &SHORT);
    add_node(&admin, "n").await;
    let placed = async |name: &str| {
        eventually("there is an account", async || admin.api().create(&pod(name)).await.ok()).await;
        eventually_or(&format!("{name} is placed"), async || {
            let pod = admin.api::<Pod>().get(NS, name).await.unwrap();
            if pod.spec.node_name == "n" { Ok(()) } else { Err((pod.spec.node_name, pod.status.conditions)) }
        })
        .await;
    };
    placed("a").await;
    first.die().await;
    placed("b").await;
    assert_ne!(holder(&admin, "kube-scheduler", "").await, leader);
    second.stop().await;
    manager.stop().await;
}
