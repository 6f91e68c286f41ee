//! Named checks behind `/healthz`, `/livez`, `/readyz` and the gRPC health service.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a check speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The process works: counts for /livez, /readyz and /healthz.
    Live,
    /// The process can serve: counts for /readyz and /healthz.
    Ready,
}

/// Which question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`
    Health,
    /// `/livez`
    Live,
    /// `/readyz`
    Ready,
}

impl Probe {
    /// The path without its slash.
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "healthz",
            Self::Live => "livez",
            Self::Ready => "readyz",
        }
    }
}

type Run = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

#[derive(Clone)]
struct Check {
    name: String,
    scope: Scope,
    run: Run,
}

/// The checks of a process. Clones are the same checks.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<Vec<Check>>>,
}

/// One check's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The check's name.
    pub name: String,
    /// Why it failed.
    pub result: Result<(), String>,
}

impl Health {
    /// No checks but `ping`, which always succeeds.
    pub fn new() -> Self {
        let health = Self::default();
        health.add("ping", Scope::Live, || async { Ok(()) });
        health
    }

    /// Adds a check; one of the same name is replaced.
    pub fn add<F, Fut>(&self, name: impl Into<String>, scope: Scope, run: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let name = name.into();
        let mut checks = self.checks.write().unwrap_or_else(PoisonError::into_inner);
        checks.retain(|check| check.name != name);
        checks.push(Check { name, scope, run: Arc::new(move || run().boxed()) });
    }

    /// A check that its owner switches; it fails with `reason` until then.
    pub fn flag(&self, name: impl Into<String>, scope: Scope, reason: &str) -> Flag {
        let state = Arc::new(RwLock::new(Err(reason.to_owned())));
        let flag = Flag { state: state.clone() };
        self.add(name, scope, move || {
            let state = state.clone();
            async move { state.read().unwrap_or_else(PoisonError::into_inner).clone() }
        });
        flag
    }

    /// Runs the checks that count for `probe`, at once. `only` names a single one.
    pub async fn run(&self, probe: Probe, only: Option<&str>) -> Vec<Outcome> {
        let checks: Vec<Check> = {
            let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
            checks
                .iter()
                .filter(|check| probe != Probe::Live || check.scope == Scope::Live)
                .filter(|check| only.is_none_or(|name| check.name == name))
                .cloned()
                .collect()
        };
        join_all(checks.into_iter().map(|check| async move {
            let result = match tokio::time::timeout(CHECK_TIMEOUT, (check.run)()).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
            };
            Outcome { name: check.name, result }
        }))
        .await
    }

    /// Whether every check that counts for readiness succeeds.
    pub async fn is_ready(&self) -> bool {
        self.run(Probe::Ready, None).await.iter().all(|outcome| outcome.result.is_ok())
    }
}

/// A switch for one check.
#[derive(Clone, Debug)]
pub struct Flag {
    state: Arc<RwLock<Result<(), String>>>,
}

impl Flag {
    /// The check succeeds from now on.
    pub fn ok(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Ok(());
    }

    /// The check fails from now on.
    pub fn fail(&self, reason: impl Into<String>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Err(reason.into());
    }
}

/// The text of an answer, as upstream writes it. `reasons`: whether the caller may see why a check failed.
pub fn report(probe: Probe, outcomes: &[Outcome], excluded: &[String], verbose: bool, reasons: bool) -> (bool, String) {
    let passed = outcomes.iter().all(|outcome| outcome.result.is_ok() || excluded.contains(&outcome.name));
    if passed && !verbose {
        return (true, "ok".to_owned());
    }
    let mut text = String::new();
    for Outcome { name, result } in outcomes {
        text.push_str(&match result {
            _ if excluded.contains(name) => format!("[+]{name} excluded: ok\n"),
            Ok(()) => format!("[+]{name} ok\n"),
            Err(reason) if reasons => format!("[-]{name} failed: {reason}\n"),
            Err(_) => format!("[-]{name} failed: reason withheld\n"),
        });
    }
    text.push_str(&format!("{} check {}\n", probe.name(), if passed { "passed" } else { "failed" }));
    (passed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_waits_for_flags_and_liveness_does_not() {
        let health = Health::new();
        let flag = health.flag("informers", Scope::Ready, "not synced");
        assert!(!health.is_ready().await);
        assert_eq!(health.run(Probe::Live, None).await.len(), 1);
        flag.ok();
        assert!(health.is_ready().await);
        flag.fail("lost");
        assert!(!health.is_ready().await);
    }

    #[tokio::test(start_paused = true)]
    async fn stuck_check_fails() {
        let health = Health::new();
        health.add("stuck", Scope::Live, std::future::pending);
        let outcomes = health.run(Probe::Live, Some("stuck")).await;
        assert!(outcomes[0].result.as_ref().is_err_and(|reason| reason.contains("no answer")));
    }

    #[test]
    fn report_reads_as_upstreams() {
        let outcomes = [
            Outcome { name: "ping".into(), result: Ok(()) },
            Outcome { name: "etcd".into(), result: Err("down".into()) },
        ];
        let (passed, text) = report(Probe::Ready, &outcomes, &[], false, false);
        assert!(!passed);
        assert_eq!(text, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n");
        let (passed, text) = report(Probe::Ready, &outcomes, &["etcd".into()], false, false);
        assert!(passed);
        assert_eq!(text, "ok");
        assert_eq!(report(Probe::Live, &outcomes[..1], &[], true, true).1, "[+]ping ok\nlivez check passed\n");
    }
}
