//! The task that keeps the caches of all custom resources on one watch stream of the store.
//!
//! There may be thousands of custom resources, most of them idle: a stream, a task and buffers for each would cost more
//! than they hold. Caches are filled side by side; a broken stream resumes each from where it was, a compaction fills
//! that one anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::feed::{BOOKMARK_INTERVAL, Backoff, entries, take};
use crate::registry::Resource;
use crate::storage::watch::{Fed, ManyFed, ManyWatch};
use crate::storage::{StorageError, Store};

/// Caches that are filled at once.
const FILLS_MAX: usize = 8;

/// What is asked of the feed. Unbounded: there are as many as there are changes of definitions, and leaving cannot wait.
#[derive(Debug)]
enum Command {
    Follow(i64, Arc<Resource>),
    Leave(i64),
}

/// Asks for caches to be followed.
#[derive(Debug)]
pub struct Follower {
    commands: mpsc::UnboundedSender<Command>,
    next: AtomicI64,
    /// What every followed cache asks for progress by.
    pub progress_wanted: Arc<Notify>,
}

/// A cache that is followed until this is dropped.
#[derive(Debug)]
pub struct Followed {
    id: i64,
    commands: mpsc::UnboundedSender<Command>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        // A feed that has ended has closed every cache.
        _ = self.commands.send(Command::Leave(self.id));
    }
}

impl Follower {
    /// Follows the store for a resource's cache.
    pub fn follow(&self, resource: Arc<Resource>) -> Followed {
        // The store gives numbers of its own to those who ask with zero.
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        _ = self.commands.send(Command::Follow(id, resource));
        Followed { id, commands: self.commands.clone() }
    }
}

/// Feeds caches.
pub struct SharedFeed {
    store: Arc<Store>,
    commands: mpsc::UnboundedReceiver<Command>,
    progress_wanted: Arc<Notify>,
    stop: CancellationToken,
    members: BTreeMap<i64, Member>,
    /// Those that wait to be filled.
    waiting: VecDeque<i64>,
}

struct Member {
    resource: Arc<Resource>,
    is_filled: bool,
    begun: Option<Begun>,
}

/// A watch that the store has taken.
///
/// Progress is told to all watches of a stream at once, and what was computed before this one began does not cover it. It
/// is not beyond the revision at which the watch began; what is at that revision counts once every older question must
/// have been answered.
struct Begun {
    revision: i64,
    older_answers: u64,
}

impl Begun {
    /// Whether this progress covers the watch.
    fn is_covered(&mut self, revision: i64) -> bool {
        if revision > self.revision {
            self.older_answers = 0;
        } else if self.older_answers > 0 {
            self.older_answers -= 1;
            return false;
        }
        true
    }
}

/// A cache's objects, as the store had them at a revision.
type Filled = (i64, Result<(Vec<super::Entry>, i64), StorageError>);

/// What happened to a session.
enum News {
    Stop,
    Command(Option<Command>),
    Filled(Filled),
    Fed(Result<ManyFed, StorageError>),
    ProgressWanted,
    Tick,
}

impl SharedFeed {
    /// A feed that follows nothing yet, and who asks it to.
    pub fn new(store: Arc<Store>, stop: CancellationToken) -> (Self, Follower) {
        let (sender, commands) = mpsc::unbounded_channel();
        let progress_wanted = Arc::new(Notify::new());
        let follower =
            Follower { commands: sender, next: AtomicI64::new(0), progress_wanted: Arc::clone(&progress_wanted) };
        (Self { store, commands, progress_wanted, stop, members: BTreeMap::new(), waiting: VecDeque::new() }, follower)
    }

    /// Runs until stopped.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        while let Err(error) = self.session(&mut backoff).await {
            tracing::warn!(
                error = %daemon::process::chain(&error),
                "the watch caches of custom resources lost the store, trying again"
            );
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = backoff.wait() => {}
            }
        }
        self.members.values().for_each(|member| member.resource.cache.close());
    }

    /// One stream, until it breaks. `Ok`: told to stop.
    async fn session(&mut self, backoff: &mut Backoff) -> Result<(), StorageError> {
        // Nothing is asked of the store before somebody defines something.
        while self.members.is_empty() {
            let command = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                command = self.commands.recv() => command,
            };
            let Some(command) = command else { return Ok(()) };
            self.obey(command, None).await;
        }
        let mut watch = self.store.watch_many().await?;
        self.waiting.clear();
        for (id, member) in &mut self.members {
            member.begun = None;
            match member.is_filled {
                true => watch.begin(*id, &member.resource.prefix, member.resource.cache.revision() + 1).await,
                false => self.waiting.push_back(*id),
            }
        }
        let mut fills: FuturesUnordered<BoxFuture<'static, Filled>> = FuturesUnordered::new();
        let mut ticks = tokio::time::interval(BOOKMARK_INTERVAL);
        loop {
            while fills.len() < FILLS_MAX
                && let Some(id) = self.waiting.pop_front()
            {
                fills.extend(self.fill(id));
            }
            let news = tokio::select! {
                () = self.stop.cancelled() => News::Stop,
                command = self.commands.recv() => News::Command(command),
                Some(filled) = fills.next() => News::Filled(filled),
                fed = watch.next() => News::Fed(fed),
                () = self.progress_wanted.notified() => News::ProgressWanted,
                _ = ticks.tick() => News::Tick,
            };
            match news {
                News::Stop | News::Command(None) => return Ok(()),
                News::Command(Some(command)) => self.obey(command, Some(&mut watch)).await,
                News::Filled((id, filled)) => self.filled(id, filled?, &mut watch).await,
                News::Fed(fed) => {
                    self.fed(fed?, watch.unanswered())?;
                    backoff.reset();
                }
                News::ProgressWanted => self.ask(&mut watch),
                News::Tick => {
                    self.members.values().for_each(|member| member.resource.cache.bookmark());
                    // So that the next bookmark of a quiet resource tells something new.
                    self.ask(&mut watch);
                }
            }
        }
    }

    fn ask(&self, watch: &mut ManyWatch) {
        if self.store.has_ordered_progress() {
            watch.ask_progress();
        }
    }

    async fn obey(&mut self, command: Command, watch: Option<&mut ManyWatch>) {
        match command {
            Command::Follow(id, resource) => {
                self.members.insert(id, Member { resource, is_filled: false, begun: None });
                self.waiting.push_back(id);
            }
            Command::Leave(id) => {
                if let Some(member) = self.members.remove(&id) {
                    member.resource.cache.close();
                }
                if let Some(watch) = watch {
                    watch.end(id).await;
                }
            }
        }
    }

    /// Reads a member's objects; none where it has left meanwhile.
    fn fill(&self, id: i64) -> Option<BoxFuture<'static, Filled>> {
        let resource = Arc::clone(&self.members.get(&id)?.resource);
        let store = Arc::clone(&self.store);
        Some(Box::pin(async move { (id, entries(&store, &resource).await) }))
    }

    async fn filled(&mut self, id: i64, (entries, revision): (Vec<super::Entry>, i64), watch: &mut ManyWatch) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.is_filled = true;
        member.resource.cache.replace(entries, revision);
        watch.begin(id, &member.resource.prefix, revision + 1).await;
    }

    fn fed(&mut self, fed: ManyFed, unanswered: u64) -> Result<(), StorageError> {
        match fed {
            ManyFed::One(id, fed) => {
                if let Some(member) = self.members.get(&id) {
                    take(&self.store, &member.resource, fed);
                }
            }
            ManyFed::Progress(revision) => {
                for member in self.members.values_mut() {
                    if member.begun.as_mut().is_some_and(|begun| begun.is_covered(revision)) {
                        take(&self.store, &member.resource, Fed::Progress(revision));
                    }
                }
            }
            ManyFed::Begun(id, revision) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.begun = Some(Begun { revision, older_answers: unanswered });
                }
            }
            ManyFed::Compacted(id, compacted) => {
                // It is filled anew. Its number is taken on this stream; the others resume on the next one.
                let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
                member.is_filled = false;
                return Err(StorageError::Compacted { requested: member.resource.cache.revision(), compacted });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_that_may_be_older_than_a_watch_does_not_cover_it() {
        let mut begun = Begun { revision: 10, older_answers: 2 };
        assert!(!begun.is_covered(9) && !begun.is_covered(10));
        // Every older question is answered by now.
        assert!(begun.is_covered(10));
        let mut begun = Begun { revision: 10, older_answers: 2 };
        // Computed later than the watch began, whatever was asked before.
        assert!(begun.is_covered(11) && begun.is_covered(11));
    }
}
