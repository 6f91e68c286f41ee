//! Replays recorded requests over gRPC against the apiserver, on Debian's etcd and on keelson-store, and compares the
//! answers.
//!
//! Needs etcd-server and `cargo build -p store`, or `KEELSON_PROGRAMS`. What gRPC cannot say (HTTP methods, headers, malformed query parameters) and what later
//! parts bring (other kinds, users without certificates here) is counted by reason, never hidden.

#[allow(dead_code, reason = "the apiserver's tests use more of it")]
#[path = "../../../../crates/apiserver/tests/api/harness.rs"]
mod harness;

mod compare;
mod defaulting;
mod patch;
mod send;
mod validation;

/// One test of each store.
macro_rules! on_each_store {
    ($name:ident) => {
        mod etcd {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::harness::Engine::Etcd).await;
            }
        }
        mod keelson {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::harness::Engine::Keelson).await;
            }
        }
    };
}
pub(crate) use on_each_store;

/// Says how many cases passed, per kind, and why others were left out; fails when one differs, when fewer than `floor` were
/// replayed, or when others than `left_out` (a reason and how many) were not.
#[track_caller]
fn report(what: &str, tally: &Tally, floor: usize, left_out: &[(&str, usize)]) {
    for (kind, (passed, all)) in &tally.kinds {
        println!("{what}: {kind}: {passed} of {all}");
    }
    for (reason, count) in &tally.left_out {
        println!("{what}: {count} left out: {reason}");
    }
    let all: usize = tally.kinds.values().map(|(_, all)| all).sum();
    println!("{what}: {} of {all}", all - tally.failures.len());
    let count = tally.failures.len();
    assert!(tally.failures.is_empty(), "{what}: {count} of {all} differ:\n{}", tally.failures.join("\n"));
    assert!(all >= floor, "{what}: only {all} cases were replayed, there were {floor}");
    let expected = left_out.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    assert_eq!(tally.left_out, expected, "{what}: other cases are left out than before");
}

/// What came of the cases.
#[derive(Default)]
struct Tally {
    /// Passed and all, by plural name.
    kinds: std::collections::BTreeMap<String, (usize, usize)>,
    left_out: std::collections::BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, kind: &str, name: &str, difference: Option<String>) {
        let entry = self.kinds.entry(kind.to_owned()).or_default();
        entry.1 += 1;
        match difference {
            None => entry.0 += 1,
            Some(difference) => self.failures.push(format!("{name}: {difference}")),
        }
    }

    fn leave_out(&mut self, reason: &str) {
        *self.left_out.entry(reason.to_owned()).or_default() += 1;
    }
}
