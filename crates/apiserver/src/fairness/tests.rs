//! The whole path, with real waiting.

use std::time::Duration;

use super::*;

fn user(name: &str) -> User {
    User { name: name.into(), groups: vec!["system:authenticated".into()], ..User::default() }
}

fn get() -> Attributes<'static> {
    Attributes { verb: "get", resource: "pods", namespace: "n", ..Default::default() }
}

fn fairness(enabled: bool, seats: u32) -> Fairness {
    let request_timeout = Duration::from_secs(2);
    Fairness::new(Limits { enabled, reading: seats, writing: seats, request_timeout })
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn a_greedy_client_does_not_keep_others_out() {
    let fairness = Arc::new(fairness(true, 20));
    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let request = |name: &'static str| {
        let (fairness, order) = (Arc::clone(&fairness), Arc::clone(&order));
        tokio::spawn(async move {
            let seat = fairness.enter(&user(name), &get(), later(), Work::Small).await.expect("its turn comes");
            order.lock().push(name);
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(seat);
        })
    };
    let mut tasks: Vec<_> = (0..40).map(|_| request("greedy")).collect();
    tokio::task::yield_now().await;
    tasks.push(request("modest"));
    for task in tasks {
        task.await.expect("no panic");
    }
    let place = order.lock().iter().position(|name| *name == "modest");
    assert!(place.is_some_and(|place| place < 20), "who has less goes before the last of who has much: {place:?}");
}

#[tokio::test]
async fn administrators_are_held_up_by_nobody() {
    let fairness = fairness(true, 1);
    let masters = User { groups: vec!["system:masters".into()], ..user("root") };
    let (asked, mut seats) = (get(), Vec::new());
    for _ in 0..100 {
        seats.push(fairness.enter(&masters, &asked, later(), Work::Small).await.expect("it runs at once"));
    }
    assert_eq!(seats[0].flow.name, "exempt");
}

#[tokio::test]
async fn who_waits_too_long_is_told_when_to_come_again() {
    let fairness = fairness(true, 1);
    let alice = user("alice");
    let mut seats = Vec::new();
    let refused = loop {
        match fairness.enter(&alice, &get(), later(), Work::Small).await {
            Ok(seat) => seats.push(seat),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.failure.code(), refused.failure.reason()), (429, "TooManyRequests"));
    assert_eq!(refused.failure.0.details.map(|details| details.retry_after_seconds), Some(1));
    assert_eq!(refused.flow.name, "global-default");
}

#[tokio::test]
async fn without_fairness_requests_are_only_counted() {
    let fairness = fairness(false, 1);
    let alice = user("alice");
    let reads = fairness.enter(&alice, &get(), later(), Work::Small).await.expect("it runs");
    assert!(fairness.enter(&alice, &get(), later(), Work::Small).await.is_err());
    let write = Attributes { verb: "create", ..get() };
    assert!(fairness.enter(&alice, &write, later(), Work::Small).await.is_ok());
    drop(reads);
    assert!(fairness.enter(&alice, &get(), later(), Work::Small).await.is_ok());
}

#[tokio::test]
async fn a_deleted_level_lets_its_requests_end() {
    let fairness = fairness(true, 10);
    let seat = fairness.enter(&user("alice"), &get(), later(), Work::Small).await.expect("it runs");
    fairness.with_objects(|objects| {
        objects.levels.remove("global-default");
    });
    let next = fairness.enter(&user("alice"), &get(), later(), Work::Small).await.expect("it runs");
    assert_eq!((seat.flow.level.name.as_str(), next.flow.level.name.as_str()), ("global-default", "catch-all"));
    drop(seat);
}

/// Prints what a request costs that is not held up: `cargo test --release -p apiserver --lib fairness -- --nocapture`.
#[tokio::test]
async fn a_request_that_is_not_held_up_costs_little() {
    const TIMES: u32 = 100_000;
    let fairness = fairness(true, 600);
    let alice = user("alice");
    let (asked, until) = (get(), later());
    let begin = Instant::now();
    for _ in 0..TIMES {
        drop(fairness.enter(&alice, &asked, until, Work::Small).await);
    }
    let each = begin.elapsed() / TIMES;
    println!("a request passes fairness in {each:?}");
    let most = if cfg!(debug_assertions) { Duration::from_micros(200) } else { Duration::from_micros(2) };
    assert!(each < most, "{each:?}");
}
