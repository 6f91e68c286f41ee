//! Which version each store endpoint is, and whether its progress notifications can be trusted.
//!
//! etcd before 3.4.31 and 3.5.13 may send a progress notification ahead of the events it covers; where any
//! endpoint is that old, consistent lists are read from the store.

use std::sync::atomic::Ordering;

use proto::etcdserverpb::StatusRequest;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;

use super::Store;

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
    /// Asks every endpoint for its version: progress notifications are trusted where all that answer send them in
    /// order, and at least one answers; an endpoint that does not answer counts once it does, by the next probe.
    pub async fn probe_versions(&self) {
        let mut answered = false;
        let mut ordered = true;
        for (server, channel) in self.endpoints.all() {
            match MaintenanceClient::new(channel).status(StatusRequest::default()).await {
                Ok(answer) => {
                    answered = true;
                    let text = answer.into_inner().version;
                    let trusted = Version::parse(&text).is_some_and(Version::progress_is_ordered);
                    if !trusted {
                        tracing::debug!(
                            server,
                            version = text,
                            "store has no ordered progress: consistent lists read it"
                        );
                    }
                    ordered &= trusted;
                }
                Err(status) => tracing::warn!(server, %status, "store endpoint does not tell its version"),
            }
        }
        self.trust_progress(answered && ordered);
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
