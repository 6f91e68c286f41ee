//! openraft's watch channel: those who wait are woken in the order in which they came.
//!
//! tokio's own spreads its waiters by chance, so that two streams of replication would begin in one order today and in
//! another tomorrow, and no simulated run could be had again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use openraft::rt::watch::{self, RecvError, SendError};
use openraft::{OptionalSend, OptionalSync};
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::sync::Notify;

/// The kind of channel.
pub struct Watch;

struct Channel<T> {
    value: RwLock<T>,
    /// Counts changes; is changed while `value` is locked.
    version: AtomicU64,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    changed: Notify,
}

/// The half that changes the value.
pub struct Sender<T>(Arc<Channel<T>>);

/// The half that waits for changes.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// The version that was seen.
    seen: u64,
}

impl<T> Channel<T> {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

impl<T> Receiver<T> {
    fn new(channel: Arc<Channel<T>>, seen: u64) -> Self {
        channel.receivers.fetch_add(1, Ordering::Relaxed);
        Self { channel, seen }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(self.channel.clone(), self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.receivers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl watch::Watch for Watch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = RwLockReadGuard<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let channel = Arc::new(Channel {
            value: RwLock::new(init),
            version: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        (Sender(channel.clone()), Receiver::new(channel, 0))
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<Watch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.load(Ordering::Acquire) == 0 {
            return Err(SendError(value));
        }
        self.send_if_modified(|current| {
            *current = value;
            true
        });
        Ok(())
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        let mut value = self.0.value.write();
        let modified = modify(&mut value);
        if modified {
            self.0.version.fetch_add(1, Ordering::Release);
        }
        drop(value);
        if modified {
            self.0.changed.notify_waiters();
        }
        modified
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.0.value.read()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver::new(self.0.clone(), self.0.version())
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<Watch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        let channel = self.channel.clone();
        loop {
            // In line before the look, so that no change comes between.
            let mut changed = std::pin::pin!(channel.changed.notified());
            changed.as_mut().enable();
            let version = channel.version();
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if channel.senders.load(Ordering::Acquire) == 0 {
                return Err(RecvError(()));
            }
            changed.await;
        }
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.channel.value.read()
    }

    fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        let value = self.channel.value.read();
        self.seen = self.channel.version();
        value
    }
}

#[cfg(test)]
mod tests {
    use openraft::rt::watch::{Watch as _, WatchReceiver, WatchSender};
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn changes_are_seen_once_and_ends_are_told() {
        let (tx, mut rx) = Watch::channel(1);
        let mut late = tx.subscribe();
        tx.send(2).unwrap();
        assert!(!tx.send_if_modified(|_| false));
        rx.changed().await.unwrap();
        assert_eq!(*rx.borrow_watched(), 2);
        assert_eq!(*late.borrow_and_update(), 2);
        tx.clone().send(3).unwrap();
        late.changed().await.unwrap();
        drop(tx);
        rx.changed().await.unwrap();
        assert!(rx.changed().await.is_err(), "the last change was seen");
        let (tx, rx) = Watch::channel(1);
        drop(rx);
        assert_eq!(tx.send(2), Err(SendError(2)));
        assert_eq!(*tx.borrow_watched(), 1);
    }

    #[tokio::test]
    async fn who_waits_is_woken_in_turn() {
        let (tx, rx) = Watch::channel(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|id| {
                let (mut rx, woken) = (rx.clone(), woken.clone());
                tokio::spawn(async move {
                    rx.changed().await.unwrap();
                    woken.lock().push(id);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        tx.send(1).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock(), (0..20).collect::<Vec<_>>());
    }
}
