//! The same seed gives the same run, to the last message and byte.

use test_sim::run::run;
use test_sim::world::Settings;

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3, 7] {
        let (one, other) = (run(Settings::of(seed)), run(Settings::of(seed)));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!((one.answered, one.faults), (other.answered, other.faults), "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(run(Settings::of(1)).trace, run(Settings::of(2)).trace);
}
