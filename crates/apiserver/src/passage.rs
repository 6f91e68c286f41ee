//! What a request carries with it on its way through a front door: until when it may take, where it belongs, what it holds.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;

use crate::audit::{Draft, Origin};
use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::budget::Share;
use crate::fairness::config::Flow;
use crate::fairness::{Seat, Work};
use crate::server::Server;
use crate::status::{Failure, Result};

const FLOW_SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// A request's passage. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Passage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    until: Instant,
    flow: OnceLock<Arc<Flow>>,
    held: Mutex<Held>,
    /// Only where the audit log is kept.
    origin: Mutex<Option<Origin>>,
    draft: Mutex<Option<Draft>>,
}

/// What an answer holds until it was sent.
#[derive(Debug, Default)]
pub struct Held {
    /// Seats.
    pub seat: Option<Seat>,
    /// What grows with the answer, or with what it is made from.
    pub content: Option<Share>,
    /// What the connection holds for it, though nobody reads.
    pub buffers: Option<Share>,
}

impl Held {
    /// True where there is nothing to hold.
    pub fn is_empty(&self) -> bool {
        self.seat.is_none() && self.content.is_none() && self.buffers.is_none()
    }
}

impl Passage {
    /// A request that may take until then.
    pub fn new(until: Instant) -> Self {
        Self(Arc::new(Inner {
            until,
            flow: OnceLock::new(),
            held: Mutex::default(),
            origin: Mutex::default(),
            draft: Mutex::default(),
        }))
    }

    /// One that may take so long from now.
    pub fn lasting(timeout: Duration) -> Self {
        Self::new(Instant::now() + timeout)
    }

    /// When it ends.
    pub fn until(&self) -> Instant {
        self.0.until
    }

    /// Tells the audit log where the request came from.
    pub fn came(&self, origin: Origin) {
        *self.0.origin.lock() = Some(origin);
    }

    /// Tells it who asks to be somebody else.
    pub fn impersonated_by(&self, user: User) {
        if let Some(origin) = &mut *self.0.origin.lock() {
            origin.impersonator = Some(user);
        }
    }

    /// Tells it what the request is; where nobody ever did, it is told at the end.
    pub fn note(&self, server: &Server, user: &User, asked: &Attributes<'_>) {
        if let Some(mut draft) = self.draft(server, user, asked) {
            let verdict = authorize::judge(server, user, asked);
            draft.judged(verdict.allowed, &verdict.reason());
            *self.0.draft.lock() = Some(draft);
        }
    }

    fn draft(&self, server: &Server, user: &User, asked: &Attributes<'_>) -> Option<Draft> {
        let audit = server.audit.as_ref()?;
        let draft = audit.draft(self.0.origin.lock().take()?, user, asked)?;
        draft.received();
        Some(draft)
    }

    /// Adds to what the audit log is told.
    pub fn add(&self, change: impl FnOnce(&mut Draft)) {
        if let Some(draft) = &mut *self.0.draft.lock() {
            change(draft);
        }
    }

    /// What the audit log is told of the request; nothing where the policy wants nothing.
    pub fn take_draft(&self, server: &Server, verb: &str, path: &str) -> Option<Draft> {
        let noted = self.0.draft.lock().take();
        // Else nobody came to know the caller, or to judge it.
        let unknown = Attributes { verb, path, ..Attributes::default() };
        noted.or_else(|| self.draft(server, &User::default(), &unknown))
    }

    /// Waits for seats.
    pub async fn enter(&self, server: &Server, user: &User, asked: &Attributes<'_>, work: Work<'_>) -> Result<Seat> {
        self.note(server, user, asked);
        let entered = server.fairness.enter(user, asked, self.0.until, work).await;
        let (flow, outcome) = match entered {
            Ok(seat) => (Arc::clone(&seat.flow), Ok(seat)),
            Err(refused) => (refused.flow, Err(refused.failure)),
        };
        _ = self.0.flow.set(flow);
        outcome
    }

    /// The answer holds this until it was sent.
    pub fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.0.held.lock());
    }

    /// What the answer holds.
    pub fn take_held(&self) -> Held {
        std::mem::take(&mut self.0.held.lock())
    }

    /// Tells where the request belonged.
    pub fn tell(&self, headers: &mut HeaderMap) {
        let Some(flow) = self.0.flow.get() else { return };
        if !flow.uid.is_empty() {
            headers.insert(FLOW_SCHEMA_UID, flow.uid.clone());
        }
        if !flow.level_uid.is_empty() {
            headers.insert(PRIORITY_LEVEL_UID, flow.level_uid.clone());
        }
    }

    /// Runs what must end by the deadline. `changes`: whether it is a write, whose end is then unknown.
    pub async fn in_time<T>(&self, changes: bool, run: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout_at(self.0.until.into(), run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(timed_out(changes)),
        }
    }
}

/// As upstream refuses what took too long.
pub fn timed_out(changes: bool) -> Failure {
    Failure::from(api::status::timeout(
        match changes {
            true => "request did not complete within requested timeout - context deadline exceeded",
            false => "request did not complete within the allotted timeout",
        },
        0,
    ))
}
