//! Scripts in `testdata/`: nodes and pods in, decisions out. `UPDATE_EXPECT=1` rewrites the expectations.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::preempt::Preemption;
use crate::simulate;
use crate::testing::{cluster, node, pod};

#[track_caller]
fn check(script: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(script);
    let text = std::fs::read_to_string(&path).unwrap();
    let (input, expect) = text.split_once("\n----\n").unwrap_or((&text, ""));
    let actual = simulate::run(input, 0).unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{input}\n----\n{actual}")).unwrap();
    } else {
        assert_eq!(expect, actual, "{script}: run with UPDATE_EXPECT=1 and review the difference");
    }
}

#[test]
fn resources_are_summed_and_never_overcommitted() {
    check("resources.txt");
}

#[test]
fn selectors_and_affinity_choose_nodes() {
    check("affinity.txt");
}

#[test]
fn taints_keep_pods_away_unless_tolerated() {
    check("taints.txt");
}

#[test]
fn host_ports_are_taken_once_a_node() {
    check("ports.txt");
}

#[test]
fn spread_keeps_the_skew() {
    check("spread.txt");
}

#[test]
fn pods_attract_and_repel_each_other() {
    check("pod-affinity.txt");
}

#[test]
fn no_node_at_all_is_said_so() {
    let snapshot = cluster(&[]);
    let decision = schedule(&snapshot, &pod("p", "1", "1Mi"), 0);
    assert_eq!(crate::message::unschedulable(&decision, &Preemption::Useless), "no nodes available to schedule pods");
}

#[test]
fn the_emptier_node_wins() {
    let mut snapshot = cluster(&[("a", "4", "8Gi"), ("b", "4", "8Gi")]);
    snapshot.place(Arc::new(PodInfo { node: "a".into(), ..pod("x", "2", "4Gi") }));
    assert_eq!(schedule(&snapshot, &pod("p", "1", "1Gi"), 7).node, snapshot.index("b"));
}

#[test]
fn siblings_are_kept_apart() {
    let mut snapshot = cluster(&[("a", "4", "8Gi"), ("b", "4", "8Gi"), ("c", "4", "8Gi")]);
    for index in 0..6 {
        let mut one = crate::testing::api_pod(&format!("p{index}"), "0", "0");
        let owner = proto::meta::v1::OwnerReference { uid: "rs".into(), controller: Some(true), ..Default::default() };
        one.metadata.owner_references = vec![owner];
        let one = PodInfo::from_api(&one);
        let node = snapshot.names[schedule(&snapshot, &one, index).node.unwrap()].to_string();
        snapshot.place(Arc::new(PodInfo { node, ..one }));
    }
    assert!(snapshot.pods.iter().all(|pods| pods.len() == 2));
}

#[test]
fn ties_are_broken_by_the_seed_alone() {
    let snapshot = cluster(&[("a", "4", "8Gi"), ("b", "4", "8Gi"), ("c", "4", "8Gi")]);
    let one = pod("p", "1", "1Gi");
    let chosen: std::collections::HashSet<_> = (0..50).map(|seed| schedule(&snapshot, &one, seed).node).collect();
    assert_eq!(chosen.len(), 3);
    assert_eq!(schedule(&snapshot, &one, 3), schedule(&snapshot, &one, 3));
}

proptest! {
    #[test]
    fn the_memory_never_changes_an_answer(
        nodes in proptest::collection::vec((1..8u8, 1..8u8), 1..6),
        pods in proptest::collection::vec((1..4u8, 1..4u8, any::<bool>(), any::<u64>()), 1..20),
    ) {
        let mut snapshot = Snapshot::default();
        for (index, (cpu, memory)) in nodes.iter().enumerate() {
            snapshot.set_node(&node(&format!("n{index}"), &cpu.to_string(), &format!("{memory}Gi")));
        }
        let mut memo = Memo::default();
        for (index, (cpu, memory, forget, seed)) in pods.iter().enumerate() {
            let one = pod(&format!("p{index}"), &cpu.to_string(), &format!("{memory}Gi"));
            let fresh = schedule(&snapshot, &one, *seed);
            match memo.choose(&snapshot, &one, *seed) {
                Choice::Node(ix) => prop_assert_eq!(Some(ix), fresh.node),
                Choice::Refused(decision) => prop_assert_eq!(&decision, &fresh),
            }
            if let Some(ix) = fresh.node {
                let node = snapshot.names[ix].to_string();
                snapshot.place(Arc::new(PodInfo { node, ..one }));
            }
            if *forget {
                snapshot.forget(&("default".into(), format!("p{}", index / 2)));
            }
            for ix in snapshot.nodes() {
                prop_assert!(snapshot.requested[ix].cpu_m <= snapshot.allocatable[ix].cpu_m);
                prop_assert!(snapshot.requested[ix].memory <= snapshot.allocatable[ix].memory);
            }
        }
    }
}
