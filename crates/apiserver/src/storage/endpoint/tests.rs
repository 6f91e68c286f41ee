use std::collections::VecDeque;

use parking_lot::Mutex;

use super::*;

fn endpoints(count: u16) -> Endpoints {
    let servers = (1..=count).map(|port| format!("http://127.0.0.1:{port}")).collect();
    Endpoints::new(&EndpointConfig { servers, identity: None }).expect("nothing is dialled yet")
}

/// What one attempt after the other comes to.
struct Script(Mutex<VecDeque<Result<u32, Status>>>);

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<u32, Status>>) -> Self {
        Self(Mutex::new(answers.into_iter().collect()))
    }

    async fn next(&self, _: Channel) -> Result<u32, Status> {
        self.0.lock().pop_front().expect("no more attempts than that")
    }
}

fn lost() -> Result<u32, Status> {
    Err(Status::unavailable("the connection broke"))
}

fn unsent() -> Result<u32, Status> {
    Err(Status::unavailable("etcdserver: no leader"))
}

#[tokio::test]
async fn a_write_whose_attempt_was_lost_is_uncertain() {
    for (first, uncertain) in [(lost(), true), (unsent(), false)] {
        let script = Script::new([first, Ok(1)]);
        let answered = endpoints(2).write_once("a write", 0, |channel| script.next(channel)).await.expect("an answer");
        assert_eq!((answered.answer, answered.uncertain), (1, uncertain));
    }
}

#[tokio::test]
async fn a_lost_write_stays_unknown_whatever_comes_after() {
    let refused = Err(Status::invalid_argument("no"));
    for script in [vec![lost(), refused], vec![lost(), unsent(), unsent(), unsent()]] {
        let script = Script::new(script);
        let error =
            endpoints(2).write_once("a write", 0, |channel| script.next(channel)).await.err().expect("no answer");
        assert!(matches!(error, StorageError::Unknown { .. }), "{error}");
        assert!(script.0.lock().is_empty(), "every attempt was made");
    }
}

#[tokio::test]
async fn a_write_that_cannot_be_repeated_is_tried_once() {
    let script = Script::new([lost()]);
    let error = endpoints(2).write("a write", 0, |channel| script.next(channel)).await.expect_err("lost");
    assert!(matches!(error, StorageError::Unknown { .. }), "{error}");
    let script = Script::new([unsent(), Ok(1)]);
    assert_eq!(endpoints(2).write("a write", 0, |channel| script.next(channel)).await.expect("an answer"), 1);
}

#[tokio::test]
async fn a_read_that_nobody_answers_did_not_happen() {
    let script = Script::new([lost(), lost(), lost(), lost()]);
    let error = endpoints(2).read("a read", 0, |channel| script.next(channel)).await.expect_err("nobody");
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn who_was_given_up_is_asked_last() {
    let endpoints = endpoints(3);
    endpoints.give_up(1);
    assert_eq!(endpoints.current().0, 0, "another one is in use");
    endpoints.failed(0);
    assert_eq!(endpoints.current().0, 2, "1 is passed over");
    endpoints.give_up(2);
    assert_eq!(endpoints.current().0, 0);
    endpoints.give_up(0);
    // Nobody is left: the next one, then.
    assert_eq!(endpoints.current().0, 1);
}

#[tokio::test]
async fn members_that_do_not_answer_are_given_up() {
    let endpoints = endpoints(2);
    let mut given_up = endpoints.given_up(0);
    let seen = endpoints.look().await;
    assert!(seen.iter().all(|seen| seen.look == Look::Silent && seen.version.is_none()), "{seen:?}");
    assert!(given_up.changed().await.is_ok(), "whoever watches it hears of it");
}
