//! Tasks that a daemon cannot do without.

use tokio::task::{JoinError, JoinSet};

/// Returns when one of the tasks panicked: without it (an informer, say) the daemon would decide by what was once true, so
/// whoever waits here ends the process. A task that ended by itself (a port, at shutdown) is none.
pub async fn failure(tasks: &mut JoinSet<()>) -> JoinError {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            return error;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_and_an_end_is_none() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async {});
        tasks.spawn(async { panic!("as it is tested") });
        assert!(failure(&mut tasks).await.is_panic());
        tasks.spawn(async {});
        tokio::select! {
            biased;
            error = failure(&mut tasks) => panic!("{error}"),
            // Past the end of the only task, and a turn more.
            () = async { for _ in 0..3 { tokio::task::yield_now().await } } => {}
        }
    }
}
