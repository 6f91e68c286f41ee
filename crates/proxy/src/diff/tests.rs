use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::fake::FakeKernel;
use crate::ruleset::ruleset;
use crate::testing::{parse_script, settings};

fn rules(script: &str) -> Ruleset {
    let (services, endpoints) = parse_script(script);
    ruleset(&services, &endpoints, &settings())
}

#[track_caller]
fn check(before: &str, after: &str, steps: &[&str]) {
    let transaction = diff(&rules(before), &rules(after));
    let text: Vec<String> = transaction.iter().map(Op::to_string).collect();
    assert_eq!(text, steps);
}

const WEB: &str = "service a/web 10.96.0.1\nport - tcp 80\nendpoint a/web - tcp 10.244.0.2:80 node-1\n";

#[test]
fn nothing_changed_means_no_step() {
    check(WEB, WEB, &[]);
}

#[test]
fn a_new_endpoint_touches_only_its_service() {
    let other = "service a/other 10.96.0.9\nport - tcp 80\nendpoint a/other - tcp 10.244.0.9:80 node-1\n";
    let more = "endpoint a/web - tcp 10.244.0.3:80 node-1\n";
    check(
        &format!("{WEB}{other}"),
        &format!("{WEB}{other}{more}"),
        &[
            "flush chain ip svc/a/web/tcp/",
            "add rule ip svc/a/web/tcp/: to 10.96.0.1 not from 10.244.0.0/16 masquerade",
            "add rule ip svc/a/web/tcp/: tcp dnat one of 10.244.0.2:80, 10.244.0.3:80",
            "add element ip hairpin-connections 10.244.0.3",
        ],
    );
}

#[test]
fn the_last_endpoint_gone_turns_the_element_into_a_rejection() {
    check(
        WEB,
        "service a/web 10.96.0.1\nport - tcp 80\n",
        &[
            "flush chain ip svc/a/web/tcp/",
            "delete element ip service-ips 10.96.0.1 . tcp . 80",
            "add element ip no-endpoint-services 10.96.0.1 . tcp . 80 : goto reject",
            "delete element ip hairpin-connections 10.244.0.2",
            "delete chain ip svc/a/web/tcp/",
        ],
    );
}

#[test]
fn an_address_claimed_twice_goes_to_the_next_when_the_first_leaves() {
    let two = "service a/one 10.96.0.1 external-ip=192.0.2.1\nport - tcp 80\nendpoint a/one - tcp 10.244.0.2:80 node-1\n\
               service a/two 10.96.0.2 external-ip=192.0.2.1\nport - tcp 80\nendpoint a/two - tcp 10.244.0.3:80 node-1\n";
    let one = two.split_once("service a/two").unwrap().1;
    let kernel = FakeKernel::default();
    kernel.apply_now(&rules(two).build()).unwrap();
    assert!(kernel.dump().contains("192.0.2.1 . tcp . 80 : goto ext/a/one/tcp/"));
    kernel.apply_now(&diff(&rules(two), &rules(&format!("service a/two{one}")))).unwrap();
    assert!(kernel.dump().contains("192.0.2.1 . tcp . 80 : goto ext/a/two/tcp/"));
}

#[test]
fn a_restart_keeps_the_clients_that_a_set_remembers() {
    let sticky = "service a/web 10.96.0.1 affinity=60\nport - tcp 80\nendpoint a/web - tcp 10.244.0.2:80 node-1\n";
    let kernel = FakeKernel::default();
    kernel.apply_now(&rules(sticky).build()).unwrap();
    let steps = reconcile(&kernel.found(), &rules(sticky));
    assert!(!steps.iter().any(|step| matches!(step, Op::DeleteSet { .. } | Op::AddSet { .. } | Op::DeleteTable(_))));
    kernel.apply_now(&steps).unwrap();
}

/// A small cluster: up to four Services that share addresses, ports and endpoints.
fn cluster() -> impl Strategy<Value = String> {
    let service =
        (0..4u8, 0..3u8, 0..4u8, 0..4usize, 0..4u8).prop_map(|(ip, affinity, policy, endpoints, external)| {
            let mut text = format!("10.96.0.{}", ip + 1);
            match affinity {
                0 => {}
                seconds => text += &format!(" affinity={}", u32::from(seconds) * 10),
            }
            text += ["", " internal=Local", " external=Local", " internal=Local external=Local"][usize::from(policy)];
            text += ["", " node-port=80:30080", " external-ip=192.0.2.1", " lb=192.0.2.2 ranges=198.51.100.0/24"]
                [usize::from(external)];
            (text, endpoints)
        });
    proptest::collection::btree_map("[a-d]", (service, any::<bool>()), 0..4).prop_map(|all| {
        let mut text = String::new();
        for (name, ((service, endpoints), udp)) in all {
            let protocol = if udp { "udp" } else { "tcp" };
            text += &format!("service n/{name} {service}\nport p {protocol} 80\n");
            for index in 0..endpoints {
                let address: SocketAddr = ([10, 244, 0, u8::try_from(index).unwrap() + 1], 8080).into();
                text += &format!("endpoint n/{name} p {protocol} {address} node-{}\n", index % 2 + 1);
            }
        }
        text
    })
}

proptest! {
    #[test]
    fn replaying_differences_equals_building_anew(steps in proptest::collection::vec(cluster(), 1..5)) {
        let kernel = FakeKernel::default();
        let mut now = Ruleset::default();
        for step in &steps {
            let next = rules(step);
            kernel.apply_now(&diff(&now, &next)).unwrap();
            // Families never leave: the empty table of one that was used is kept.
            now = next;
        }
        let fresh = FakeKernel::default();
        fresh.apply_now(&now.build()).unwrap();
        prop_assert_eq!(kernel.dump(), fresh.dump());
    }

    #[test]
    fn reconciling_whatever_was_found_equals_building_anew(before in cluster(), after in cluster()) {
        let kernel = FakeKernel::default();
        kernel.apply_now(&rules(&before).build()).unwrap();
        kernel.apply_now(&reconcile(&kernel.found(), &rules(&after))).unwrap();
        let fresh = FakeKernel::default();
        fresh.apply_now(&rules(&after).build()).unwrap();
        prop_assert_eq!(kernel.dump(), fresh.dump());
    }
}
