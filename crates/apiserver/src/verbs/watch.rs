//! Watches: from a revision, or beginning with the current objects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Target;
use super::options::{filter, parse_version};
use crate::authenticate::User;
use crate::budget::Share;
use crate::fairness::Seat;
use crate::hold::SeatGuard;
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::watch_cache::{Entry, Start, Subscription};

const WAIT_TIMEOUT: Duration = Duration::from_secs(3);
/// A watch without a limit of its own ends after a random time between this and twice it.
const TIMEOUT_MIN: Duration = Duration::from_secs(1800);

/// What telling the objects that a watch begins with takes, beside the list of them.
const BEGINNING_BYTES: u64 = 512 << 10;

/// What to watch.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// As `kubectl -l` writes it.
    pub labels: String,
    /// As `kubectl --field-selector` writes it.
    pub fields: String,
    /// Events after this revision; empty or "0": begin with the current objects.
    pub resource_version: String,
    /// Tell now and then how far the watch is.
    pub bookmarks: bool,
    /// Begin with the current objects, then a bookmark that says so.
    pub initial_events: bool,
    /// End after so many seconds; 0: the server's choice.
    pub timeout_s: i64,
}

/// An established watch.
#[derive(Debug)]
pub struct Watching {
    /// Its events.
    pub subscription: Subscription,
    /// Whether a bookmark follows the initial objects.
    pub mark_initial_end: bool,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
    /// When it ends by itself.
    pub timeout: Duration,
    /// What it holds until the objects it begins with are told.
    pub beginning: Option<Beginning>,
}

/// What a watch holds while it begins.
#[derive(Debug)]
pub struct Beginning {
    _seat: SeatGuard,
    _share: Share,
}

impl Watching {
    /// Takes what it needs to tell the objects that it begins with. One that begins with none needs nothing, and leaves its
    /// seat to others.
    pub async fn begin(&mut self, server: &Server, user: &User, seat: &mut Option<Seat>, until: Instant) -> Result<()> {
        let len = self.subscription.initial.len();
        if len > 0
            && let Some(seat) = seat.take()
        {
            let bytes = BEGINNING_BYTES + (size_of::<Arc<Entry>>() * len) as u64;
            let share = server.answers.take(user, bytes, until).await?;
            self.beginning = Some(Beginning { _seat: SeatGuard::new(seat, until), _share: share });
        }
        Ok(())
    }
}

/// Begins a watch.
pub async fn watch(server: &Server, target: &Target, options: &WatchOptions) -> Result<Watching> {
    let cache = &target.resource.cache;
    let wanted = filter(&target.resource, &target.namespace, &target.name, &options.labels, &options.fields)?;
    // As upstream: a malformed version is answered without a reason.
    let version =
        parse_version(&options.resource_version).map_err(|failure| Failure::new(500, "", failure.0.message.clone()))?;
    let start = match version {
        Some(version) if version > 0 && !options.initial_events => Start::After(version),
        _ => Start::Current,
    };
    match version {
        Some(version) if start == Start::Current => {
            if !server.reach(&target.resource, version).await? {
                server.catch_up(&target.resource).await?;
            }
        }
        Some(_) => cache.wait_for(0, WAIT_TIMEOUT).await?,
        None => server.catch_up(&target.resource).await?,
    }
    let subscription = cache.subscribe(wanted, start, options.bookmarks)?;
    let timeout = match u64::try_from(options.timeout_s) {
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
        _ => TIMEOUT_MIN.mul_f64(rand::random_range(1.0..2.0)),
    };
    let bookmarks = options.bookmarks;
    let mark_initial_end = options.initial_events && bookmarks;
    Ok(Watching { subscription, mark_initial_end, bookmarks, timeout, beginning: None })
}
