//! What all sessions share: an end after idleness, and a client's time to read the last bytes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A session in which nothing moves ends, as a kubelet's `streamingConnectionIdleTimeout` has it.
pub const IDLE_MAX: Duration = Duration::from_secs(4 * 3600);
/// For a client to open the streams of a session, or the second one of a forwarded connection.
pub const STREAMS_TIMEOUT: Duration = Duration::from_secs(30);
/// For a client to read what is under way and to leave; a connection that is closed earlier is reset, its last bytes lost.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// When something moved last.
#[derive(Debug, Clone)]
pub struct Idle(Arc<Mutex<Instant>>);

impl Idle {
    /// Begins to count.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Something moved.
    pub fn touch(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Waits until nothing has moved for [`IDLE_MAX`].
    async fn expired(&self) {
        loop {
            let until = *self.0.lock() + IDLE_MAX;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Runs both directions of a session.
///
/// `reading` ends when the client is gone, `writing` with true once the client was sent everything. Then `reading` goes on,
/// throwing away what comes, until the client leaves.
pub async fn run(
    mut reading: impl Future<Output = ()> + Unpin,
    writing: impl Future<Output = bool> + Unpin,
    idle: &Idle,
) {
    let finished = tokio::select! {
        () = &mut reading => false,
        finished = writing => finished,
        () = idle.expired() => {
            tracing::debug!("a session ends in which nothing moved for {} s", IDLE_MAX.as_secs());
            false
        }
    };
    if finished {
        let _late = tokio::time::timeout(FINISH_TIMEOUT, reading).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_four_hours_after_the_last_movement() {
        let (idle, begin) = (Idle::new(), Instant::now());
        let moving = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            idle.touch();
            pending().await
        };
        run(Box::pin(moving), pending(), &idle).await;
        assert_eq!(begin.elapsed(), IDLE_MAX + Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_time_to_read_the_end_and_may_leave_before() {
        let begin = Instant::now();
        run(pending(), ready(true), &Idle::new()).await;
        assert_eq!(begin.elapsed(), FINISH_TIMEOUT);
        run(Box::pin(tokio::time::sleep(Duration::from_secs(1))), ready(true), &Idle::new()).await;
        assert_eq!(begin.elapsed(), FINISH_TIMEOUT + Duration::from_secs(1));
        run(pending(), ready(false), &Idle::new()).await;
        assert_eq!(begin.elapsed(), FINISH_TIMEOUT + Duration::from_secs(1), "the client is gone");
    }
}
