//! Five hundred runs, each with faults of every kind, and none that violates anything.

use test_sim::seeds::run_many;
use test_sim::world::Settings;

const SEEDS: u64 = 500;

#[test]
fn no_seed_violates_an_invariant() {
    let sum = run_many(1, SEEDS, Settings::of, |report| !report.violations.is_empty());
    println!("{sum}");
    for report in &sum.failed {
        println!("seed {}: {:#?}", report.seed, report.violations);
    }
    let failed: Vec<u64> = sum.failed.iter().map(|report| report.seed).collect();
    assert!(failed.is_empty(), "cargo xtask sim --seeds 1 --first-seed {}", failed[0]);
    assert_eq!(sum.seeds, SEEDS);
    // The runs must have met what they are for.
    assert!(
        sum.answered > 50 * SEEDS && sum.unknown > SEEDS && sum.terms > 2 * SEEDS && sum.snapshots > SEEDS,
        "{sum}"
    );
    assert!(sum.events > 50 * SEEDS && sum.leases > SEEDS, "{sum}");
    assert!(sum.faults.len() >= 16 && sum.faults.values().all(|count| *count > SEEDS / 20), "{sum}");
}
