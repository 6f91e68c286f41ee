//! A process of a simulation: everything that it spawns can be held (as by SIGSTOP) and killed (as by SIGKILL) at once.
//!
//! Production has no [`Process`]: there [`spawn`] is tokio's. In a simulation each member runs in one; what a task of it
//! spawns through [`spawn`] or openraft's runtime belongs to it as well.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};

thread_local! {
    static CURRENT: RefCell<Option<Process>> = const { RefCell::new(None) };
}

/// Handles kept before those of tasks that have ended are let go of.
const HANDLES_LEN_MIN: usize = 64;

#[derive(Clone, Default)]
pub struct Process {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    held: bool,
    killed: bool,
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

/// Spawns a task that belongs to the process of the one that spawns it, where there is one.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match CURRENT.with(|current| current.borrow().clone()) {
        Some(process) => process.spawn(future),
        None => tokio::spawn(future),
    }
}

impl Process {
    /// Spawns a task of this process. A killed process runs nothing: the task ends as cancelled.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(self.clone().run(future));
        let mut state = self.state.lock();
        if state.killed {
            handle.abort();
        }
        if state.tasks.len() >= HANDLES_LEN_MIN {
            state.tasks.retain(|task| !task.is_finished());
        }
        state.tasks.push(handle.abort_handle());
        drop(state);
        handle
    }

    async fn run<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|ctx| {
            if self.stands_still(ctx) {
                return Poll::Pending;
            }
            let outer = CURRENT.with(|current| current.replace(Some(self.clone())));
            let polled = future.as_mut().poll(ctx);
            CURRENT.with(|current| current.replace(outer));
            polled
        })
        .await
    }

    fn stands_still(&self, ctx: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        if state.held {
            state.waiting.push(ctx.waker().clone());
        }
        state.held || state.killed
    }

    /// Nothing of the process runs until [`Process::release`]; its timers run out meanwhile.
    pub fn hold(&self) {
        self.state.lock().held = true;
    }

    pub fn release(&self) {
        let mut state = self.state.lock();
        state.held = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends every task where it stands.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.killed = true;
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        tasks.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    async fn count(ticks: Arc<AtomicU32>) {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            ticks.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_process_spawns_is_held_and_killed_with_it() {
        let (ticks, process) = (Arc::new(AtomicU32::new(0)), Process::default());
        let counted = ticks.clone();
        process.spawn(async move { drop(spawn(count(counted))) }).await.expect("it ends");
        tokio::time::sleep(Duration::from_millis(101)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 10);
        process.hold();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 10, "held");
        process.release();
        tokio::time::sleep(Duration::from_millis(101)).await;
        assert!(ticks.load(Ordering::Relaxed) >= 19, "released");
        process.kill();
        let last = ticks.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), last, "killed");
        assert!(process.spawn(async {}).await.is_err(), "a killed process runs nothing");
    }
}
