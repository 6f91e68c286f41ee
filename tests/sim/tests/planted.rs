//! Planted bugs are found, each within so many seeds; a simulator that does not find them would find no others.

use test_sim::planted::Planted;
use test_sim::seeds::run_many;
use test_sim::world::Settings;

/// Runs seeds with the bug until one objects, by one of these invariants.
#[track_caller]
fn found(bug: Planted, seeds: u64, invariants: &[&str]) {
    let by = |text: &String| invariants.iter().any(|invariant| text.starts_with(invariant));
    let settings = |seed| Settings { planted: Some(bug), ..Settings::of(seed) };
    let sum = run_many(1, seeds, settings, |report| report.violations.iter().any(by));
    let found =
        sum.failed.iter().find_map(|report| Some((report.seed, report.violations.iter().find(|text| by(text))?)));
    let others: Vec<_> = sum.failed.iter().flat_map(|report| &report.violations).take(3).collect();
    let (seed, text) = found.unwrap_or_else(|| panic!("{bug:?} was not found in {seeds} seeds; else: {others:?}"));
    println!("{bug:?}: found by seed {seed}: {}", text.lines().next().unwrap_or_default());
}

macro_rules! planted {
    ($($name:ident: $bug:ident, $seeds:literal, $invariants:expr;)*) => {
        $(#[test]
        fn $name() {
            found(Planted::$bug, $seeds, &$invariants);
        })*
    };
}

planted! {
    acknowledging_before_the_sync_is_found: AckBeforeSync, 60, ["durability", "linearizability", "leader completeness"];
    carrying_on_after_a_failed_sync_is_found: SyncErrorIgnored, 200, ["durability", "linearizability", "leader completeness", "every member comes back"];
    taking_entries_of_a_deposed_leader_is_found: TermNotChecked, 60, ["leader completeness", "log matching", "state machine safety", "no panic"];
    acknowledging_without_storing_is_found: AckWithoutStoring, 60, ["durability", "linearizability", "leader completeness"];
    two_votes_in_a_term_are_found: EveryVoteGranted, 60, ["election safety"];
    a_vote_that_is_not_kept_is_found: VoteNotPersisted, 300, ["election safety"];
    reads_that_are_not_confirmed_are_found: ReadsNotConfirmed, 30, ["linearizability"];
    renewing_leases_without_leading_is_found: KeepAliveUnconfirmed, 300, ["leases"];
    forgetting_leases_is_found: LeasesForgotten, 5, ["leases"];
    leases_that_end_early_are_found: LeasesCutShort, 30, ["leases"];
    sending_twice_is_found: SentTwice, 60, ["linearizability"];
    applying_twice_after_a_restart_is_found: AppliedTwice, 30, ["state machine safety"];
    a_change_that_a_watcher_misses_is_found: WatchSkips, 30, ["watch"];
    serving_damaged_values_is_found: ChecksumNotChecked, 200, ["linearizability", "durability", "watch"];
    a_snapshot_that_lacks_a_key_is_found: SnapshotLacksKey, 60, ["state machine safety"];
    forgetting_that_entries_were_overwritten_is_found: TruncationNotPersisted, 200, ["every member comes back", "log matching", "state machine safety"];
}
