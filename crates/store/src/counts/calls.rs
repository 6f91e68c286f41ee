//! gRPC calls, by method and code, under the names of Go's gRPC middleware.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// gRPC's codes.
const CODES: usize = 17;

/// One method.
#[derive(Debug, Default)]
pub struct Call {
    started: AtomicU64,
    handled: [AtomicU64; CODES],
}

impl Call {
    pub fn begin(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self, code: i32) {
        let at = usize::try_from(code).ok().filter(|at| *at < CODES).unwrap_or(2);
        self.handled[at].fetch_add(1, Ordering::Relaxed);
    }

    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Each code that there was, and how often.
    pub fn handled(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.handled.iter().map(|count| count.load(Ordering::Relaxed));
        counts.enumerate().filter(|(_, count)| *count > 0)
    }
}

/// A stream that is counted as answered when it ends.
pub struct Open(Arc<Call>);

impl Open {
    pub fn new(call: Arc<Call>) -> Self {
        call.begin();
        Self(call)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.end(0);
    }
}

/// By path: /SERVICE/METHOD.
#[derive(Debug, Default)]
pub struct Calls(Mutex<BTreeMap<String, Arc<Call>>>);

/// Paths that nobody serves are not remembered: they could be many.
const PATHS_MAX: usize = 256;

impl Calls {
    pub fn of(&self, path: &str) -> Arc<Call> {
        let mut calls = self.0.lock();
        if let Some(call) = calls.get(path) {
            return call.clone();
        }
        let call = Arc::new(Call::default());
        if calls.len() < PATHS_MAX {
            calls.insert(path.to_owned(), call.clone());
        }
        call
    }

    pub fn all(&self) -> Vec<(String, Arc<Call>)> {
        self.0.lock().iter().map(|(path, call)| (path.clone(), call.clone())).collect()
    }
}
