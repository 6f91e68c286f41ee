//! The audit log: who asked for what, and what came of it, as events of `audit.k8s.io/v1`.
//!
//! [`policy`] says how much is told of a request, [`event`] how it is told, [`tell`] when it ends, [`log`] writes it. A request carries a [`Draft`] from
//! the moment at which its caller is known; each stage that the policy does not omit is one line of JSON.

pub mod event;
pub mod log;
pub mod policy;
pub mod tell;

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use crate::authenticate::User;
use crate::authorize::Attributes;
pub use event::Draft;
use log::Log;
use policy::{Level, Policy};

/// Flags.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--audit-policy-file`.
    pub policy: PathBuf,
    /// `--audit-log-path` and its kin.
    pub log: log::Settings,
}

/// The log, and what goes into it.
#[derive(Debug)]
pub struct Audit {
    policy: Policy,
    log: Log,
}

/// How a request came, before its caller is known.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Audit-ID.
    pub id: String,
    /// Path and query.
    pub uri: String,
    /// Where it came from: the last proxy last.
    pub source_ips: Vec<String>,
    /// User-Agent.
    pub agent: String,
    /// Who asked to be somebody else.
    pub impersonator: Option<User>,
}

impl Origin {
    /// What headers and the connection say.
    pub fn of(id: &str, uri: &str, headers: &HeaderMap, remote: Option<std::net::IpAddr>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let forwarded = text("x-forwarded-for").split(',').chain([text("x-real-ip")]).map(str::trim);
        let mut source_ips: Vec<String> =
            forwarded.filter(|text| text.parse::<std::net::IpAddr>().is_ok()).map(str::to_owned).collect();
        let remote = remote.map(|remote| remote.to_string());
        source_ips.extend(remote.filter(|remote| source_ips.last() != Some(remote)));
        Self {
            id: id.to_owned(),
            uri: uri.to_owned(),
            source_ips,
            agent: text("user-agent").to_owned(),
            impersonator: None,
        }
    }
}

impl Audit {
    /// Reads the policy and opens the log.
    pub fn load(settings: &Settings) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self { policy: Policy::load(&settings.policy)?, log: Log::open(settings.log.clone())? }))
    }

    /// Begins to tell of a request; `None` where the policy wants nothing of it.
    pub fn draft(self: &Arc<Self>, origin: Origin, user: &User, asked: &Attributes<'_>) -> Option<Draft> {
        let told = self.policy.of(user, asked);
        (told.level != Level::None).then(|| Draft::new(Arc::clone(self), told, origin, user, asked))
    }

    fn write(&self, event: &Value) {
        self.log.write(event.to_string());
    }
}
