//! Damage that is met while the member runs: whoever reads something that its checksum does not fit says so here.

use std::sync::Arc;

use tokio::sync::watch;

/// Shared by all that read; remembers the first damage.
#[derive(Clone)]
pub struct Rot {
    met: Arc<watch::Sender<Option<String>>>,
}

impl Default for Rot {
    fn default() -> Self {
        Self { met: Arc::new(watch::Sender::new(None)) }
    }
}

impl Rot {
    pub fn report(&self, what: &dyn std::error::Error) {
        self.met.send_if_modified(|met| {
            let first = met.is_none();
            if first {
                let error = crate::report(what);
                tracing::error!(
                    error,
                    "what was written is not what is read: the disk of --data-dir is not to be trusted"
                );
                *met = Some(error);
            }
            first
        });
    }

    /// What was met first.
    pub fn what(&self) -> Option<String> {
        self.met.borrow().clone()
    }

    /// Returns when damage is met.
    pub async fn met(&self) -> String {
        let mut met = self.met.subscribe();
        let what = met.wait_for(Option::is_some).await.ok().and_then(|what| what.clone());
        match what {
            Some(what) => what,
            None => std::future::pending().await,
        }
    }
}
