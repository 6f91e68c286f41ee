//! Simple tokens: random words that stand for a user, in this member's memory, for a while after each use.
//!
//! Every member hears of a token through the log; none keeps them over a restart: the client asks for a new one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// etcd's.
const TTL_SECONDS: u64 = 300;
/// Tokens that ran out are looked for at most so often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What a command does to tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    Give {
        token: String,
        user: String,
    },
    /// The user's tokens are worth nothing any more.
    Forget(String),
    ForgetAll,
}

pub struct Tokens {
    held: Mutex<Held>,
    ttl_seconds: AtomicU64,
}

struct Held {
    by_token: BTreeMap<String, (String, Instant)>,
    swept: Instant,
}

impl Default for Tokens {
    fn default() -> Self {
        let held = Held { by_token: BTreeMap::new(), swept: Instant::now() };
        Self { held: Mutex::new(held), ttl_seconds: AtomicU64::new(TTL_SECONDS) }
    }
}

impl Tokens {
    /// For tokens that are given or used from now on.
    pub fn set_ttl(&self, seconds: u64) {
        self.ttl_seconds.store(seconds.max(1), Ordering::Relaxed);
    }

    fn deadline(&self, now: Instant) -> Instant {
        now + Duration::from_secs(self.ttl_seconds.load(Ordering::Relaxed))
    }

    pub fn take(&self, change: TokenChange) {
        let mut held = self.held.lock();
        match change {
            TokenChange::Give { token, user } => {
                let now = Instant::now();
                held.sweep(now);
                held.by_token.insert(token, (user, self.deadline(now)));
            }
            TokenChange::Forget(user) => held.by_token.retain(|_, (holder, _)| *holder != user),
            TokenChange::ForgetAll => held.by_token.clear(),
        }
    }

    /// Whose token it is; it lives on for its whole time.
    pub fn user(&self, token: &str) -> Option<String> {
        let now = Instant::now();
        let deadline = self.deadline(now);
        let mut held = self.held.lock();
        let (user, until) = held.by_token.get_mut(token).filter(|(_, until)| *until > now)?;
        *until = deadline;
        Some(user.clone())
    }
}

impl Held {
    fn sweep(&mut self, now: Instant) {
        if now - self.swept >= SWEEP_INTERVAL {
            self.by_token.retain(|_, (_, until)| *until > now);
            self.swept = now;
        }
    }
}

/// The index of the entry that gave the token: whoever knows it must have applied that.
pub fn index(token: &str) -> Option<u64> {
    token.rsplit_once('.')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(tokens: &Tokens, token: &str, user: &str) {
        tokens.take(TokenChange::Give { token: token.to_owned(), user: user.to_owned() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_lives_for_its_time_after_each_use() {
        let tokens = Tokens::default();
        tokens.set_ttl(10);
        give(&tokens, "a.1", "ann");
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(9)).await;
            assert_eq!(tokens.user("a.1").as_deref(), Some("ann"));
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(tokens.user("a.1"), None);
        give(&tokens, "b.2", "bob");
        assert_eq!(tokens.held.lock().by_token.len(), 1, "what ran out is forgotten");
    }

    #[tokio::test]
    async fn a_user_s_tokens_go_with_the_user() {
        let tokens = Tokens::default();
        give(&tokens, "a.1", "ann");
        give(&tokens, "b.2", "bob");
        tokens.take(TokenChange::Forget("ann".to_owned()));
        assert_eq!((tokens.user("a.1"), tokens.user("b.2").as_deref()), (None, Some("bob")));
        tokens.take(TokenChange::ForgetAll);
        assert_eq!(tokens.user("b.2"), None);
    }

    #[test]
    fn a_token_names_its_entry() {
        assert_eq!(index("kXyz.17"), Some(17));
        assert_eq!([index("kXyz"), index("kXyz."), index("a.-1"), index("")], [None; 4]);
    }
}
