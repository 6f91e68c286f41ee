use std::sync::{Arc, Mutex};

use super::*;

/// One Lease, as atomic as the API server's, with a switch that makes it unreachable.
#[derive(Clone, Default)]
struct Kept {
    lease: Arc<Mutex<(i64, Option<Lease>)>>,
    away: Arc<Mutex<bool>>,
    /// How long answers to writes take.
    slow: Arc<Mutex<Duration>>,
}

fn refused(reason: &str, code: i32) -> Error {
    let status = proto::meta::v1::Status { reason: reason.into(), code, ..Default::default() };
    Error::Refused(Box::new(status))
}

impl Kept {
    fn check(&self) -> Result<(), Error> {
        if *self.away.lock().expect("lock") {
            return Err(Error::Unavailable { server: "fake".into(), reason: "away".into() });
        }
        Ok(())
    }
    fn holder(&self) -> String {
        let kept = self.lease.lock().expect("lock");
        kept.1.as_ref().and_then(|lease| lease.spec.holder_identity.clone()).unwrap_or_default()
    }
    fn write(&self, mut lease: Lease) -> Lease {
        let mut kept = self.lease.lock().expect("lock");
        kept.0 += 1;
        lease.metadata.resource_version = kept.0.to_string();
        kept.1 = Some(lease.clone());
        lease
    }
}

impl Leases for Kept {
    fn get(&self) -> BoxFuture<'_, Result<Option<Lease>, Error>> {
        Box::pin(async { self.check().map(|()| self.lease.lock().expect("lock").1.clone()) })
    }
    fn create(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, Error>> {
        Box::pin(async {
            self.check()?;
            if self.lease.lock().expect("lock").1.is_some() {
                return Err(refused("AlreadyExists", 409));
            }
            Ok(self.write(lease))
        })
    }
    fn update(&self, lease: Lease) -> BoxFuture<'_, Result<Lease, Error>> {
        Box::pin(async move {
            self.check()?;
            let version = self.lease.lock().expect("lock").0.to_string();
            if lease.metadata.resource_version != version {
                return Err(refused("Conflict", 409));
            }
            let written = self.write(lease);
            let slow = *self.slow.lock().expect("lock");
            tokio::time::sleep(slow).await;
            Ok(written)
        })
    }
}

fn candidate(kept: &Kept, name: &str) -> Elector {
    Elector::with_leases(Box::new(kept.clone()), Options::new("kube-system", "x", name))
}

#[tokio::test(start_paused = true)]
async fn second_candidate_waits_until_the_first_releases() {
    let kept = Kept::default();
    let (mut a, mut b) = (candidate(&kept, "a"), candidate(&kept, "b"));
    a.acquire().await;
    let waiting = tokio::time::timeout(Duration::from_secs(10), b.acquire()).await;
    assert!(waiting.is_err(), "a holds it");
    a.release().await;
    let start = Instant::now();
    b.acquire().await;
    assert!(start.elapsed() <= Duration::from_secs(3));
    assert_eq!(kept.holder(), "b");
    let lease = kept.lease.lock().expect("lock").1.clone().expect("a lease");
    assert_eq!(lease.spec.lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn dead_leader_is_replaced_after_its_lease_and_not_before() {
    let kept = Kept::default();
    let (mut a, mut b) = (candidate(&kept, "a"), candidate(&kept, "b"));
    a.acquire().await;
    let start = Instant::now();
    b.acquire().await;
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(15) && waited < Duration::from_secs(20), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn leader_that_cannot_renew_stops_before_another_may_begin() {
    let kept = Kept::default();
    let (mut a, mut b) = (candidate(&kept, "a"), candidate(&kept, "b"));
    a.acquire().await;
    let start = Instant::now();
    *kept.away.lock().expect("lock") = true;
    let lost = tokio::spawn(async move {
        a.hold().await;
        Instant::now()
    });
    tokio::time::sleep(Duration::from_secs(12)).await;
    *kept.away.lock().expect("lock") = false;
    b.acquire().await;
    let gained = Instant::now();
    let lost = lost.await.expect("ended");
    assert!(lost < gained);
    assert!(lost - start <= Duration::from_secs(12), "{:?}", lost - start);
}

/// The renewal is written at once, its answer takes seven seconds; then the server is away. Others count from the write.
#[tokio::test(start_paused = true)]
async fn slow_answer_does_not_lengthen_the_lead() {
    let kept = Kept::default();
    let mut a = candidate(&kept, "a");
    let start = Instant::now();
    a.acquire().await;
    *kept.slow.lock().expect("lock") = Duration::from_secs(7);
    let lost = tokio::spawn(async move {
        a.hold().await;
        Instant::now()
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    *kept.away.lock().expect("lock") = true;
    let led = lost.await.expect("ended") - start;
    assert!(led <= Duration::from_millis(12_100), "written after 2 s, to be given up 10 s later: {led:?}");
}

#[tokio::test(start_paused = true)]
async fn leader_holds_while_it_renews() {
    let kept = Kept::default();
    let mut a = candidate(&kept, "a");
    a.acquire().await;
    assert!(tokio::time::timeout(Duration::from_secs(600), a.hold()).await.is_err());
    assert_eq!(kept.holder(), "a");
}

#[test]
fn free_released_and_expired_leases_are_taken() {
    let options = Options::new("n", "x", "me");
    let now = MicroTime { seconds: 5, nanos: 0 };
    let lease = |holder: &str| Lease {
        spec: LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        },
        ..Lease::default()
    };
    assert!(matches!(step(&options, None, Duration::ZERO, now), Step::Create(_)));
    assert!(matches!(step(&options, Some(lease("")), Duration::ZERO, now), Step::Take(_)));
    assert!(matches!(step(&options, Some(lease("me")), Duration::ZERO, now), Step::Take(_)));
    assert_eq!(step(&options, Some(lease("other")), Duration::from_secs(14), now), Step::Wait);
    assert!(matches!(step(&options, Some(lease("other")), Duration::from_secs(15), now), Step::Take(_)));
}
