use proto::coordination::v1::Lease;
use proto::time::MicroTime;

use super::*;
use crate::sim::{self, Sim};

fn node(name: &str) -> Node {
    let mut node = sim::node(name);
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] {
        let status = if kind == "Ready" { "True" } else { "False" };
        node.status.conditions.push(NodeCondition { r#type: kind.into(), status: status.into(), ..Default::default() });
    }
    node
}

fn renew(sim: &mut Sim, name: &str, second: i64) {
    let mut lease = Lease::default();
    lease.metadata.namespace = LEASE_NAMESPACE.into();
    lease.metadata.name = name.into();
    lease.metadata.resource_version = (10_000 + second).to_string();
    lease.spec.renew_time = Some(MicroTime { seconds: second, nanos: 0 });
    sim.view.leases.put(lease);
}

/// Looks until nothing is written.
fn settle(sim: &mut Sim, name: &str) {
    for _ in 0..20 {
        sim.deliver_all();
        let plan = plan(&sim.view, &Key::new("", name), Time::from_unix(sim.now));
        if !sim.carry_out(plan) {
            return;
        }
    }
    panic!("never settles: {:?}", sim.get::<Node>(name).spec.taints);
}

fn taints(sim: &Sim, name: &str) -> Vec<String> {
    sim.get::<Node>(name).spec.taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn silent_node_is_marked_tainted_and_its_pods_unready() {
    let mut sim = Sim::new();
    sim.create(node("fine"));
    sim.create(node("a"));
    let mut pod = Pod::default();
    pod.metadata.namespace = "n".into();
    pod.metadata.name = "p".into();
    sim::ready(&mut pod, 0);
    pod.spec.node_name = "a".into();
    sim.create(pod);
    renew(&mut sim, "a", 1);
    settle(&mut sim, "a");
    pass(49).await;
    settle(&mut sim, "a");
    assert!(taints(&sim, "a").is_empty());
    pass(2).await;
    settle(&mut sim, "a");
    let marked = sim.get::<Node>("a");
    assert!(
        marked
            .status
            .conditions
            .iter()
            .all(|condition| { condition.status == "Unknown" && condition.reason == "NodeStatusUnknown" })
    );
    assert_eq!(taints(&sim, "a"), [format!("{UNREACHABLE}:NoSchedule"), format!("{UNREACHABLE}:NoExecute")]);
    assert!(!pods::is_ready(&sim.get::<Pod>("p")));
    let expect = [
        "RegisteredNode Node a event: Registered Node a in Controller",
        "NodeNotReady Node a status is now: NodeNotReady",
        "NodeNotReady Node is not ready",
    ];
    let of_a: Vec<_> = sim.events.iter().filter(|event| !event.contains("fine")).collect();
    assert_eq!(of_a, expect.iter().collect::<Vec<_>>());

    // The kubelet is back: its status says so, and the taints go.
    renew(&mut sim, "a", 2);
    sim.change::<Node>("a", |back| back.status = node("a").status);
    settle(&mut sim, "a");
    assert!(taints(&sim, "a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn renewals_keep_a_node_alive() {
    let mut sim = Sim::new();
    sim.create(node("a"));
    for second in 0..20 {
        renew(&mut sim, "a", second);
        settle(&mut sim, "a");
        pass(40).await;
    }
    assert_eq!(ready_status(&sim.get::<Node>("a")), "True");
}

#[tokio::test(start_paused = true)]
async fn node_that_never_reported_is_told_apart() {
    let mut sim = Sim::new();
    sim.create(sim::node("a"));
    settle(&mut sim, "a");
    pass(61).await;
    settle(&mut sim, "a");
    let reasons: Vec<_> = sim.get::<Node>("a").status.conditions.iter().map(|known| known.reason.clone()).collect();
    assert_eq!(reasons, ["NodeStatusNeverUpdated"; 4]);
}

#[tokio::test(start_paused = true)]
async fn nodes_are_emptied_one_after_the_other() {
    let mut sim = Sim::new();
    for name in ["a", "b", "c"] {
        sim.create(node(name));
        settle(&mut sim, name);
    }
    sim.create(node("fine"));
    for name in ["a", "b"] {
        sim.change::<Node>(name, |node| node.status.conditions[3].status = "False".into());
        settle(&mut sim, name);
    }
    let evicts = |sim: &Sim, name: &str| taints(sim, name).contains(&format!("{NOT_READY}:NoExecute"));
    assert!(evicts(&sim, "a") && !evicts(&sim, "b"));
    assert_eq!(taints(&sim, "b"), [format!("{NOT_READY}:NoSchedule")]);
    pass(11).await;
    settle(&mut sim, "b");
    assert!(evicts(&sim, "b"));
}

#[tokio::test(start_paused = true)]
async fn small_zone_that_is_mostly_silent_is_not_emptied() {
    let mut sim = Sim::new();
    for name in ["a", "b", "c", "d"] {
        let mut node = node(name);
        if name != "d" {
            node.status.conditions[3].status = "False".into();
        }
        sim.create(node);
    }
    settle(&mut sim, "a");
    assert_eq!(taints(&sim, "a"), [format!("{NOT_READY}:NoSchedule")]);
}

#[tokio::test(start_paused = true)]
async fn pressure_and_cordon_are_tainted_and_foreign_taints_stay() {
    let mut sim = Sim::new();
    let mut tainted = node("a");
    tainted.status.conditions[0].status = "True".into();
    tainted.spec.unschedulable = true;
    tainted.spec.taints.push(Taint { key: "mine".into(), effect: NO_EXECUTE.into(), ..Taint::default() });
    sim.create(tainted);
    settle(&mut sim, "a");
    let expect = [
        "mine:NoExecute",
        "node.kubernetes.io/memory-pressure:NoSchedule",
        "node.kubernetes.io/unschedulable:NoSchedule",
    ];
    assert_eq!(taints(&sim, "a"), expect);
}

fn fall_silent(sim: &mut Sim, name: &str) {
    sim.change::<Node>(name, |node| node.status.conditions[3].status = "Unknown".into());
    settle(sim, name);
}

#[tokio::test(start_paused = true)]
async fn silence_of_the_whole_cluster_evicts_nobody() {
    let mut sim = Sim::new();
    for (name, zone) in [("a", "x"), ("b", "y")] {
        let mut node = node(name);
        node.metadata.labels.insert("topology.kubernetes.io/zone".into(), zone.into());
        sim.create(node);
        settle(&mut sim, name);
    }
    let evicts = |sim: &Sim, name: &str| taints(sim, name).contains(&format!("{UNREACHABLE}:NoExecute"));
    fall_silent(&mut sim, "a");
    assert!(evicts(&sim, "a"), "one zone is lost, the other lives");
    fall_silent(&mut sim, "b");
    settle(&mut sim, "a");
    for name in ["a", "b"] {
        assert_eq!(taints(&sim, name), [format!("{UNREACHABLE}:NoSchedule")], "the fault is here");
    }
    pass(3600).await;
    settle(&mut sim, "a");
    assert!(!evicts(&sim, "a"));

    // One is heard again: the other gets the time of a turn to be heard, too.
    sim.change::<Node>("b", |node| {
        let ready = &mut node.status.conditions[3];
        (ready.status, ready.last_heartbeat_time) = ("True".into(), Time::from_unix(5));
    });
    settle(&mut sim, "b");
    settle(&mut sim, "a");
    assert!(!evicts(&sim, "a"));
    pass(11).await;
    settle(&mut sim, "a");
    assert!(evicts(&sim, "a"));
}

#[tokio::test(start_paused = true)]
async fn nodes_are_told_of_once_when_they_come_and_when_they_go() {
    let mut sim = Sim::new();
    sim.create(node("a"));
    settle(&mut sim, "a");
    settle(&mut sim, "a");
    sim.view.nodes.remove(sim.get::<Node>("a"));
    for _ in 0..2 {
        let plan = plan(&sim.view, &Key::new("", "a"), Time::from_unix(sim.now));
        sim.carry_out(plan);
    }
    let expect = [
        "RegisteredNode Node a event: Registered Node a in Controller",
        "RemovingNode Node a event: Removing Node a from Controller",
    ];
    assert_eq!(sim.events, expect);
}
