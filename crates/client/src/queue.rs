//! Keys that wait for work.
//!
//! Laws: a key waits at most once; a key that is being worked on is not given to a second worker, but comes again
//! afterwards when it was added meanwhile; a delayed key comes no earlier than its time; failures of a key lengthen its
//! pause until it is forgotten.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// First pause after a failure.
const RETRY_FIRST: Duration = Duration::from_millis(5);
/// Longest pause after failures.
const RETRY_MAX: Duration = Duration::from_secs(1000);

/// No clock goes far beyond: pauses may come from what users write.
const PAUSE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A queue; clones are the same one.
#[derive(Debug)]
pub struct WorkQueue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

#[derive(Debug)]
struct Shared<K> {
    state: Mutex<State<K>>,
    wake: Notify,
    retry_first: Duration,
    retry_max: Duration,
}

#[derive(Debug)]
struct State<K> {
    /// Ready, in order.
    ready: VecDeque<K>,
    /// Ready, or to come again once its worker is done.
    dirty: HashSet<K>,
    /// With a worker.
    working: HashSet<K>,
    /// By time; the number keeps equal times apart.
    delayed: BTreeMap<(Instant, u64), K>,
    /// Where a key stands in `delayed`.
    due: HashMap<K, (Instant, u64)>,
    failures: HashMap<K, u32>,
    serial: u64,
    closed: bool,
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// An empty queue with upstream's pauses (5 ms doubling to 1000 s).
    pub fn new() -> Self {
        Self::with_pauses(RETRY_FIRST, RETRY_MAX)
    }

    /// An empty queue; pauses after failures double from `first` to `max`.
    pub fn with_pauses(first: Duration, max: Duration) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            delayed: BTreeMap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            serial: 0,
            closed: false,
        };
        let shared = Shared { state: Mutex::new(state), wake: Notify::new(), retry_first: first, retry_max: max };
        Self { shared: Arc::new(shared) }
    }

    /// Look at the key soon.
    pub fn add(&self, key: K) {
        let mut state = self.lock();
        state.push(key);
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Look at the key after a while; the earliest such time counts.
    pub fn add_after(&self, key: K, pause: Duration) {
        if pause.is_zero() {
            return self.add(key);
        }
        let mut state = self.lock();
        state.delay(key, Instant::now() + pause.min(PAUSE_MAX));
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Look at the key after a pause that grows with its failures. Gives the pause.
    pub fn retry(&self, key: K) -> Duration {
        let mut state = self.lock();
        let failures = state.failures.entry(key.clone()).or_default();
        let factor = 2_u32.saturating_pow(*failures);
        *failures = failures.saturating_add(1);
        let pause = self.shared.retry_first.saturating_mul(factor).min(self.shared.retry_max);
        state.delay(key, Instant::now() + pause);
        drop(state);
        self.shared.wake.notify_one();
        pause
    }

    /// The key succeeded: its next failure has a short pause again.
    pub fn forget(&self, key: &K) {
        self.lock().failures.remove(key);
    }

    /// How often the key failed in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.lock().failures.get(key).copied().unwrap_or_default()
    }

    /// The next key; none once the queue is closed. The key stays exclusive until the guard is dropped.
    pub async fn next(&self) -> Option<Working<K>> {
        loop {
            let woken = self.shared.wake.notified();
            let sleep_until = {
                let mut state = self.lock();
                if state.closed {
                    drop(state);
                    self.shared.wake.notify_one();
                    return None;
                }
                state.collect_due(Instant::now());
                if let Some(key) = state.pop() {
                    let more = !state.ready.is_empty() || !state.delayed.is_empty();
                    drop(state);
                    if more {
                        self.shared.wake.notify_one();
                    }
                    return Some(Working { key, queue: self.clone() });
                }
                state.delayed.keys().next().map(|(at, _)| *at)
            };
            match sleep_until {
                Some(at) => tokio::select! {
                    () = woken => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => woken.await,
            }
        }
    }

    /// Gives no more keys.
    pub fn close(&self) {
        self.lock().closed = true;
        self.shared.wake.notify_one();
        self.shared.wake.notify_waiters();
    }

    /// Keys that are ready or delayed.
    pub fn len(&self) -> usize {
        let state = self.lock();
        state.ready.len() + state.delayed.len()
    }

    /// Nothing is ready or delayed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn done(&self, key: &K) {
        let mut state = self.lock();
        state.working.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.shared.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Default for WorkQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn push(&mut self, key: K) {
        if self.closed || !self.dirty.insert(key.clone()) {
            return;
        }
        if !self.working.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.dirty.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }

    fn delay(&mut self, key: K, at: Instant) {
        if self.closed {
            return;
        }
        if let Some(place) = self.due.get(&key).copied() {
            if place.0 <= at {
                return;
            }
            self.delayed.remove(&place);
        }
        self.serial += 1;
        self.due.insert(key.clone(), (at, self.serial));
        self.delayed.insert((at, self.serial), key);
    }

    fn collect_due(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let key = entry.remove();
            self.due.remove(&key);
            self.push(key);
        }
    }
}

/// A key with its worker. Dropping it lets the key be worked on again.
#[derive(Debug)]
pub struct Working<K: Clone + Eq + Hash> {
    key: K,
    queue: WorkQueue<K>,
}

impl<K: Clone + Eq + Hash> std::ops::Deref for Working<K> {
    type Target = K;
    fn deref(&self) -> &K {
        &self.key
    }
}

impl<K: Clone + Eq + Hash> Drop for Working<K> {
    fn drop(&mut self) {
        self.queue.done(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn ready(queue: &WorkQueue<u32>) -> Option<Working<u32>> {
        queue.next().now_or_never().flatten()
    }

    #[tokio::test]
    async fn key_waits_once_and_in_order() {
        let queue = WorkQueue::new();
        for key in [1, 2, 1, 3, 2] {
            queue.add(key);
        }
        let order: Vec<u32> = std::iter::from_fn(|| ready(&queue).map(|key| *key)).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[tokio::test]
    async fn key_at_work_comes_again_only_after_it_is_done() {
        let queue = WorkQueue::new();
        queue.add(1);
        let first = ready(&queue).expect("ready");
        queue.add(1);
        queue.add(1);
        assert!(ready(&queue).is_none());
        drop(first);
        let second = ready(&queue).expect("again");
        drop(second);
        assert!(ready(&queue).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_key_comes_at_its_earliest_time() {
        let queue = WorkQueue::new();
        let start = Instant::now();
        queue.add_after(1, Duration::from_secs(9));
        queue.add_after(1, Duration::from_secs(3));
        queue.add_after(1, Duration::from_secs(5));
        assert_eq!(*queue.next().await.expect("open"), 1);
        assert_eq!(start.elapsed().as_secs(), 3);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_lengthen_the_pause_until_forgotten() {
        let queue = WorkQueue::with_pauses(Duration::from_millis(10), Duration::from_millis(50));
        let pauses: Vec<_> = (0..5).map(|_| queue.retry(1).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 50, 50]);
        assert_eq!(queue.failures(&1), 5);
        queue.forget(&1);
        assert_eq!(queue.retry(1).as_millis(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn every_worker_is_woken_and_close_ends_all() {
        let queue = WorkQueue::new();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut done = 0;
                    while let Some(_key) = queue.next().await {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        tokio::task::yield_now().await;
        for key in 0..100 {
            queue.add(key);
        }
        queue.add_after(100, Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(2)).await;
        queue.close();
        let mut total = 0;
        for worker in workers {
            let done: u32 = worker.await.expect("ended");
            assert!(done > 10, "work is shared");
            total += done;
        }
        assert_eq!(total, 101);
    }
}
