//! How each store endpoint is: whether it serves, and whether its progress notifications can be trusted.
//!
//! etcd before 3.4.31 and 3.5.13 may send a progress notification ahead of the events it covers; where any
//! endpoint is that old, consistent lists are read from the store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Store;

/// How often endpoints are looked at: one alone for its version, several for a member that does not serve.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_INTERVAL_OF_SEVERAL: Duration = Duration::from_secs(5);
/// Where none has answered: a store that starts together with this process answers a moment later, and until its version is
/// known consistent lists are read from it.
const PROBE_INTERVAL_UNANSWERED: Duration = Duration::from_millis(500);

/// A version as etcd writes it: `3.5.13`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `3.5.13`, with or without a pre-release suffix.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split(['-', '+']).next()?;
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some(Self(parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
    }

    /// True where a progress notification never overtakes the events it covers.
    pub fn progress_is_ordered(self) -> bool {
        match (self.0, self.1) {
            (3, 4) => self >= Self(3, 4, 31),
            _ => self >= Self(3, 5, 13),
        }
    }
}

impl Store {
    /// Looks at every endpoint: one that does not serve while another does is given up. Progress notifications are trusted
    /// where all that answer send them in order, and at least one answers; an endpoint that does not answer counts once
    /// it does, by the next probe. Says whether any has answered.
    pub async fn probe(&self) -> bool {
        let versions: Vec<String> = self.endpoints.look().await.into_iter().filter_map(|seen| seen.version).collect();
        let old = versions.iter().find(|text| !Version::parse(text).is_some_and(Version::progress_is_ordered));
        if let Some(version) = old {
            tracing::debug!(version, "store has no ordered progress: consistent lists read it");
        }
        self.trust_progress(!versions.is_empty() && old.is_none());
        !versions.is_empty()
    }

    /// How long to wait after a probe that was `answered` or not. A member that stands still is noticed by probes where
    /// nobody calls it.
    pub fn probe_interval(&self, answered: bool) -> Duration {
        match (answered, self.endpoints.count()) {
            (false, _) => PROBE_INTERVAL_UNANSWERED,
            (true, 1) => PROBE_INTERVAL,
            _ => PROBE_INTERVAL_OF_SEVERAL,
        }
    }

    /// Says whether progress notifications are trusted.
    pub(crate) fn trust_progress(&self, trusted: bool) {
        self.ordered_progress.store(trusted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, trusted: bool) {
        assert_eq!(Version::parse(text).is_some_and(Version::progress_is_ordered), trusted, "{text}");
    }

    #[test]
    fn only_versions_with_the_fix_are_trusted() {
        check("3.4.23", false);
        check("3.4.31", true);
        check("3.5.1", false);
        check("3.5.13", true);
        check("3.6.0-rc.1", true);
        check("2.3.8", false);
        check("banana", false);
    }
}
