//! Writes that a follower passes on together.

use std::sync::Arc;
use std::time::Duration;

use store::member::Member;
use store::refused::Refused;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::net::{all, contents, disks, put, simulate};

fn follower(members: &[Arc<Member>]) -> Arc<Member> {
    members.iter().find(|member| !member.is_leader()).expect("a follower").clone()
}

#[test]
fn writes_that_come_at_once_share_calls_and_each_is_done_once() {
    simulate(1, async |net| {
        let members = all(&net, &disks(3), 1).await;
        members[0].put(put("before".into(), "x".into())).await.expect("a write");
        let follower = follower(&members);
        net.forwarded.lock().unwrap().clear();
        let mut writes = JoinSet::new();
        for count in 0..600 {
            let follower = follower.clone();
            writes.spawn(async move { follower.put(put(format!("key{count:03}"), format!("{count}"))).await });
        }
        while let Some(written) = writes.join_next().await {
            written.unwrap().expect("a write");
        }
        let calls = std::mem::take(&mut *net.forwarded.lock().unwrap());
        assert_eq!(calls.iter().sum::<usize>(), 600, "each was sent once: {calls:?}");
        assert!(calls.len() <= 4 && calls.iter().all(|commands| *commands <= 512), "{calls:?}");
        for member in &members {
            let found: Vec<_> = contents(member).await.into_iter().filter(|kv| kv.0.starts_with(b"key")).collect();
            assert_eq!(found.len(), 600);
            for (count, (key, value, _, version)) in found.iter().enumerate() {
                assert_eq!((key, value), (&format!("key{count:03}").into(), &format!("{count}").into()));
                assert_eq!(*version, 1);
            }
            assert!(found.windows(2).all(|pair| pair[0].2 < pair[1].2), "in the order in which they came");
        }
    });
}

#[test]
fn what_waits_behind_a_leader_that_is_gone_goes_to_the_next_one() {
    for seed in 1..=5 {
        simulate(seed, async |net| {
            let members = all(&net, &disks(3), seed).await;
            members[0].put(put("before".into(), "x".into())).await.expect("a write");
            // Everybody has it, so that nothing more is on its way.
            sleep(Duration::from_secs(1)).await;
            let follower = follower(&members);
            let leader = follower.standing().leader.expect("a leader");
            let write = |key: &str| {
                let (follower, key) = (follower.clone(), key.to_owned());
                tokio::spawn(async move { follower.put(put(key, "x".into())).await })
            };
            // The log hears of nothing more from here on; two calls are under way to it.
            let (mut sent, mut waiting) = (Vec::new(), Vec::new());
            *net.slow.lock().unwrap() = 300;
            for key in ["sent1", "sent2"] {
                sent.push(write(key));
                sleep(Duration::from_millis(1)).await;
            }
            net.cut.lock().unwrap().insert(leader);
            *net.slow.lock().unwrap() = 0;
            for key in ["waits1", "waits2"] {
                waiting.push(write(key));
                sleep(Duration::from_millis(1)).await;
            }
            for sent in sent {
                assert_eq!(sent.await.unwrap(), Err(Refused::Timeout), "seed {seed}: nobody knows what became of it");
            }
            for waiting in waiting {
                waiting.await.unwrap().expect("another leader took it");
            }
            let found: Vec<_> = contents(&follower).await.into_iter().map(|kv| (kv.0, kv.3)).collect();
            for key in ["waits1", "waits2"] {
                assert!(found.contains(&(key.into(), 1)), "seed {seed}: {key} is there once: {found:?}");
            }
            assert!(!found.iter().any(|(key, _)| key.starts_with(b"sent")), "seed {seed}: {found:?}");
        });
    }
}
