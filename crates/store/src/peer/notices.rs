//! What is said in the log of other members: each thing at most once a minute, however often it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Notices(Mutex<BTreeMap<i32, Instant>>);

impl Notices {
    /// Whether it is to be said now; `what` tells things apart.
    pub fn is_due(&self, what: i32) -> bool {
        let now = Instant::now();
        let mut said = self.0.lock();
        if said.get(&what).is_some_and(|before| now - *before < INTERVAL) {
            return false;
        }
        said.insert(what, now);
        true
    }

    /// It is over; whether anything was said of it.
    pub fn is_over(&self) -> bool {
        let mut said = self.0.lock();
        let any = !said.is_empty();
        said.clear();
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_thing_is_said_once_a_minute_until_it_is_over() {
        let notices = Notices::default();
        assert!(notices.is_due(1) && notices.is_due(2) && !notices.is_due(1));
        tokio::time::advance(INTERVAL).await;
        assert!(notices.is_due(1) && !notices.is_due(1));
        assert!(notices.is_over() && !notices.is_over());
        assert!(notices.is_due(1), "when it happens again");
    }
}
