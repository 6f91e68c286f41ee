//! A worker's tasks. Each gives an outcome; one that panics gives the outcome that stands for its failure.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{AbortHandle, Id, JoinSet};

use super::Outcome;

/// What runs beside the worker.
#[derive(Default)]
pub(super) struct Tasks {
    set: JoinSet<Outcome>,
    otherwise: HashMap<Id, Outcome>,
}

impl Tasks {
    /// Begins `work`. `otherwise` is its outcome should it panic, so that nothing waits for it for ever.
    pub fn spawn(&mut self, otherwise: Outcome, work: impl Future<Output = Outcome> + Send + 'static) -> AbortHandle {
        let task = self.set.spawn(work);
        self.otherwise.insert(task.id(), otherwise);
        task
    }

    /// The next outcome; waits for ever where nothing runs. A task that was aborted has none.
    pub async fn next(&mut self) -> Outcome {
        loop {
            match self.set.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, outcome))) => {
                    self.otherwise.remove(&id);
                    return outcome;
                }
                Some(Err(error)) => {
                    let otherwise = self.otherwise.remove(&error.id());
                    if let (true, Some(outcome)) = (error.is_panic(), otherwise) {
                        tracing::error!(%error, ?outcome, "a task of a pod failed");
                        return outcome;
                    }
                }
            }
        }
    }

    /// Lets what runs go on without the worker.
    pub fn detach(&mut self) {
        self.set.detach_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Work;

    #[tokio::test]
    async fn a_task_that_panics_has_failed_and_one_that_is_aborted_is_forgotten() {
        let mut tasks = Tasks::default();
        let aborted = tasks.spawn(Outcome::WriterGone, std::future::pending());
        aborted.abort();
        tasks.spawn(Outcome::TryAgain(Work::Volumes), async { panic!("on purpose") });
        assert!(matches!(tasks.next().await, Outcome::TryAgain(Work::Volumes)));
        tasks.spawn(Outcome::WriterGone, async { Outcome::Done });
        assert!(matches!(tasks.next().await, Outcome::Done));
        assert!(tasks.otherwise.is_empty());
    }
}
