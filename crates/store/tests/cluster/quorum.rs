//! A leader that a minority still hears: openraft lets it lead on, and its followers must know that this is worth nothing.

use std::sync::Arc;
use std::time::Duration;

use store::member::Member;
use tokio::time::{Instant, sleep};

use crate::net::{all, disks, put, simulate};

/// etcd's leaders step down after an election timeout without a quorum; here it may be two, and a heartbeat.
const NOTICED_WITHIN: Duration = Duration::from_millis(2 * 1000 + 500);

async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

#[test]
fn a_leader_that_has_lost_its_quorum_is_no_leader_to_its_last_followers() {
    for seed in 1..=5 {
        simulate(seed, async |net| {
            let members = all(&net, &disks(5), seed).await;
            members[0].put(put("before".into(), "x".into())).await.expect("a write");
            let led = members.iter().find(|member| member.is_leader()).expect("a leader").owner.member_id;
            let knows = |member: &Arc<Member>| member.reached_leader() == Some(led);
            until("everybody knows the leader", || members.iter().all(knows)).await;
            // Longer than a leader may be silent.
            sleep(Duration::from_secs(10)).await;
            assert!(members.iter().all(knows), "seed {seed}: while nothing happens, it is known");

            let follows = led % 5 + 1;
            net.cut.lock().unwrap().extend((1..=5).filter(|id| ![led, follows].contains(id)));
            let pair = [&members[led as usize - 1], &members[follows as usize - 1]];
            let took = until("both know", || pair.iter().all(|member| member.reached_leader().is_none())).await;
            assert!(took < NOTICED_WITHIN, "seed {seed}: noticed after {took:?}");
            sleep(Duration::from_secs(10)).await;
            assert_eq!(pair.map(|member| member.reached_leader()), [None; 2], "seed {seed}: it stays so");
            assert_eq!(pair[1].standing().leader, Some(led), "seed {seed}: it does hear it");

            net.cut.lock().unwrap().clear();
            until("there is a leader again", || {
                members
                    .iter()
                    .all(|member| member.reached_leader().is_some_and(|id| Some(id) == members[0].reached_leader()))
            })
            .await;
            pair[1].put(put("after".into(), "x".into())).await.expect("a write");
        });
    }
}
